"""The model and every paper by name."""

from keras_vae.models.controlled import ControlledVAE
from keras_vae.models.model import VAE
from keras_vae.models.variants import autoencoder, beta_vae, cvae, vae

__all__ = ["ControlledVAE", "VAE", "autoencoder", "beta_vae", "cvae", "vae"]
