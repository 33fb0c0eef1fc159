"""Autoregressive priors over maps of codes: log p(c) = Σ_i log p(c_i | c_<i).

The order of positions is row by row, from left to right.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, initializers
from keras_vae._registry import register


def _gate(x):
    """tanh(a) · σ(b) of features split in two."""
    a, b = ops.split(x, 2, axis=-1)
    return ops.tanh(a) * ops.sigmoid(b)


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
            return keras.layers.Conv2D(
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
class GatedPixelCNN(keras.layers.Layer):
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

    Raises:
        ValueError: a size that is out of range.
    """

    can_sample = True
    is_mixture = False

    def __init__(
        self,
        num_codes: int,
        map_shape: Sequence[int],
        condition_dim: int | None = None,
        channels: int = 64,
        depth: int = 8,
        kernel_size: int = 3,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", "name": "prior", **kwargs})
        map_shape = tuple(map_shape)
        channels, depth = _checks.count(channels, "channels"), _checks.count(depth, "depth")
        num_codes = _checks.count(num_codes, "num_codes")
        if len(map_shape) != 2 or not all(map(_checks.is_integer, map_shape)):
            raise ValueError(
                f"`map_shape` must be (height, width). Received: map_shape={map_shape}"
            )
        if not _checks.is_integer(kernel_size, 3) or kernel_size % 2 == 0:
            raise ValueError(
                "`kernel_size` must be an odd integer of at least 3. "
                f"Received: kernel_size={kernel_size!r}"
            )
        self.num_codes = num_codes
        self.map_shape = map_shape
        self.condition_dim = condition_dim
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
                condition_dim,
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

    def log_prob(self, codes, condition=None):
        """log p(c) in nats, summed over the map: `(n,)`, float32."""
        each = ops.sparse_categorical_crossentropy(codes, self(codes, condition), from_logits=True)
        return -ops.sum(each, axis=(1, 2))

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

    def next_codes(self, column, row_codes, noise, *above):
        """Codes `(n,)` of one column of a row, int32.

        Args:
            column: its index, an integer scalar.
            row_codes: the row `(n, w)`; only the positions to the left are read.
            noise: `(n, num_codes)`, standard Gumbel for an exact draw and zeros for
                the most probable code.
            *above: the result of `told` for the row.
        """
        features = self._along(ops.expand_dims(self.embed(row_codes), 1), above)
        chosen = ops.take(features, ops.reshape(column, (1,)), axis=2)
        logits = ops.reshape(self._read(chosen), (-1, self.num_codes))
        return ops.cast(ops.top_k(logits + ops.convert_to_tensor(noise), 1)[1], "int32")[..., 0]

    def attach(self, model):
        """Part of the interface of `priors.Prior`; does nothing here."""

    def sample(self, n, rng, condition=None, temperature=1.0, compiled=getattr):
        """Draws maps of codes with NumPy's noise: the same on every backend.

        The vertical stack runs once per row, the horizontal stack once per position and
        on its row only: a map costs about two passes per row.

        Args:
            n: number of maps.
            rng: a `numpy.random.Generator`.
            condition: encoded conditions `(n, c)` or None.
            temperature: factor of the noise; 1 draws from the prior, 0 takes the most
                probable code at each position.
            compiled: function from this layer and the name "told" or "next_codes" to
                the compiled method.

        Returns:
            NumPy array `(n, h, w)`, int32.
        """
        told, next_codes = compiled(self, "told"), compiled(self, "next_codes")
        height, width = self.map_shape
        noise = rng.gumbel(size=(n, height, width, self.num_codes)).astype("float32")
        noise *= np.float32(temperature)
        conditions = () if condition is None else (condition,)
        codes = np.zeros((n, height, width), "int32")
        for i in range(height):
            above = told(np.int32(i), codes, *conditions)
            for j in range(width):
                drawn = next_codes(np.int32(j), codes[:, i], noise[:, i, j], *above)
                codes[:, i, j] = ops.convert_to_numpy(drawn)
        return codes

    def _above(self, embedded, condition):
        # Shifted one row down: a row must not see itself.
        v = ops.pad(embedded, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]
        v = v + ops.convert_to_tensor(self.positions)
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

    def compute_output_spec(self, codes, condition=None):
        return keras.KerasTensor((*codes.shape, self.num_codes), dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "map_shape": self.map_shape,
            "condition_dim": self.condition_dim,
            "channels": self.channels,
            "depth": self.depth,
            "kernel_size": self.kernel_size,
            "seed": self.seed,
        }
