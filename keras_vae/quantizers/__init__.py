"""Quantizers: layers from features to integer codes, and back to vectors.

A quantizer takes the place of the posterior: q(z|x) is one code per position of a map,
without noise. Its losses are sums over positions and dimensions of the codes, so that
the weight of one code depends neither on the size of the map nor on that of the batch.

Alone: `codes = quantizer(features)`, `vectors = quantizer.lookup(codes)`. In any Keras model:
`Quantize(quantizer)`. In a model with a prior: `models.vq_vae(shape, quantizer=quantizer)`.
"""

from keras_vae.quantizers.base import (
    GRADIENTS,
    Discretized,
    Quantizer,
    perplexity,
    rotate,
    straight_through,
)
from keras_vae.quantizers.finite_scalar import FiniteScalar
from keras_vae.quantizers.heads import Heads
from keras_vae.quantizers.layer import Quantize
from keras_vae.quantizers.linear_codebook import SimVQ
from keras_vae.quantizers.lookup_free import LookupFree
from keras_vae.quantizers.nearest import CODEBOOKS, DISTANCES, STARTS, VectorQuantizer
from keras_vae.quantizers.projected import Projected
from keras_vae.quantizers.residual import Residual

__all__ = [
    "CODEBOOKS",
    "DISTANCES",
    "GRADIENTS",
    "STARTS",
    "Discretized",
    "FiniteScalar",
    "Heads",
    "LookupFree",
    "Projected",
    "Quantize",
    "Quantizer",
    "Residual",
    "SimVQ",
    "VectorQuantizer",
    "perplexity",
    "rotate",
    "straight_through",
]
