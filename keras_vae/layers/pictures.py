"""Layers of pictures: resolution, convolutions, channels and augmentation."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae._registry import register
from keras_vae.training import kernels


class _Blocks(keras.layers.Layer):
    """Base class: exchanges resolution and channels in blocks of size × size."""

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@register
class SpaceToDepth(_Blocks):
    """Moves blocks of pixels into channels: `(n, h, w, c)` to `(n, h/s, w/s, s²c)`.

    Of series `(n, t, c)` and of volumes `(n, d, h, w, c)` too: to `(n, t/s, sc)` and
    `(n, d/s, h/s, w/s, s³c)`.

    With a following convolution it is a strided convolution (a k × k kernel covers
    the input of an sk × sk kernel of stride s). Under XLA on a CPU the gradients of
    Keras' transposed convolutions are several times slower than those of stride-1
    convolutions. Shi et al. 2016.

    Args:
        size: side s of a block; it must divide the height and the width, or the other axes.
    """

    def call(self, x):
        if len(x.shape) != 4:
            return self._folded(x)
        n, h, w, c = self.compute_output_shape(x.shape)
        s = self.size
        x = ops.reshape(x, (-1, h, s, w, s, c // (s * s)))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, h, w, c))

    def _folded(self, x):
        self.compute_output_shape(x.shape)
        # One axis after the other: transposes of many axes are slow, and unknown to LiteRT.
        s, (*sizes, channels) = self.size, x.shape[1:]
        for axis in range(len(sizes)):
            sizes[axis] //= s
            behind = math.prod(sizes[axis + 1 :])
            x = ops.reshape(x, (-1, s, behind, channels))
            x = ops.transpose(x, (0, 2, 1, 3))
            channels *= s
        return ops.reshape(x, (-1, *sizes, channels))

    def compute_output_shape(self, input_shape):
        n, *sizes, c = input_shape
        s = self.size
        if any(size % s for size in sizes):
            what = "Height and width" if len(sizes) == 2 else "All axes but the channels"
            raise ValueError(
                f"{what} must be multiples of {s}: pad the images first. "
                f"Received: input shape {tuple(input_shape)}"
            )
        return n, *(size // s for size in sizes), c * s ** len(sizes)


@register
class DepthToSpace(_Blocks):
    """Inverse of `SpaceToDepth`: `(n, h, w, s²c)` to `(n, sh, sw, c)`, and of its others.

    After an ordinary convolution it is a "sub-pixel" transposed convolution.

    Args:
        size: side s of a block; its square must divide the channels, or its power by the
            number of axes.
    """

    def call(self, x):
        if len(x.shape) != 4:
            return self._unfolded(x)
        n, h, w, c = x.shape
        s = self.size
        x = ops.reshape(x, (-1, h, w, s, s, c // (s * s)))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, h * s, w * s, c // (s * s)))

    def _unfolded(self, x):
        self.compute_output_shape(x.shape)
        s, (*sizes, channels) = self.size, x.shape[1:]
        for axis in reversed(range(len(sizes))):
            behind = math.prod(sizes[axis + 1 :])
            channels //= s
            x = ops.reshape(x, (-1, behind, s, channels))
            x = ops.transpose(x, (0, 2, 1, 3))
            sizes[axis] *= s
        return ops.reshape(x, (-1, *sizes, channels))

    def compute_output_shape(self, input_shape):
        n, *sizes, c = input_shape
        s = self.size
        block = s ** len(sizes)
        if c % block:
            raise ValueError(
                f"Channels must be a multiple of {block}. "
                f"Received: input shape {tuple(input_shape)}"
            )
        return n, *(size * s for size in sizes), c // block


@register
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras' layer with a faster kernel on PyTorch and on JAX with a CPU.

    The faster kernel needs padding "same" and an even difference of kernel size and stride,
    as with 4 × 4 and 2; other cases use Keras' kernel. JAX on a CPU differentiates it in
    reverse mode only (`jax.grad`, `jax.jacrev`, not `jax.jvp`, `jax.jacfwd`).
    """

    def call(self, inputs):
        borders = [k - s for k, s in zip(self.kernel_size, self.strides, strict=True)]
        exact = (
            all(border >= 0 and border % 2 == 0 for border in borders)
            and self.padding == "same"
            and self.data_format == "channels_last"
            and tuple(self.dilation_rate) == (1, 1)
            and self.output_padding is None
        )
        if not exact or not kernels.has_conv_transpose():
            return super().call(inputs)
        border = [border // 2 for border in borders]
        bias = self.bias if self.use_bias else None
        return self.activation(
            kernels.conv_transpose(inputs, self.kernel, bias, self.strides, border)
        )


@register
class FeatureModulation(keras.layers.Layer):
    """Feature-wise linear modulation: x · (1 + scale(y)) + shift(y), FiLM.

    Scale and shift are a linear map of the condition, one number per channel.
    Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer",
    2018.

    It starts as the identity.

    Call arguments: `[x, y]`, features `(n, h, w, c)` and conditions `(n, k)`.
    Returns `(n, h, w, c)`.
    """

    def build(self, input_shape):
        (*_, channels), _ = input_shape
        self.projection = keras.layers.Dense(
            2 * channels,
            kernel_initializer="zeros",
            dtype=self.dtype_policy,
            name="projection",
        )
        self.projection.build(input_shape[1])
        self.built = True

    def call(self, inputs):
        x, y = inputs
        scale, shift = ops.split(self.projection(y), 2, axis=-1)
        shape = (-1, *(1,) * (len(x.shape) - 2), x.shape[-1])
        return x * (1.0 + ops.reshape(scale, shape)) + ops.reshape(shift, shape)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@register
class Augment(keras.layers.Layer):
    """Random augmentation of pictures, differentiable in the pictures.

    Each picture is flipped with probability 1/2, blurred, changed in contrast and given
    normal noise, by random amounts of its own; the batch is shifted by one random offset.
    A classifier with it depends on shapes rather than on single pixels.

    Args:
        shift: largest offset in pixels.
        blur: largest weight of the picture after a 5 x 5 binomial filter, 0 to 1.
        contrast: largest relative change of the contrast around mid-grey.
        noise: largest standard deviation of the noise.
        seed: an int or None.

    Call arguments: pictures `(n, h, w, c)` and `training`; without `training` the
    output is the input.
    """

    def __init__(
        self,
        shift: int = 3,
        blur: float = 1.0,
        contrast: float = 0.15,
        noise: float = 0.05,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shift, self.blur, self.contrast, self.noise = shift, blur, contrast, noise
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, x, training=False):
        if not training:
            return x
        n = ops.shape(x)[0]

        def each(low, high):
            return keras.random.uniform((n, 1, 1, 1), low, high, seed=self.seed_generator)

        x = ops.where(each(0.0, 1.0) < 0.5, ops.flip(x, axis=2), x)
        if self.blur:
            # Half of the pictures are not blurred.
            share = self.blur * ops.maximum(each(-1.0, 1.0), 0.0)
            x = x + share * (_softened(x) - x)
        x = 0.5 + (x - 0.5) * each(1.0 - self.contrast, 1.0 + self.contrast)
        if self.shift:
            x = self._shifted(x)
        noise = keras.random.normal(ops.shape(x), dtype=x.dtype, seed=self.seed_generator)
        return x + each(0.0, self.noise) * noise

    def _shifted(self, x):
        s, (height, width, channels) = self.shift, x.shape[1:]
        offset = keras.random.uniform((2,), 0.0, 2.0 * s + 0.999, seed=self.seed_generator)
        offset = ops.cast(ops.floor(offset), "int32")
        start = ops.stack([0 * offset[0], offset[0], offset[1], 0 * offset[0]])
        n = ops.shape(x)[0]
        x = ops.pad(x, ((0, 0), (s, s), (s, s), (0, 0)), mode="reflect")
        return ops.slice(x, start, (n, height, width, channels))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "shift": self.shift,
            "blur": self.blur,
            "contrast": self.contrast,
            "noise": self.noise,
            "seed": self.seed,
        }


def _softened(x):
    """x after a 5 x 5 binomial filter."""
    weights = np.array([1, 4, 6, 4, 1], "float32") / 16
    # One full convolution: sums of shifted slices are ten times slower.
    kernel = np.outer(weights, weights)[:, :, None, None] * np.eye(x.shape[-1], dtype="float32")
    x = ops.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    kernel = ops.cast(kernel, x.dtype)
    return ops.conv(x, kernel, padding="valid", data_format="channels_last")
