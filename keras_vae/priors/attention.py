"""What priors of maps of codes with attention share: their weights and their config."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import keras
from keras import ops

from keras_vae import _checks, initializers
from keras_vae.priors.blocks import AttentionBlock
from keras_vae.priors.codes import CodePrior


class AttentionPrior(CodePrior):
    """Base class: embedded codes and positions, blocks of attention, logits.

    A subclass has what `CodePrior` asks for.

    Args:
        num_codes, map_shape, condition_dim, condition_dropout: as `CodePrior`.
        width: features of each position, a multiple of `heads`.
        depth: number of blocks.
        heads: of the attention.
        seed: int for the initial weights, the same on every backend; or None.

    Attributes:
        other_embeddings: embeddings besides those of the codes.
        other_rows: how many rows of other learned features, by their names.

    Raises:
        ValueError: a size that is out of range.
    """

    other_embeddings = 0
    other_rows: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        num_codes,
        map_shape,
        condition_dim,
        condition_dropout,
        width,
        depth,
        heads,
        seed,
        **kwargs,
    ):
        super().__init__(num_codes, map_shape, condition_dim, condition_dropout, **kwargs)
        width, depth = _checks.count(width, "width"), _checks.count(depth, "depth")
        if width % _checks.count(heads, "heads"):
            raise ValueError(
                f"`width` must be a multiple of `heads`. Received: width={width}, heads={heads}"
            )
        self.width, self.depth, self.heads, self.seed = width, depth, heads, seed
        self.length = math.prod(self.map_shape)
        seeds = initializers.seeds(seed)

        def weight(name, rows):
            initializer = initializers.GlorotUniform(next(seeds))
            return self.add_weight(shape=(rows, width), initializer=initializer, name=name)

        self.embedding = weight("embedding", num_codes + self.other_embeddings)
        self.positions = weight("positions", self.length)
        for name, rows in self.other_rows.items():
            setattr(self, name, weight(name, rows))
        dim, policy = self.seen_condition_dim, self.dtype_policy
        self.blocks = [
            AttentionBlock(width, heads, dim, seeds, dtype=policy, name=f"block_{i}")
            for i in range(depth)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, dtype=policy, name="norm")
        self.norm.build((None, None, width))
        self.head = keras.layers.Dense(
            num_codes,
            kernel_initializer=initializers.GlorotUniform(next(seeds)),
            dtype=policy,
            name="logits",
        )
        self.head.build((None, width))
        self.built = True

    def read(self, x):
        """Logits `(..., num_codes)`, float32, of the last block's features `(..., width)`."""
        return ops.cast(self.head(self.norm(x)), "float32")

    def get_config(self):
        own = ("width", "depth", "heads", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
