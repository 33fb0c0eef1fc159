"""Discriminators, and layers whose spectral norm is 1."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import initializers
from keras_vae._registry import register

LAST = {"data_format": "channels_last"}


class _Spectral(keras.layers.Layer):
    """In front of a layer with a kernel: divides it by an estimate of its spectral norm.

    Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018: one power
    iteration for each pass in training. Keras' own wrapper assigns to the kernel, which JAX
    forgets after the step; here the kernel stays and its gradient passes the division.
    """

    def build(self, input_shape):
        super().build(input_shape)
        width = self.kernel.shape[-1]
        self.direction = self.add_weight(
            shape=(1, width),
            initializer=keras.initializers.Constant(width**-0.5),
            trainable=False,
            dtype="float32",
            name="direction",
        )

    # Keras' `Dense` and `Conv2D` write their own kernel and bias only.
    def save_own_variables(self, store):
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        keras.layers.Layer.load_own_variables(self, store)

    def _normalised(self, training):
        matrix = ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))
        fixed = ops.stop_gradient(ops.cast(matrix, "float32"))
        u = ops.convert_to_tensor(self.direction)
        v = _unit(ops.matmul(u, ops.transpose(fixed)))
        if training:
            u = _unit(ops.matmul(v, fixed))
            self.direction.assign(u)
            v = _unit(ops.matmul(u, ops.transpose(fixed)))
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        norm = ops.sum(ops.matmul(v, matrix) * u)
        return self.kernel / ops.maximum(norm, 1e-6)


@register
class SpectralDense(_Spectral, keras.layers.Dense):
    """Keras' `Dense` whose kernel has the spectral norm 1, as far as it is estimated."""

    def call(self, inputs, training=False):
        x = ops.matmul(inputs, self._normalised(training))
        x = x if self.bias is None else x + self.bias
        return x if self.activation is None else self.activation(x)


@register
class SpectralConv2D(_Spectral, keras.layers.Conv2D):
    """Keras' `Conv2D` whose kernel, as a matrix, has the spectral norm 1, as far as estimated."""

    def call(self, inputs, training=False):
        x = ops.conv(
            inputs,
            self._normalised(training),
            strides=list(self.strides),
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        x = x if self.bias is None else x + self.bias
        return x if self.activation is None else self.activation(x)


def picture_discriminator(
    shape: tuple[int, ...],
    units: tuple[int, ...],
    spectral: bool = False,
    seed: int | None = None,
) -> keras.Model:
    """From data to the features of the last hidden layer and a logit of being real.

    Leaky ReLUs after convolutions of stride 2 for pictures, after dense layers otherwise;
    float32 under every policy.

    Args:
        shape: of one example.
        units: widths of the hidden layers, at least one.
        spectral: whether all layers are divided by their spectral norm.
        seed: int for the initial weights, or None.
    """
    seeds = initializers.seeds(seed)
    dense: Any = SpectralDense if spectral else keras.layers.Dense
    convolution: Any = SpectralConv2D if spectral else keras.layers.Conv2D

    def options():
        initializer = initializers.HeUniform(next(seeds))
        return {"kernel_initializer": initializer, "dtype": "float32"}

    inputs = keras.Input(shape, name="data")
    x = inputs
    if len(shape) != 3:
        x = keras.layers.Flatten(**LAST, dtype="float32")(x)
    for width in units:
        if len(shape) == 3:
            x = convolution(width, 4, 2, padding="same", **LAST, **options())(x)
        else:
            x = dense(width, **options())(x)
        x = keras.layers.LeakyReLU(0.2, dtype="float32")(x)
    if len(shape) == 3:
        x = keras.layers.Flatten(**LAST, dtype="float32")(x)
    return keras.Model(inputs, [x, dense(1, **options())(x)], name="discriminator")


def _unit(x):
    return x / ops.maximum(ops.sqrt(ops.sum(ops.square(x))), np.float32(1e-12))
