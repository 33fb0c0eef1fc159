"""Priors p(z): layers that give a distribution of codes."""

from keras_vae.priors.base import NoPrior, Prior
from keras_vae.priors.categorical import UniformCategorical
from keras_vae.priors.chained import ChainedPrior
from keras_vae.priors.code_transformer import CodeTransformer
from keras_vae.priors.expectation_maximisation import Fit, fit, responsibilities
from keras_vae.priors.flow import FlowPrior
from keras_vae.priors.flow_matching import FlowMatching
from keras_vae.priors.gaussian_mixture import GaussianMixture
from keras_vae.priors.masked_flow import MaskedFlow
from keras_vae.priors.masked_transformer import MaskedTransformer
from keras_vae.priors.mixture import LearnedMixture, MixturePrior
from keras_vae.priors.normal import ConditionalNormal, LinearNormal, StandardNormal
from keras_vae.priors.pixelcnn import GatedPixelCNN
from keras_vae.priors.product import ProductPrior
from keras_vae.priors.spatial import StandardNormalMap, UniformCodes
from keras_vae.priors.two_stage import TwoStage
from keras_vae.priors.vamp import VampPrior
from keras_vae.priors.von_mises_fisher import UniformSphere

__all__ = [
    "ChainedPrior",
    "CodeTransformer",
    "ConditionalNormal",
    "Fit",
    "FlowMatching",
    "FlowPrior",
    "GatedPixelCNN",
    "GaussianMixture",
    "LearnedMixture",
    "LinearNormal",
    "MaskedFlow",
    "MaskedTransformer",
    "MixturePrior",
    "NoPrior",
    "Prior",
    "ProductPrior",
    "StandardNormal",
    "StandardNormalMap",
    "TwoStage",
    "UniformCategorical",
    "UniformCodes",
    "UniformSphere",
    "VampPrior",
    "fit",
    "responsibilities",
]
