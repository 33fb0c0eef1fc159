"""Layers of latent variables: draws, bounds, and networks of normals."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import distributions, initializers
from keras_vae._registry import register
from keras_vae._types import Tensor


@register
class Sampling(keras.layers.Layer):
    """Reparameterised sample z = mean + exp(log_var / 2) · noise.

    For your own Keras models; `models.VAE` samples from its posterior.

    Args:
        seed: an int or None.

    Call arguments: `(mean, log_var)`, each `(n, d)`. Returns `(n, d)`.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        return distributions.Normal(*inputs).sample(1, self.seed_generator)[0]

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@register
class NormalOf(keras.layers.Layer):
    """A normal whose parameters are a small network of other codes.

    Args:
        inputs: dimensions of the input codes.
        outputs: dimensions d of the normal.
        units: widths of the hidden layers.
        activation: activation of the hidden layers.
        log_var_bound: log-variances are bounded to ±this.
        seed: int for the initial weights, or None.

    Call arguments: codes `(..., inputs)`. Returns `(mean, log_var)`, each `(..., d)`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        units: Sequence[int],
        activation: str | Callable[[Tensor], Tensor] = "tanh",
        log_var_bound: float = 10.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.inputs, self.outputs, self.units = inputs, outputs, tuple(units)
        self.log_var_bound, self.seed = log_var_bound, seed
        self.activation = keras.activations.get(activation)
        sizes = (inputs, *self.units, 2 * outputs)
        self.kernels, self.biases = [], []
        for i, ((before, after), own) in enumerate(
            zip(itertools.pairwise(sizes), initializers.seeds(seed), strict=False)
        ):
            kernel = initializers.GlorotUniform(own)
            self.kernels.append(self.add_weight((before, after), kernel, name=f"kernel_{i}"))
            self.biases.append(self.add_weight((after,), "zeros", name=f"bias_{i}"))
        self.built = True

    def call(self, z):
        *hidden, last = zip(self.kernels, self.biases, strict=True)
        for kernel, bias in hidden:
            z = self.activation(ops.matmul(z, kernel) + bias)
        mean, raw = ops.split(ops.matmul(z, last[0]) + last[1], 2, axis=-1)
        return mean, bounded(raw, self.log_var_bound)

    def get_config(self):
        return {
            **super().get_config(),
            "inputs": self.inputs,
            "outputs": self.outputs,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "log_var_bound": self.log_var_bound,
            "seed": self.seed,
        }


@register
class Bottom(keras.layers.Layer):
    """z₁ of a code (z₁, z₂), the only input of p(x|z₁).

    Args:
        size: dimensions of z₁.
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, z):
        return z[..., : self.size]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.size)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def bounded(raw: Tensor, bound: float) -> Tensor:
    """Bounds `raw` to (-bound, bound), smoothly; the identity near 0.

    An unbounded log-variance can overflow in `exp` and make the weights NaN; a hard clip
    would stop the gradient.
    """
    # A float16 file rounds 1 / bound: the rounding error is subtracted again. (As a
    # difference, because the converter would merge a sum of products.)
    rounded = float(np.float16(1.0 / bound))
    return bound * ops.tanh(rounded * raw - (rounded - 1.0 / bound) * raw)
