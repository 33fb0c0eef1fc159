"""Corruptions T(x): the input of a denoising autoencoder in place of x.

A corruption is a function of data and noise: `transform(x, noise)`. In training the
model's seed draws the noise; `corrupt(x, seed)` draws it with NumPy, the same on every
backend, for evaluation and figures.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_vae._registry import register
from keras_vae.training import noise


class Corruption:
    """Base class of the corruptions."""

    # Whether the noise is standard normal; else uniform in [0, 1).
    normal = False

    def transform(self, x, noise):
        """Corrupts data with noise of the same shape; tensors in and out."""
        raise NotImplementedError

    def noise(self, shape, seed):
        """Draws noise for `transform`; `seed`: an int or a `keras.random.SeedGenerator`."""
        draw = noise.normal if self.normal else noise.uniform
        return draw(shape, seed, rows=0)

    def __call__(self, x, seed):
        """Corrupts data in a training step; tensors in and out."""
        return self.transform(x, self.noise(ops.shape(x), seed))

    def corrupt(self, x, seed=0):
        """Corrupts data; NumPy in and out, the same on every backend.

        Args:
            x: data `(n, ...)`.
            seed: an int or a `numpy.random.Generator`.

        Returns:
            float32 array of the shape of x.
        """
        x, rng = np.asarray(x, "float32"), np.random.default_rng(seed)
        draw = rng.standard_normal if self.normal else rng.random
        return ops.convert_to_numpy(self.transform(x, draw(x.shape, "float32")))

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@register
class Gaussian(Corruption):
    """x + σ ε: normal noise on each value; the result may leave the range of the data.

    Args:
        stddev: σ, at least 0.

    Raises:
        ValueError: a number that is out of range.
    """

    normal = True

    def __init__(self, stddev: float = 0.3) -> None:
        if not 0.0 <= stddev < math.inf:
            raise ValueError(f"`stddev` must be at least 0 and finite. Received: stddev={stddev!r}")
        self.stddev = float(stddev)

    def transform(self, x, noise):
        return x + self.stddev * noise

    def get_config(self):
        return {"stddev": self.stddev}


@register
class Masking(Corruption):
    """Sets each value to 0 with probability `rate`.

    Args:
        rate: the probability, from 0 to 1.

    Raises:
        ValueError: a number that is out of range.
    """

    def __init__(self, rate: float = 0.25) -> None:
        self.rate = _probability(rate)

    def transform(self, x, noise):
        return ops.where(noise < self.rate, 0.0, x)

    def get_config(self):
        return {"rate": self.rate}


@register
class SaltAndPepper(Corruption):
    """Replaces each value with probability `rate`, by `low` or by `high` equally often.

    Args:
        rate: the probability, from 0 to 1.
        low, high: the two values.

    Raises:
        ValueError: a number that is out of range.
    """

    def __init__(self, rate: float = 0.25, low: float = 0.0, high: float = 1.0) -> None:
        if not -math.inf < low < high < math.inf:
            raise ValueError(
                f"`low` must be below `high`, both finite. Received: low={low!r}, high={high!r}"
            )
        self.rate, self.low, self.high = _probability(rate), float(low), float(high)

    def transform(self, x, noise):
        replaced = ops.where(noise < 0.5 * self.rate, self.low, self.high)
        return ops.where(noise < self.rate, replaced, x)

    def get_config(self):
        return {"rate": self.rate, "low": self.low, "high": self.high}


def _probability(rate):
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"`rate` must be from 0 to 1. Received: rate={rate!r}")
    return float(rate)


def get(identifier: str | Corruption) -> Corruption:
    """A corruption by its name or its Keras configuration.

    Args:
        identifier: "gaussian", "masking", "salt_and_pepper", a `Corruption`, or the dict
            that `keras.saving.serialize_keras_object` returns for one.

    Raises:
        ValueError: unknown name.
    """
    named = {"gaussian": Gaussian, "masking": Masking, "salt_and_pepper": SaltAndPepper}
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, Corruption):
        return identifier
    if not isinstance(identifier, str) or identifier not in named:
        raise ValueError(
            f"`corruption` must be one of {sorted(named)} or a Corruption. "
            f"Received: corruption={identifier!r}"
        )
    return named[identifier]()
