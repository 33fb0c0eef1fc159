"""Posteriors q(z|x): encoder features in, parameters and a distribution out.

A posterior is a layer: `parameters = layer(features)` is a tuple of tensors,
and `layer.distribution(*parameters)` is their distribution. The two are separate
so that compiled functions can return the parameters as plain arrays.
"""

from keras_vae.posteriors.base import Posterior
from keras_vae.posteriors.categorical import Categorical
from keras_vae.posteriors.chained import ChainedPosterior
from keras_vae.posteriors.flow import FlowPosterior, InverseAutoregressive
from keras_vae.posteriors.normal import DiagonalNormal, Extended, FullCovariance
from keras_vae.posteriors.point import Point, SparsePoint, largest
from keras_vae.posteriors.product import ProductPosterior
from keras_vae.posteriors.spatial import SpatialNormal, SpatialPoint
from keras_vae.posteriors.von_mises_fisher import VonMisesFisher

__all__ = [
    "Categorical",
    "ChainedPosterior",
    "DiagonalNormal",
    "Extended",
    "FlowPosterior",
    "FullCovariance",
    "InverseAutoregressive",
    "Point",
    "Posterior",
    "ProductPosterior",
    "SparsePoint",
    "SpatialNormal",
    "SpatialPoint",
    "VonMisesFisher",
    "largest",
]
