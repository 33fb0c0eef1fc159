"""Layers of large pictures and maps of codes, faster where a backend has a kernel for them."""

from typing import Any

import keras
from keras import ops

from keras_vae import initializers
from keras_vae._registry import register
from keras_vae.training import kernels


@register
class Conv2D(keras.layers.Conv2D):
    """Keras' layer with a faster kernel on PyTorch.

    The faster kernel needs channels last, and padding "valid", or "same" with stride 1 and odd
    sizes; other cases use Keras' kernel.
    """

    # Weights in the order of the kernel, which training with PyTorch's own Adam does not take.
    lays_out = True

    def build(self, input_shape):
        super().build(input_shape)
        if self.lays_out and kernels.has_convolution():
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
        # One head.
        heads = (ops.expand_dims(ops.cast(part(rows), "float32"), 1) for part in parts)
        attended = ops.squeeze(kernels.attention(*heads), 1)
        change = out(ops.cast(attended, self.compute_dtype))
        return x + ops.reshape(change, ops.shape(x))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs[0].shape, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
