"""Building blocks of encoders and decoders."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import distributions, initializers
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.augmentation import DifferentiableAugmentation as DifferentiableAugmentation
from keras_vae.training import kernels


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

    With a following convolution it is a strided convolution (a k × k kernel covers
    the input of an sk × sk kernel of stride s). Under XLA on a CPU the gradients of
    Keras' transposed convolutions are several times slower than those of stride-1
    convolutions. Shi et al. 2016.

    Args:
        size: side s of a block; it must divide the height and the width.
    """

    def call(self, x):
        n, h, w, c = self.compute_output_shape(x.shape)
        s = self.size
        x = ops.reshape(x, (-1, h, s, w, s, c // (s * s)))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, h, w, c))

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        s = self.size
        if h % s or w % s:
            raise ValueError(
                f"Height and width must be multiples of {s}: pad the images first. "
                f"Received: input shape {tuple(input_shape)}"
            )
        return n, h // s, w // s, c * s * s


@register
class DepthToSpace(_Blocks):
    """Inverse of `SpaceToDepth`: `(n, h, w, s²c)` to `(n, sh, sw, c)`.

    After an ordinary convolution it is a "sub-pixel" transposed convolution.

    Args:
        size: side s of a block; its square must divide the channels.
    """

    def call(self, x):
        n, h, w, c = x.shape
        s = self.size
        x = ops.reshape(x, (-1, h, w, s, s, c // (s * s)))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, h * s, w * s, c // (s * s)))

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        s = self.size
        if c % (s * s):
            raise ValueError(
                f"Channels must be a multiple of {s * s}. "
                f"Received: input shape {tuple(input_shape)}"
            )
        return n, h * s, w * s, c // (s * s)


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
class Conv2D(keras.layers.Conv2D):
    """Keras' layer with a faster kernel on PyTorch.

    The faster kernel needs channels last, and padding "valid", or "same" with stride 1 and odd
    sizes; other cases use Keras' kernel.
    """

    def build(self, input_shape):
        super().build(input_shape)
        if kernels.has_convolution():
            kernels.lay_out(self.kernel, initializers.are_skipped(self.kernel_initializer))

    def call(self, inputs):
        border = (0, 0)
        plain = self.padding == "valid"
        if self.padding == "same" and tuple(self.strides) == (1, 1):
            border = tuple(side // 2 for side in self.kernel_size)
            plain = all(side % 2 for side in self.kernel_size)
        plain = plain and self.groups == 1 and tuple(self.dilation_rate) == (1, 1)
        if not (plain and self.data_format == "channels_last" and kernels.has_convolution()):
            return super().call(inputs)
        bias = self.bias if self.use_bias else None
        return self.activation(
            kernels.convolution(inputs, self.kernel, bias, tuple(self.strides), border)
        )


@register
class GroupNormalization(keras.layers.GroupNormalization):
    """Keras' layer with a faster kernel on PyTorch, for maps `(n, h, w, c)`; in float32."""

    def call(self, inputs):
        plain = self.axis in (-1, 3) and len(inputs.shape) == 4 and self.scale and self.center
        if not plain or not kernels.has_group_norm():
            return super().call(inputs)
        x = ops.cast(inputs, "float32")
        outputs = kernels.group_norm(x, self.groups, self.gamma, self.beta, self.epsilon)
        return ops.cast(outputs, self.compute_dtype)


@register
class SpatialAttention(keras.layers.Layer):
    """Self-attention between the positions of a map, one head, with a residual connection.

    x + W_o softmax(Q Kᵀ / √c) V; Q, K and V are linear in the normalised map. Products and
    softmax are float32 under every precision policy. Memory grows with the square of the
    number of positions, but for PyTorch.

    Args:
        seed: int for the initial weights, or None.

    Call arguments: `[x, normalised]`, each `(n, h, w, c)`. Returns `(n, h, w, c)`.
    """

    PARTS = ("to_q", "to_k", "to_v", "to_out-0")

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape):
        channels = input_shape[0][-1]
        self.projections = [
            keras.layers.Dense(
                channels,
                kernel_initializer=initializers.GlorotUniform(own),
                dtype=self.dtype_policy,
                name=name,
            )
            for name, own in zip(self.PARTS, initializers.seeds(self.seed), strict=False)
        ]
        for projection in self.projections:
            projection.build((None, None, channels))
        self.built = True

    def call(self, inputs):
        x, normalised = inputs
        _, height, width, channels = ops.shape(normalised)
        rows = ops.reshape(normalised, (-1, height * width, channels))
        *parts, out = self.projections
        attended = kernels.attention(*(ops.cast(part(rows), "float32") for part in parts))
        change = out(ops.cast(attended, self.compute_dtype))
        return x + ops.reshape(change, ops.shape(x))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs[0].shape, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


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


class _Wrapped(keras.layers.Layer):
    """A layer of a part of a model, which it shares; float32 under every precision policy."""

    def __init__(self, part: Any, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.part = part
        self.built = True

    def build(self, input_shape):
        self.built = True

    def get_config(self):
        return {**super().get_config(), "part": keras.saving.serialize_keras_object(self.part)}

    @classmethod
    def from_config(cls, config):
        part = keras.saving.deserialize_keras_object(config["part"])
        return cls(**{**config, "part": part})


@register
class Code(_Wrapped):
    """The code that `VAE.encode` gives, from features `(n, f)` or `(n, h, w, f)`.

    Args:
        part: a posterior; or a quantizer, whose codes are integers.
    """

    def build(self, input_shape):
        if not self.part.built:
            self.part.build(input_shape)
        self.built = True

    def call(self, features):
        found = self.part(features)
        return self.part.distribution(*found).center if isinstance(found, tuple) else found

    def compute_output_shape(self, input_shape):
        if hasattr(self.part, "num_codes"):
            return self.part.compute_output_shape(input_shape)
        return (*input_shape[:-1], self.part.latent_dim)

    def compute_output_spec(self, features):
        dtype = "int32" if hasattr(self.part, "num_codes") else "float32"
        return keras.KerasTensor(self.compute_output_shape(features.shape), dtype)


@register
class CodeVectors(_Wrapped):
    """The vectors of integer codes `(n, h, w)`.

    Args:
        part: one of `quantizers`.
    """

    def call(self, codes):
        return self.part.lookup(ops.cast(codes, "int32"))

    def compute_output_shape(self, input_shape):
        return self.part.vectors_shape(input_shape)

    def compute_output_spec(self, codes):
        return keras.KerasTensor(self.compute_output_shape(codes.shape), "float32")


@register
class DataMean(_Wrapped):
    """Means of p(x|z) in data space, from a decoder's outputs.

    Args:
        part: a likelihood.
    """

    def call(self, outputs):
        return self.part.mean(outputs)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.part.data_shape(tuple(input_shape[1:])))


@register
class ConditionVectors(_Wrapped):
    """Vectors `(n, c)` of conditions, as encoder and decoder see them.

    Args:
        part: one of `conditions`.
    """

    def call(self, y):
        return self.part.encode(y)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.part.dim)

    def compute_output_spec(self, y):
        return keras.KerasTensor(self.compute_output_shape(y.shape), "float32")
