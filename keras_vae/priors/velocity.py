"""Networks of velocity fields: codes and times in, the direction of motion out."""

import math

import keras
import numpy as np
from keras import ops

from keras_vae import initializers
from keras_vae.priors.blocks import AttentionBlock, DenseBlock

# Periods of the features of a time in [0, 1], from two down to a twentieth.
_FREQUENCIES = math.pi * np.geomspace(1.0, 40.0, 16).astype("float32")


class VelocityField(keras.layers.Layer):
    """v(x, t, y) of codes x, times t and conditions y.

    Vectors go through residual dense blocks; each position of a map is a token of a
    transformer (Peebles & Xie, "Scalable Diffusion Models with Transformers", 2023). Time and
    condition steer each normalisation. The last layer starts at 0: nothing moves.

    Args:
        code_shape: `(d,)`, or `(h, w, c)` of maps.
        condition_dim: length of conditions, or None.
        width: features of a vector, or of each position.
        depth: number of blocks.
        heads: of the attention over maps.
        seeds: iterator of seeds.
    """

    def __init__(self, code_shape, condition_dim, width, depth, heads, seeds, **kwargs):
        # The layers inside cast what they take: half precision has too few digits for times.
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.code_shape, self.width = code_shape, width
        self.length = None if len(code_shape) == 1 else math.prod(code_shape[:-1])

        def dense(inputs, units, name, **options):
            initializer = initializers.GlorotUniform(next(seeds))
            options = {"kernel_initializer": initializer, **options}
            layer = keras.layers.Dense(units, dtype=self.dtype_policy, name=name, **options)
            layer.build((None, inputs))
            return layer

        self.time = dense(2 * len(_FREQUENCIES), width, "time", activation="silu")
        self.known = dense(width, width, "known")
        self.condition = None
        if condition_dim is not None:
            self.condition = dense(condition_dim, width, "condition")
        self.inward = dense(code_shape[-1], width, "inward")
        self.positions = None
        if self.length is not None:
            initializer = initializers.GlorotUniform(next(seeds))
            self.positions = self.add_weight(
                shape=(self.length, width), initializer=initializer, name="positions"
            )

        def block(name):
            if self.length is None:
                return DenseBlock(width, seeds, dtype=self.dtype_policy, name=name)
            # The gradient of a density, which holds a divergence, is a second derivative.
            options = {"fused": False, "dtype": self.dtype_policy, "name": name}
            return AttentionBlock(width, heads, width, seeds, **options)

        self.blocks = [block(f"block_{i}") for i in range(depth)]
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((None, width) if self.length is None else (None, None, width))
        self.outward = dense(width, code_shape[-1], "outward", kernel_initializer="zeros")
        self.built = True

    def features_of(self, times):
        """Sines and cosines of times `(n,)`, float32: `(n, 32)`."""
        angles = ops.expand_dims(times, -1) * ops.convert_to_tensor(_FREQUENCIES)
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)

    def call(self, x, times, condition=None):
        """Velocities `(n, *code_shape)`, float32, of codes of that shape and times `(n,)`."""
        steer = self.known(self.time(self.features_of(times)))
        if self.condition is not None:
            steer = steer + self.condition(condition)
        steer = ops.silu(steer)
        if self.length is None:
            hidden = self.inward(x)
            for block in self.blocks:
                hidden = block(hidden, steer)
            return ops.cast(self.outward(self.norm(hidden)), "float32")
        tokens = ops.reshape(x, (-1, self.length, self.code_shape[-1]))
        hidden = self.inward(tokens) + ops.convert_to_tensor(self.positions)
        for block in self.blocks:
            parts = block.parts(steer)
            hidden = block.attended(hidden, *block.projected(hidden, parts), None, parts)
        outputs = ops.cast(self.outward(self.norm(hidden)), "float32")
        return ops.reshape(outputs, (-1, *self.code_shape))

    def compute_output_shape(self, x, *others):
        return x
