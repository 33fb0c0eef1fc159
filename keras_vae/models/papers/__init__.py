"""Papers by name: functions that compose the parts of a model."""

from keras_vae.models.papers.autoencoders import (
    autoencoder,
    contractive_autoencoder,
    denoising_autoencoder,
    sparse_autoencoder,
)
from keras_vae.models.papers.by_latents import (
    auxiliary_vae,
    hierarchical_vae,
    structured_vae,
    vq_vae,
)
from keras_vae.models.papers.by_likelihood import dfc_vae, logcosh_vae, ms_ssim_vae
from keras_vae.models.papers.by_objective import (
    annealed_vae,
    beta_tc_vae,
    dip_vae,
    factor_vae,
    info_vae,
    iwae,
    miwae,
    swae,
    wae_mmd,
)
from keras_vae.models.papers.by_posterior import (
    categorical_vae,
    flow_vae,
    full_covariance_vae,
    iaf_vae,
    joint_vae,
)
from keras_vae.models.papers.by_prior import flow_prior_vae, mixture_vae, vamp_vae
from keras_vae.models.papers.plain import beta_vae, cvae, vae

__all__ = [
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
