"""The model and every paper by name."""

from keras_vae.models.model import VAE
from keras_vae.models.quantized import VQVAE, vq_vae
from keras_vae.models.variants import beta_vae, cvae, vae

__all__ = ["VAE", "VQVAE", "beta_vae", "cvae", "vae", "vq_vae"]
