"""The model and every paper by name."""

from keras_vae.models import papers
from keras_vae.models.adversarial import VAEGAN, AdversarialAutoencoder
from keras_vae.models.attribute_gan import AttributeGAN
from keras_vae.models.auxiliary import AuxiliaryVAE
from keras_vae.models.denoising import DenoisingAutoencoder
from keras_vae.models.factor import FactorVAE
from keras_vae.models.miwae import MIWAE, mark_missing, pad_series
from keras_vae.models.papers import *  # noqa: F403
from keras_vae.models.spatial import SpatialVAE, SpatialVQVAE
from keras_vae.models.structured import StructuredVAE
from keras_vae.models.vae import VAE
from keras_vae.models.vq import VQVAE

__all__ = [
    "AdversarialAutoencoder",
    "AuxiliaryVAE",
    "AttributeGAN",
    "DenoisingAutoencoder",
    "FactorVAE",
    "MIWAE",
    "SpatialVAE",
    "SpatialVQVAE",
    "StructuredVAE",
    "VAE",
    "VAEGAN",
    "VQVAE",
    "mark_missing",
    "pad_series",
    *papers.__all__,
]
