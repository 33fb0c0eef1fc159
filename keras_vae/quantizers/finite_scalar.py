"""Finite scalar quantization: each dimension is rounded to a few levels."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.quantizers import base

# So much wider than the levels is the range of tanh, so that the outermost can be reached.
MARGIN = 1e-3


@register
class FiniteScalar(base.Quantizer):
    """Each dimension bounded by tanh and rounded to one of a few levels.

    Mentzer, Minnen, Agustsson & Tschannen, "Finite Scalar Quantization: VQ-VAE Made Simple",
    2024: no codebook, no loss of its own, and hardly an unused code. Dimension i has `levels[i]`
    values in [-1, 1], and a code numbers all their combinations, the first dimension fastest.
    An even number of levels has no middle: its range is shifted by half a level, so that
    features of 0 are 0. The gradient passes rounding unchanged, and tanh as ever.

    Args:
        levels: numbers of levels, each at least 3; the paper's are (8, 6, 5) for about 2⁸ codes,
            (8, 5, 5, 5) for 2¹⁰, (7, 5, 5, 5, 5) for 2¹², (8, 8, 8, 6, 5) for 2¹⁴ and
            (8, 8, 8, 5, 5, 5) for 2¹⁶.

    Attributes:
        num_codes: product of the levels.
        latent_dim: number of dimensions, `len(levels)`.

    Input shape: `(n, ..., len(levels))`. Output: codes `(n, ...)`, int32.

    Raises:
        ValueError: no levels, one below 3, or more than 2²⁴ codes.
    """

    takes_residuals = False

    def __init__(self, levels: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        several = isinstance(levels, (list, tuple, np.ndarray))
        given: list[Any] = list(levels) if several else [levels]
        if not given or not all(_checks.is_integer(level, 3) for level in given):
            raise ValueError(
                "`levels` must be integers of at least 3, one for each dimension, such as "
                "[8, 5, 5, 5]; dimensions of two levels are `quantizers.LookupFree`. "
                f"Received: levels={given!r}"
            )
        self.levels = tuple(map(int, given))
        self.num_codes = math.prod(self.levels)
        if self.num_codes > base.MOST_CODES:
            raise ValueError(
                f"The product of `levels` must be at most {base.MOST_CODES:,} codes: take fewer "
                "levels, or several heads by `quantizers.Heads`. "
                f"Received: {self.num_codes:,} codes of levels={list(self.levels)}"
            )
        self.latent_dim = len(self.levels)
        sizes = np.array(self.levels)
        half = (sizes - 1) * (1 + MARGIN) / 2
        offset = np.where(sizes % 2 == 0, 0.5, 0.0)
        self._half, self._offset = half.astype("float32"), offset.astype("float32")
        self._shift = np.arctanh(offset / half).astype("float32")
        self._width = (sizes // 2).astype("int32")
        self._sizes = sizes.astype("int32")
        self._basis = np.cumprod([1, *self.levels[:-1]]).astype("int32")
        self.built = True

    def call(self, features, training=False):
        """Codes of the levels that the features are rounded to."""
        rounded = ops.cast(ops.round(self._bounded(features)), "int32")
        levels = rounded + ops.convert_to_tensor(self._width)
        return ops.sum(levels * ops.convert_to_tensor(self._basis), axis=-1)

    def lookup(self, codes):
        """Vectors `(n, ..., d)` of codes `(n, ...)`, in [-1, 1], float32."""
        codes = ops.expand_dims(ops.cast(codes, "int32"), -1)
        basis, sizes = ops.convert_to_tensor(self._basis), ops.convert_to_tensor(self._sizes)
        levels = ops.mod(ops.floor_divide(codes, basis), sizes)
        width = ops.convert_to_tensor(self._width)
        return ops.cast(levels - width, "float32") / ops.cast(width, "float32")

    def discretize(
        self, features: Tensor, training: bool = False, seed: Any = None
    ) -> base.Discretized:
        codes = self(features, training=training)
        width = ops.cast(ops.convert_to_tensor(self._width), "float32")
        bounded = self._bounded(features) / width
        vectors = base.straight_through(bounded, self.lookup(codes))
        nothing = ops.sum(ops.zeros_like(bounded), axis=tuple(range(1, len(bounded.shape))))
        return base.Discretized(vectors, codes, nothing, nothing)

    def _bounded(self, features):
        """Features between the outermost levels, in units of levels."""
        shift, half, offset = map(ops.convert_to_tensor, (self._shift, self._half, self._offset))
        return ops.tanh(self._checked(features) + shift) * half - offset

    def get_config(self):
        return {**super().get_config(), "levels": list(self.levels)}
