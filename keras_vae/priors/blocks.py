"""Blocks of the networks of priors, steered by a condition through their normalisations."""

import math

import keras
from keras import ops

from keras_vae import initializers
from keras_vae.training import kernels


class AttentionBlock(keras.layers.Layer):
    """Attention, then two dense layers, each behind a normalisation.

    The condition shifts and scales what was normalised, and scales what is added: adaptive
    normalisation that starts as the identity, Peebles & Xie 2023.

    Args:
        width: features of each position, a multiple of `heads`.
        heads: of the attention.
        condition_dim: length of conditions, or None.
        seeds: of the initial weights, an iterator.
        fused: attend by `kernels.attention`, which is faster and has no second derivative.
    """

    def __init__(self, width, heads, condition_dim, seeds, fused=True, **kwargs):
        super().__init__(**kwargs)
        self.width, self.heads, self.fused = width, heads, fused

        def dense(inputs, units, name, **options):
            initializer = initializers.GlorotUniform(next(seeds))
            options = {"kernel_initializer": initializer, **options}
            layer = keras.layers.Dense(units, dtype=self.dtype_policy, name=name, **options)
            layer.build((None, inputs))
            return layer

        plain = condition_dim is None
        self.norms = [
            keras.layers.LayerNormalization(
                center=plain, scale=plain, epsilon=1e-6, dtype=self.dtype_policy, name=f"norm_{i}"
            )
            for i in range(2)
        ]
        for norm in self.norms:
            norm.build((None, None, width))
        self.project = dense(width, 3 * width, "project")
        self.out = dense(width, width, "out")
        self.wide = dense(width, 4 * width, "wide", activation="gelu")
        self.narrow = dense(4 * width, width, "narrow")
        self.condition = None
        if not plain:
            self.condition = dense(
                condition_dim, 6 * width, "condition", kernel_initializer="zeros"
            )
        self.built = True

    def parts(self, condition):
        """Shift, scale and gate `(n, 1, width)` of both halves; of no condition 0, 0 and 1."""
        if self.condition is None:
            return (0.0, 0.0, 1.0, 0.0, 0.0, 1.0)
        a, b, c, d, e, f = ops.split(ops.expand_dims(self.condition(condition), 1), 6, axis=-1)
        return a, b, 1.0 + c, d, e, 1.0 + f

    def projected(self, x, parts):
        """Queries, keys and values `(n, t, width)` of positions `(n, t, width)`."""
        return ops.split(self.project(self.norms[0](x) * (1.0 + parts[1]) + parts[0]), 3, axis=-1)

    def attended(self, x, queries, keys, values, mask, parts):
        """x after this block. `mask`: what is added to scores, broadcast to `(n, h, t, s)`;
        None for none."""
        queries, keys, values = map(self._in_heads, (queries, keys, values))
        if self.fused:
            seen = kernels.attention(queries, keys, values, mask)
        else:
            size = self.width // self.heads
            scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2))) / math.sqrt(size)
            scores = scores if mask is None else scores + mask
            seen = ops.matmul(ops.softmax(scores, axis=-1), values)
        return self._after(x, seen, parts)

    def attended_by_one(self, x, query, own, others, parts):
        """`attended` of one position, x and `query` `(n, 1, width)`, which copies no other one.

        Args:
            own: its key and its value, `(n, 1, width)` each. It sees itself.
            others: `(keys, values, mask)` of groups of other positions, in heads: keys and
                values `(n, heads, s, width / heads)`, and what is added to their scores,
                broadcast to `(n, heads, 1, s)`.
        """
        query, key, value = map(self._in_heads, (query, *own))
        query = query / math.sqrt(self.width // self.heads)
        scores, values = [], []
        for group in others:
            keys, found = (ops.cast(each, self.compute_dtype) for each in group[:2])
            scores.append(ops.matmul(query, ops.transpose(keys, (0, 1, 3, 2))) + group[2])
            values.append(found)
        scores.append(ops.sum(query * key, axis=-1, keepdims=True))
        weights = ops.softmax(ops.concatenate(scores, axis=-1), axis=-1)
        seen, start = weights[..., -1:] * value, 0
        for found in values:
            end = start + found.shape[2]
            seen, start = seen + ops.matmul(weights[..., start:end], found), end
        return self._after(x, seen, parts)

    def _after(self, x, seen, parts):
        """x after what its attention has seen, in heads, is added, and the dense layers."""
        seen = ops.reshape(ops.transpose(seen, (0, 2, 1, 3)), (-1, x.shape[1], self.width))
        x = x + parts[2] * self.out(seen)
        inner = self.norms[1](x) * (1.0 + parts[4]) + parts[3]
        return x + parts[5] * self.narrow(self.wide(inner))

    def _in_heads(self, x):
        # What a draw has kept is of single precision.
        x = ops.cast(x, self.compute_dtype)
        x = ops.reshape(x, (-1, x.shape[1], self.heads, self.width // self.heads))
        return ops.transpose(x, (0, 2, 1, 3))


class DenseBlock(keras.layers.Layer):
    """Two dense layers behind an adaptive normalisation, added to the input `(n, width)`."""

    def __init__(self, width, seeds, **kwargs):
        super().__init__(**kwargs)

        def dense(inputs, units, name, **options):
            initializer = initializers.GlorotUniform(next(seeds))
            options = {"kernel_initializer": initializer, **options}
            layer = keras.layers.Dense(units, dtype=self.dtype_policy, name=name, **options)
            layer.build((None, inputs))
            return layer

        self.norm = keras.layers.LayerNormalization(
            center=False, scale=False, epsilon=1e-6, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((None, width))
        self.wide = dense(width, 2 * width, "wide", activation="silu")
        self.narrow = dense(2 * width, width, "narrow")
        self.condition = dense(width, 3 * width, "condition", kernel_initializer="zeros")
        self.built = True

    def call(self, x, condition):
        shift, scale, gate = ops.split(self.condition(condition), 3, axis=-1)
        inner = self.norm(x) * (1.0 + scale) + shift
        return x + (1.0 + gate) * self.narrow(self.wide(inner))

    def compute_output_shape(self, x, condition):
        return x
