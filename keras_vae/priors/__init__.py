"""Priors p(z): layers that give a distribution of codes."""

from keras_vae.priors.base import NoPrior, Prior
from keras_vae.priors.categorical import UniformCategorical
from keras_vae.priors.chained import ChainedPrior
from keras_vae.priors.expectation_maximisation import Fit, fit, responsibilities
from keras_vae.priors.flow import FlowPrior
from keras_vae.priors.gaussian_mixture import GaussianMixture
from keras_vae.priors.mixture import LearnedMixture, MixturePrior
from keras_vae.priors.normal import ConditionalNormal, LinearNormal, StandardNormal
from keras_vae.priors.pixelcnn import GatedPixelCNN
from keras_vae.priors.product import ProductPrior
from keras_vae.priors.spatial import StandardNormalMap, UniformCodes
from keras_vae.priors.vamp import VampPrior

__all__ = [
    "ChainedPrior",
    "ConditionalNormal",
    "Fit",
    "FlowPrior",
    "GatedPixelCNN",
    "GaussianMixture",
    "LearnedMixture",
    "LinearNormal",
    "MixturePrior",
    "NoPrior",
    "Prior",
    "ProductPrior",
    "StandardNormal",
    "StandardNormalMap",
    "UniformCategorical",
    "UniformCodes",
    "VampPrior",
    "fit",
    "responsibilities",
]
