"""Initial weights drawn with NumPy: equal seeds give equal weights on every backend.

Keras' initializers draw on the backend: equal seeds differ between backends, and JAX
compiles a program per shape, which takes seconds per model.
"""

import contextlib
import contextvars
import random

import keras
import numpy as np
from keras import ops

from keras_vae._registry import register

_SKIPPED: contextvars.ContextVar[bool] = contextvars.ContextVar("skipped", default=False)


@contextlib.contextmanager
def skipped():
    """A context in which the initializers of this file give zeros: for weights that come after."""
    token = _SKIPPED.set(True)
    try:
        yield
    finally:
        _SKIPPED.reset(token)


def are_skipped(initializer):
    """Whether an initializer gives zeros at present."""
    return _SKIPPED.get() and isinstance(initializer, GlorotUniform)


@register
class GlorotUniform(keras.initializers.Initializer):
    """Uniform in ±√(6 / (fan_in + fan_out)), Glorot & Bengio 2010.

    Args:
        seed: int, or None for one that follows from `keras.utils.set_random_seed`.
            As in Keras, an initializer returns the same values at each call.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._drawn_seed = random.randrange(2**32) if seed is None else seed

    def __call__(self, shape, dtype=None):
        if _SKIPPED.get():
            return ops.zeros(shape, dtype)
        field = int(np.prod(shape[:-2]))
        limit = np.sqrt(6.0 / (field * (shape[-2] + shape[-1])))
        rng = np.random.default_rng(self._drawn_seed)
        values = rng.uniform(-limit, limit, shape)
        return ops.convert_to_tensor(values.astype("float32"), dtype)

    def get_config(self):
        return {"seed": self.seed}


@register
class HeUniform(GlorotUniform):
    """Uniform in ±√(6 / fan_in), He et al. 2015: keeps the size of signals under ReLU.

    Args:
        seed: see `GlorotUniform`.
        upsampling: stride of a transposed convolution, where each output depends on
            1 / upsampling² of the kernel, of pictures; None for other layers.
    """

    def __init__(self, seed: int | None = None, upsampling: int | None = None) -> None:
        super().__init__(seed)
        self.upsampling = upsampling

    def __call__(self, shape, dtype=None):
        field = int(np.prod(shape[:-2]))
        fan = field * shape[-2]
        if self.upsampling:
            fan = field * shape[-1] / self.upsampling ** (len(shape) - 2)
        limit = np.sqrt(6.0 / fan)
        rng = np.random.default_rng(self._drawn_seed)
        values = rng.uniform(-limit, limit, shape)
        return ops.convert_to_tensor(values.astype("float32"), dtype)

    def get_config(self):
        return {**super().get_config(), "upsampling": self.upsampling}


@register
class Orthogonal(GlorotUniform):
    """Orthonormal rows or columns, whichever are fewer, Saxe et al. 2014.

    Args:
        seed: see `GlorotUniform`.
    """

    def __call__(self, shape, dtype=None):
        if _SKIPPED.get():
            return ops.zeros(shape, dtype)
        rows, columns = int(np.prod(shape[:-1])), shape[-1]
        rng = np.random.default_rng(self._drawn_seed)
        drawn = rng.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(drawn)
        # Unique, and so the same on every machine: R has a positive diagonal.
        q = q * np.sign(np.diag(r))
        q = q.T if rows < columns else q
        return ops.convert_to_tensor(q.reshape(shape).astype("float32"), dtype)


def seeds(seed):
    """An endless iterator of seeds for the layers of a model; of None if `seed` is None."""
    sequence = None if seed is None else np.random.SeedSequence(seed)
    while True:
        yield None if seed is None else int(sequence.spawn(1)[0].generate_state(1)[0])


class StandardNormal(keras.initializers.Initializer):
    """Standard normal numbers."""

    def __init__(self, seed: int | None) -> None:
        self.glorot = GlorotUniform(seed)

    def draw(self, shape):
        return np.random.default_rng(self.glorot._drawn_seed).standard_normal(shape)

    def __call__(self, shape, dtype=None):
        return ops.convert_to_tensor(self.draw(shape).astype("float32"), dtype)


class CentredNormal(StandardNormal):
    """Standard normal numbers minus their mean over the first axis."""

    def draw(self, shape):
        drawn = super().draw(shape)
        return drawn - drawn.mean(axis=0)
