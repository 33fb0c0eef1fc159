"""Papers by name: functions that compose the parts of a model.

A new paper is a function with the decorator `register.paper`, in the file that says what
it changes, and a line here.
"""

# ruff: noqa: F401

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
from keras_vae.models.papers.register import PAPERS, Paper, catalogue

# `from keras_vae.models.papers import *` fails for a paper without a line above.
__all__ = sorted(PAPERS)
