"""A transformer over maps of codes: log p(c) = Σ_i log p(c_i | c_<i), with attention."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_vae._registry import register
from keras_vae.priors.attention import AttentionPrior

# Added to the scores of positions that are not seen.
_NEVER = -1e9


@register
class CodeTransformer(AttentionPrior):
    """Transformer prior over maps of integer codes.

    Esser, Rombach & Ommer, "Taming Transformers for High-Resolution Image Synthesis", 2021: a
    decoder as of language models over the codes row by row, in which each position sees all
    before it, and not a neighbourhood as in `GatedPixelCNN`. The condition steers every
    normalisation. Its use is that of `GatedPixelCNN`; draws keep the keys and values of the
    positions before, so that a map costs about as much as one pass per position.

    Args:
        num_codes: codes are integers from 0 to `num_codes - 1`.
        map_shape: `(height, width)` of a map.
        condition_dim: length of encoded conditions, or None.
        width: features of each position, a multiple of `heads`.
        depth: number of blocks.
        heads: of the attention.
        seed: int for the initial weights, the same on every backend; or None.
        condition_dropout: part of the conditions that training drops, so that samples can be
            guided; see `priors.guidance`.

    Raises:
        ValueError: a size that is out of range.
    """

    other_rows = {"start": 1}

    def __init__(
        self,
        num_codes: int,
        map_shape: Sequence[int],
        condition_dim: int | None = None,
        width: int = 128,
        depth: int = 6,
        heads: int = 4,
        seed: int | None = None,
        condition_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_codes,
            map_shape,
            condition_dim,
            condition_dropout,
            width,
            depth,
            heads,
            seed,
            **kwargs,
        )

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
        """Learned features `(..., width)` of codes."""
        return ops.take(ops.convert_to_tensor(self.embedding), codes, axis=0)

    def logits(self, embedded, condition=None):
        """As `call`, for embedded codes `(n, h, w, width)`."""
        x = ops.reshape(embedded, (-1, self.length, self.width))
        # Shifted by one: a position must not see itself.
        start = ops.zeros_like(x[:, :1]) + ops.convert_to_tensor(self.start)
        x = ops.concatenate([start, x[:, :-1]], axis=1) + ops.convert_to_tensor(self.positions)
        condition = None if condition is None else self.seen(condition)
        mask = np.triu(np.full((self.length, self.length), _NEVER, "float32"), 1)
        for block in self.blocks:
            parts = block.parts(condition)
            x = block.attended(x, *block.projected(x, parts), ops.convert_to_tensor(mask), parts)
        shape = (-1, *self.map_shape, self.num_codes)
        return ops.reshape(self.read(x), shape)

    def next_logits(self, position, previous, kept, condition=None):
        """Logits `(n, num_codes)` of one position, and what the next one needs.

        Args:
            position: its index from 0, an integer scalar.
            previous: codes `(n,)` of the position before; of the first position any.
            kept: keys and values `(n, depth, 2, positions, width)` of those before.
            condition: encoded conditions, or None.

        Returns:
            `(logits, kept)`.
        """
        position, kept = ops.convert_to_tensor(position), ops.convert_to_tensor(kept)
        first = ops.cast(position == 0, "float32")
        before = self.embed(previous)
        x = before + first * (ops.convert_to_tensor(self.start) - before)
        place = ops.take(ops.convert_to_tensor(self.positions), ops.reshape(position, (1,)), axis=0)
        x = ops.expand_dims(x + place, 1)
        condition = None if condition is None else self.seen(condition)
        index = ops.arange(self.length, dtype="int32")
        here = ops.reshape(ops.cast(index == position, "float32"), (1, -1, 1))
        mask = _NEVER * ops.reshape(ops.cast(index > position, "float32"), (1, 1, 1, -1))
        stored = []
        for i, block in enumerate(self.blocks):
            parts = block.parts(condition)
            query, *own = block.projected(x, parts)
            both = [kept[:, i, j] + here * ops.cast(own[j], "float32") for j in range(2)]
            stored.append(ops.stack(both, axis=1))
            x = block.attended(x, query, *both, mask, parts)
        return self.read(x)[:, 0], ops.stack(stored, axis=1)

    def _walk(self, codes, conditions, compiled):
        next_logits = compiled(self, "next_logits")
        n, width = len(codes), self.map_shape[1]
        kept = np.zeros((n, self.depth, 2, self.length, self.width), "float32")
        previous = np.zeros(n, "int32")
        for position in range(self.length):
            i, j = divmod(position, width)
            logits, kept = next_logits(np.int32(position), previous, kept, *conditions)
            yield i, j, ops.convert_to_numpy(logits)
            previous = codes[:, i, j].copy()
