"""Autoregressive priors over maps of codes: log p(c) = Σ_i log p(c_i | c_<i).

The order of positions is row by row, from left to right.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, initializers, layers
from keras_vae._registry import register
from keras_vae.priors.codes import CodePrior
from keras_vae.training import kernels


def _gate(x):
    """tanh(a) · σ(b) of features split in two."""
    a, b = ops.split(x, 2, axis=-1)
    return ops.tanh(a) * ops.sigmoid(b)


class _Convolution(layers.Conv2D):
    """A convolution of small maps, of stride 1."""

    lays_out = False

    def call(self, inputs):
        if self.kernel_size == (1, 1) and kernels.has_convolution():
            return kernels.pointwise(inputs, self.kernel, self.bias)
        return super().call(inputs)


class _Block(keras.layers.Layer):
    """One layer of both stacks.

    The vertical stack sees a rectangle of the rows above; the horizontal stack sees
    the positions to the left in its row and the features of the vertical stack. Kernels
    extend only backwards, so that no mask is needed.
    """

    def __init__(self, channels, kernel_size, condition_dim, seeds, **kwargs):
        super().__init__(**kwargs)
        self.reach = (kernel_size + 1) // 2
        self.side = kernel_size // 2

        def convolution(width, size, name):
            return _Convolution(
                width,
                size,
                data_format="channels_last",
                kernel_initializer=initializers.GlorotUniform(next(seeds)),
                dtype=self.dtype_policy,
                name=name,
            )

        self.vertical = convolution(2 * channels, (self.reach, kernel_size), "vertical")
        self.horizontal = convolution(2 * channels, (1, self.reach), "horizontal")
        self.across = convolution(2 * channels, 1, "across")
        self.out = convolution(channels, 1, "out")
        shape = (None, None, None, channels)
        for layer in (self.vertical, self.horizontal, self.out):
            layer.build(shape)
        self.across.build((None, None, None, 2 * channels))
        self.condition = None
        if condition_dim is not None:
            self.condition = keras.layers.Dense(
                2 * channels,
                use_bias=False,
                kernel_initializer=initializers.GlorotUniform(next(seeds)),
                dtype=self.dtype_policy,
                name="condition",
            )
            self.condition.build((None, condition_dim))
        self.built = True

    def above(self, v, condition):
        """Next vertical features `(n, h, w, c)`; features for the rows `(n, h, w, 2c)`."""
        sides = (self.side, self.side)
        v = self.vertical(ops.pad(v, ((0, 0), (self.reach - 1, 0), sides, (0, 0))))
        if self.condition is not None:
            shift = self.condition(condition)
            v = v + ops.reshape(shift, (-1, 1, 1, shift.shape[-1]))
        return _gate(v), self.across(v)

    def along(self, h, across):
        """Next horizontal features of some rows `(n, rows, w, c)`."""
        left = ops.pad(h, ((0, 0), (0, 0), (self.reach - 1, 0), (0, 0)))
        return h + self.out(_gate(self.horizontal(left) + across))


@register
class GatedPixelCNN(CodePrior):
    """Gated PixelCNN prior over maps of integer codes.

    van den Oord et al., "Conditional Image Generation with PixelCNN Decoders",
    2016: a vertical and a horizontal stack of gated residual convolutions, with the
    condition in each gate. In addition to the paper, each position has a learned feature.

    Args:
        num_codes: codes are integers from 0 to `num_codes - 1`.
        map_shape: `(height, width)` of a map.
        condition_dim: length of encoded conditions, or None.
        channels: width of the stacks.
        depth: number of gated layers.
        kernel_size: odd, at least 3; a layer sees (kernel_size - 1) / 2 positions backwards.
        seed: int for the initial weights, the same on every backend; or None.
        condition_dropout: part of the conditions that training drops, so that samples can be
            guided; see `priors.guidance`.

    Raises:
        ValueError: a size that is out of range.
    """

    def __init__(
        self,
        num_codes: int,
        map_shape: Sequence[int],
        condition_dim: int | None = None,
        channels: int = 64,
        depth: int = 8,
        kernel_size: int = 3,
        seed: int | None = None,
        condition_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_codes, map_shape, condition_dim, condition_dropout, **kwargs)
        map_shape = self.map_shape
        channels, depth = _checks.count(channels, "channels"), _checks.count(depth, "depth")
        if not _checks.is_integer(kernel_size, 3) or kernel_size % 2 == 0:
            raise ValueError(
                "`kernel_size` must be an odd integer of at least 3. "
                f"Received: kernel_size={kernel_size!r}"
            )
        self.channels = channels
        self.depth = depth
        self.kernel_size = kernel_size
        self.seed = seed
        seeds = initializers.seeds(seed)
        # Keras would draw the default embedding on the backend.
        self.embedding = self.add_weight(
            shape=(num_codes, channels),
            initializer=initializers.GlorotUniform(next(seeds)),
            name="embedding",
        )
        self.positions = self.add_weight(
            shape=(*map_shape, channels), initializer="zeros", name="positions"
        )
        self.blocks = [
            _Block(
                channels,
                kernel_size,
                self.seen_condition_dim,
                seeds,
                dtype=self.dtype_policy,
                name=f"block_{i}",
            )
            for i in range(depth)
        ]
        self.head = [
            keras.layers.Dense(
                width,
                kernel_initializer=initializers.GlorotUniform(next(seeds)),
                dtype=self.dtype_policy,
                name=name,
            )
            for name, width in (("hidden", 2 * channels), ("logits", num_codes))
        ]
        self.head[0].build((None, channels))
        self.head[1].build((None, 2 * channels))
        self.built = True

    def call(self, codes, condition=None):
        """Logits of p(c_i | c_<i) at each position.

        Args:
            codes: `(n, h, w)` integers.
            condition: encoded conditions `(n, condition_dim)`, or None.

        Returns:
            `(n, h, w, num_codes)`, float32.
        """
        return self.logits(self.embed(codes), condition)

    def embed(self, codes):
        """Learned features `(..., channels)` of codes."""
        return ops.take(ops.convert_to_tensor(self.embedding), codes, axis=0)

    def logits(self, embedded, condition=None):
        """As `call`, for embedded codes `(n, h, w, channels)`."""
        return self._read(self._along(embedded, self._above(embedded, condition)))

    def told(self, row, codes, condition=None):
        """Features of the rows above one row: a tuple of `(n, 1, w, 2 channels)`.

        Args:
            row: index of the row, an integer scalar.
            codes: `(n, h, w)`; only the rows above are read.
            condition: encoded conditions, or None.
        """
        row = ops.reshape(row, (1,))
        features = self._above(self.embed(codes), condition)
        return tuple(ops.take(across, row, axis=1) for across in features)

    def next_logits(self, column, row_codes, *above):
        """Logits `(n, num_codes)` of one column of a row.

        Args:
            column: its index, an integer scalar.
            row_codes: the row `(n, w)`; only the positions to the left are read.
            *above: the result of `told` for the row.
        """
        features = self._along(ops.expand_dims(self.embed(row_codes), 1), above)
        chosen = ops.take(features, ops.reshape(column, (1,)), axis=2)
        return ops.reshape(self._read(chosen), (-1, self.num_codes))

    def _walk(self, codes, conditions, compiled):
        # The vertical stack runs once per row, the horizontal stack once per position and on
        # its row only: a map costs about two passes per row.
        told, next_logits = compiled(self, "told"), compiled(self, "next_logits")
        height, width = self.map_shape
        for i in range(height):
            above = told(np.int32(i), codes, *conditions)
            for j in range(width):
                yield i, j, ops.convert_to_numpy(next_logits(np.int32(j), codes[:, i], *above))

    def _above(self, embedded, condition):
        # Shifted one row down: a row must not see itself.
        v = ops.pad(embedded, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]
        v = v + ops.convert_to_tensor(self.positions)
        condition = None if condition is None else self.seen(condition)
        features = []
        for block in self.blocks:
            v, across = block.above(v, condition)
            features.append(across)
        return features

    def _along(self, embedded, above):
        # Shifted one column to the right: a position must not see itself.
        h = ops.pad(embedded, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]
        for block, across in zip(self.blocks, above, strict=True):
            h = block.along(h, across)
        return h

    def _read(self, h):
        for layer in self.head:
            h = layer(ops.relu(h))
        return h

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "depth": self.depth,
            "kernel_size": self.kernel_size,
            "seed": self.seed,
        }
