"""Likelihoods p(x|z): decoder outputs in, densities out."""

from keras_vae.likelihoods.base import Likelihood
from keras_vae.likelihoods.columns import Columns
from keras_vae.likelihoods.pictures import MSSSIM, Features, PictureLoss
from keras_vae.likelihoods.pixelwise import Bernoulli, LogCosh, Normal, Observed, get

__all__ = [
    "Bernoulli",
    "Columns",
    "Features",
    "Likelihood",
    "LogCosh",
    "MSSSIM",
    "Normal",
    "Observed",
    "PictureLoss",
    "get",
]
