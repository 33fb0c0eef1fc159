"""Priors of maps of codes, of any size."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, distributions
from keras_vae._registry import register
from keras_vae.priors.base import Prior


@register
class StandardNormalMap(Prior):
    """p(z) = N(0, I) of maps `(h, w, d)`.

    Args:
        latent_dim: channels d of a code.
        map_shape: `(h, w)`; None for any height or width.

    Raises:
        ValueError: `map_shape` is not two positive integers or None.
    """

    def __init__(
        self, latent_dim: int, map_shape: Sequence[int | None] = (None, None), **kwargs: Any
    ) -> None:
        super().__init__(latent_dim, **kwargs)
        self.map_shape = checked_map_shape(map_shape)

    @property
    def noise_shape(self):
        return (*self.map_shape, self.latent_dim)

    def distribution(self, condition=None):
        zeros = ops.zeros((1, 1, self.latent_dim), "float32")
        return distributions.Normal(zeros, zeros, event_ndim=3)

    def sample(self, n, rng, condition=None, map_shape=None):
        """Draws maps with NumPy's generator: the same on every backend.

        Args:
            n: number of maps.
            rng: a `numpy.random.Generator`.
            condition: None.
            map_shape: `(h, w)`, for a prior of maps of any size.

        Returns:
            NumPy array `(n, h, w, d)`, float32.
        """
        shape = size_of_maps(self.map_shape, map_shape)
        return rng.standard_normal((n, *shape, self.latent_dim), dtype="float32")

    def get_config(self):
        return {**super().get_config(), "map_shape": self.map_shape}


@register
class UniformCodes(keras.layers.Layer):
    """A prior over maps of integer codes: each code is equally likely at each position.

    Nothing is trained: log p(c) = -h · w · log K. Its samples are noise; a prior that is
    learned, such as `priors.GatedPixelCNN`, makes pictures.

    Args:
        num_codes: K; codes are integers from 0 to K - 1.
        map_shape: `(h, w)`; None for any height or width.

    Raises:
        ValueError: a size that is out of range.
    """

    can_sample = True
    is_mixture = False
    condition_dim = None

    def __init__(
        self, num_codes: int, map_shape: Sequence[int | None] = (None, None), **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", "name": "prior", **kwargs})
        self.num_codes = _checks.count(num_codes, "num_codes")
        self.map_shape = checked_map_shape(map_shape)
        self.built = True

    def call(self, codes, condition=None):
        """Logits of p(c_i): zeros `(n, h, w, num_codes)`, float32."""
        return ops.zeros((*ops.shape(codes), self.num_codes), "float32")

    def log_prob(self, codes, condition=None):
        """log p(c) in nats, summed over the map: `(n,)`, float32."""
        ones = ops.ones_like(codes, dtype="float32")
        return -float(np.log(self.num_codes)) * ops.sum(ones, axis=(1, 2))

    def attach(self, model):
        """Part of the interface of `priors.Prior`; does nothing here."""

    def sample(self, n, rng, condition=None, temperature=1.0, compiled=None, map_shape=None):
        """Draws maps of codes with NumPy's generator: the same on every backend.

        Args: as `GatedPixelCNN.sample`, and
            map_shape: `(h, w)`, for a prior of maps of any size.

        Returns:
            NumPy array `(n, h, w)`, int32.
        """
        shape = size_of_maps(self.map_shape, map_shape)
        return rng.integers(0, self.num_codes, (n, *shape), dtype="int32")

    def compute_output_spec(self, codes, condition=None):
        return keras.KerasTensor((*codes.shape, self.num_codes), dtype="float32")

    def get_config(self):
        return {**super().get_config(), "num_codes": self.num_codes, "map_shape": self.map_shape}


def checked_map_shape(map_shape):
    """`(h, w)` as a tuple; None stands for any size."""
    shape = tuple(map_shape)
    if len(shape) != 2 or not all(size is None or _checks.is_integer(size) for size in shape):
        raise ValueError(
            "`map_shape` must be (height, width): positive integers, or None for any. "
            f"Received: map_shape={map_shape!r}"
        )
    return shape


def size_of_maps(own, given=None):
    """The size of maps to draw: a prior's own, or what is given where it has none.

    Raises:
        ValueError: no size, or another than the prior's own.
    """
    if given is None:
        if None in own:
            raise ValueError(
                "Maps of codes have any size here, so that the size of a sample must be given: "
                f"`map_shape=(8, 8)`. Received: map_shape=None of a prior with map_shape={own}"
            )
        return own
    given = checked_map_shape(given)
    if None in given or any(a is not None and a != b for a, b in zip(own, given, strict=True)):
        raise ValueError(
            f"`map_shape` must be two integers that fit the prior's {own}. "
            f"Received: map_shape={given}"
        )
    return given
