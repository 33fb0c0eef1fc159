"""Distributions: samples, densities and divergences, tensors in and out."""

from keras_vae.distributions.as_numpy import Arrays
from keras_vae.distributions.base import LOG_2PI, Distribution, distribution_of, sum_event
from keras_vae.distributions.bernoulli import Bernoulli
from keras_vae.distributions.categorical import Categorical, gumbel, normal_cdf, one_hot_of_largest
from keras_vae.distributions.chained import Chained
from keras_vae.distributions.mixture import Mixture, MultivariateMixture
from keras_vae.distributions.normal import MultivariateNormal, Normal
from keras_vae.distributions.point import Point
from keras_vae.distributions.product import Product
from keras_vae.distributions.transformed import Transformed

__all__ = [
    "Arrays",
    "Bernoulli",
    "Categorical",
    "Chained",
    "Distribution",
    "LOG_2PI",
    "Mixture",
    "MultivariateMixture",
    "MultivariateNormal",
    "Normal",
    "Point",
    "Product",
    "Transformed",
    "distribution_of",
    "gumbel",
    "normal_cdf",
    "one_hot_of_largest",
    "sum_event",
]
