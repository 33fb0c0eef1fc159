"""A convolution of pictures whose kernel sees what comes before a pixel, and no more."""

from typing import Any

import keras
from keras import ops

from keras_vae import _checks, initializers
from keras_vae._registry import register
from keras_vae.training import kernels


@register
class MaskedConv2D(keras.layers.Layer):
    """A masked convolution: each pixel sees those above it, and those to its left in its row.

    van den Oord, Kalchbrenner & Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016. The
    weights are those of the taps that are not masked, in the order of the pixels: what is
    masked has no weight that could leak, and takes no room in a file.

    Args:
        filters: channels of the output.
        kernel_size: odd; a pixel sees (kernel_size - 1) / 2 rows upwards, as many columns to its
            left, and in the rows above to its right too.
        own: whether a pixel sees itself: mask B of the paper; False is mask A.
        seed: int for the initial weights, the same on every backend; or None.

    Call arguments: pictures `(n, h, w, c)`. Returns `(n, h, w, filters)`.

    Raises:
        ValueError: an even kernel size, or filters below 1.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        own: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not _checks.is_integer(kernel_size, 3) or kernel_size % 2 == 0:
            raise ValueError(
                "`kernel_size` must be an odd integer of at least 3. "
                f"Received: kernel_size={kernel_size!r}"
            )
        self.filters = _checks.count(filters, "filters")
        self.kernel_size, self.own, self.seed = int(kernel_size), bool(own), seed
        self.side = self.kernel_size // 2
        # Taps of the rows above, and all that are seen.
        self.above_taps = self.side * self.kernel_size
        self.taps = self.above_taps + self.side + self.own

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(self.taps, input_shape[-1], self.filters),
            initializer=initializers.GlorotUniform(self.seed),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs):
        kernel, side, size = ops.convert_to_tensor(self.kernel), self.side, self.kernel_size
        channels = kernel.shape[1]
        # The taps come first of all those of a rectangle that ends with the pixel's own row.
        rest = ops.zeros(((side + 1) * size - self.taps, channels, self.filters), kernel.dtype)
        kernel = ops.reshape(ops.concatenate([kernel, rest]), (side + 1, size, channels, -1))
        inputs = ops.pad(inputs, ((0, 0), (side, 0), (side, side), (0, 0)))
        return _convolved(inputs, kernel, ops.convert_to_tensor(self.bias))

    def above(self, rows):
        """What the rows above add to each pixel of a row, with the bias.

        Args:
            rows: the last (kernel_size - 1) / 2 rows `(n, side, w, c)`; zeros before the first.

        Returns:
            `(n, w, filters)`.
        """
        kernel = ops.convert_to_tensor(self.kernel)[: self.above_taps]
        kernel = ops.reshape(kernel, (self.side, self.kernel_size, -1, self.filters))
        rows = ops.pad(rows, ((0, 0), (0, 0), (self.side, self.side), (0, 0)))
        return _convolved(rows, kernel, ops.convert_to_tensor(self.bias))[:, 0]

    def along(self, left):
        """What the row adds to one of its pixels.

        Args:
            left: pixels to the left, and with `own` the pixel itself: `(n, side + own, c)`.

        Returns:
            `(n, filters)`.
        """
        kernel = ops.convert_to_tensor(self.kernel)[self.above_taps :]
        kernel = ops.reshape(kernel, (-1, self.filters))
        return ops.matmul(ops.reshape(left, (-1, kernel.shape[0])), kernel)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        own = ("filters", "kernel_size", "own", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _convolved(x, kernel, bias):
    if kernels.has_convolution():
        return kernels.convolution(x, kernel, bias, (1, 1), (0, 0))
    return ops.conv(x, kernel, 1, "valid", data_format="channels_last") + bias
