"""The model and every paper by name."""

from keras_vae.models.controlled import ControlledVAE
from keras_vae.models.model import VAE
from keras_vae.models.quantized import VQVAE, vq_vae
from keras_vae.models.variants import autoencoder, beta_vae, cvae, vae

__all__ = ["ControlledVAE", "VAE", "VQVAE", "autoencoder", "beta_vae", "cvae", "vae", "vq_vae"]
