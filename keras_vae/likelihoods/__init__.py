"""Likelihoods p(x|z): decoder outputs in, densities out."""

from keras_vae.likelihoods.base import Likelihood
from keras_vae.likelihoods.categorical import CategoricalLevels
from keras_vae.likelihoods.columns import Columns
from keras_vae.likelihoods.counts import (
    NegativeBinomial,
    Poisson,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
from keras_vae.likelihoods.discretised import DiscretisedLogisticMixture
from keras_vae.likelihoods.heavy_tails import StudentT
from keras_vae.likelihoods.masked import MaskedConvolutions
from keras_vae.likelihoods.named import get
from keras_vae.likelihoods.observed import Observed
from keras_vae.likelihoods.pictures import MSSSIM, Features, PictureLoss
from keras_vae.likelihoods.pixelwise import Bernoulli, LogCosh, Normal

__all__ = [
    "Bernoulli",
    "CategoricalLevels",
    "Columns",
    "DiscretisedLogisticMixture",
    "Features",
    "Likelihood",
    "LogCosh",
    "MSSSIM",
    "MaskedConvolutions",
    "NegativeBinomial",
    "Normal",
    "Observed",
    "PictureLoss",
    "Poisson",
    "StudentT",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
    "get",
]
