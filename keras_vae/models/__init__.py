"""The model and every paper by name."""

from keras_vae.models.autoencoders import (
    DenoisingAutoencoder,
    autoencoder,
    contractive_autoencoder,
    denoising_autoencoder,
    sparse_autoencoder,
)
from keras_vae.models.auxiliary import AuxiliaryVAE
from keras_vae.models.by_latents import auxiliary_vae, hierarchical_vae, structured_vae
from keras_vae.models.by_likelihood import dfc_vae, logcosh_vae, ms_ssim_vae
from keras_vae.models.by_objective import (
    annealed_vae,
    beta_tc_vae,
    dip_vae,
    info_vae,
    iwae,
    swae,
    wae_mmd,
)
from keras_vae.models.by_posterior import (
    categorical_vae,
    flow_vae,
    full_covariance_vae,
    iaf_vae,
    joint_vae,
)
from keras_vae.models.by_prior import flow_prior_vae, mixture_vae, vamp_vae
from keras_vae.models.controlled import ControlledVAE
from keras_vae.models.factor import FactorVAE, factor_vae
from keras_vae.models.missing import MIWAE, mark_missing, miwae
from keras_vae.models.model import VAE
from keras_vae.models.quantized import VQVAE, vq_vae
from keras_vae.models.structured import StructuredVAE
from keras_vae.models.variants import beta_vae, cvae, vae

__all__ = [
    "AuxiliaryVAE",
    "ControlledVAE",
    "DenoisingAutoencoder",
    "FactorVAE",
    "MIWAE",
    "StructuredVAE",
    "VAE",
    "VQVAE",
    "annealed_vae",
    "autoencoder",
    "auxiliary_vae",
    "beta_tc_vae",
    "beta_vae",
    "categorical_vae",
    "contractive_autoencoder",
    "cvae",
    "denoising_autoencoder",
    "dfc_vae",
    "dip_vae",
    "factor_vae",
    "flow_prior_vae",
    "flow_vae",
    "full_covariance_vae",
    "hierarchical_vae",
    "iaf_vae",
    "info_vae",
    "iwae",
    "joint_vae",
    "logcosh_vae",
    "mark_missing",
    "miwae",
    "mixture_vae",
    "ms_ssim_vae",
    "sparse_autoencoder",
    "structured_vae",
    "swae",
    "vae",
    "vamp_vae",
    "vq_vae",
    "wae_mmd",
]
