"""Distributions: samples, densities and divergences, tensors in and out."""

from keras_vae.distributions.base import Distribution
from keras_vae.distributions.bernoulli import Bernoulli
from keras_vae.distributions.categorical import Categorical, gumbel, normal_cdf
from keras_vae.distributions.chained import Chained
from keras_vae.distributions.mixture import Mixture, MultivariateMixture
from keras_vae.distributions.normal import MultivariateNormal, Normal
from keras_vae.distributions.point import Point
from keras_vae.distributions.product import Product
from keras_vae.distributions.transformed import Transformed
from keras_vae.distributions.von_mises_fisher import UniformSphere, VonMisesFisher

__all__ = [
    "Bernoulli",
    "Categorical",
    "Chained",
    "Distribution",
    "Mixture",
    "MultivariateMixture",
    "MultivariateNormal",
    "Normal",
    "Point",
    "Product",
    "Transformed",
    "UniformSphere",
    "VonMisesFisher",
    "gumbel",
    "normal_cdf",
]
