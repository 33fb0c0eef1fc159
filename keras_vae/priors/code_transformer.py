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

    def next_logits(self, position, previous, row, *others):
        """Logits `(n, num_codes)` of one position, and its own keys and values.

        What is in the places of positions that come later is not seen, and must be finite.

        Args:
            position: its index from 0, an integer scalar.
            previous: codes `(n,)` of the position before; of the first position any.
            row: keys and values `(depth, 2, n, heads, columns, width / heads)` of its row.
            *others: the keys of the first block `(n, heads, positions, width / heads)`, its
                values, those of the other blocks, of which the rows above are seen; then encoded
                conditions, if any. An array for each, as XLA copies what is cut from a larger one.

        Returns:
            `(logits, own)`, own `(depth, 2, n, heads, width / heads)`.
        """
        position, row = map(ops.convert_to_tensor, (position, row))
        above, condition = others[: 2 * self.depth], others[2 * self.depth :]
        first = ops.cast(position == 0, "float32")
        before = self.embed(previous)
        x = before + first * (ops.convert_to_tensor(self.start) - before)
        place = ops.take(ops.convert_to_tensor(self.positions), ops.reshape(position, (1,)), axis=0)
        x = ops.expand_dims(x + place, 1)
        condition = self.seen(*condition) if condition else None
        columns = self.map_shape[1]
        column = position % columns
        in_row, in_rows_above = (
            _NEVER * ops.cast(ops.arange(size, dtype="int32") >= end, "float32")
            for size, end in ((columns, column), (self.length, position - column))
        )
        every = []
        for i, block in enumerate(self.blocks):
            parts = block.parts(condition)
            query, *own = block.projected(x, parts)
            every += own
            seen = [
                (row[i, 0], row[i, 1], in_row),
                (above[2 * i], above[2 * i + 1], in_rows_above),
            ]
            x = block.attended_by_one(x, query, own, seen, parts)
        shape = (self.depth, 2, -1, self.heads, self.width // self.heads)
        own = ops.reshape(ops.cast(ops.concatenate(every, axis=0), "float32"), shape)
        return self.read(x)[:, 0], own

    def _walk(self, codes, conditions, compiled):
        next_logits = compiled(self, "next_logits")
        n, columns = len(codes), self.map_shape[1]
        shape = (self.depth, 2, n, self.heads, self.length, self.width // self.heads)
        # In NumPy's memory, which is written in place: a program that returned all of it would
        # copy it at each position. It goes to the device once a row.
        kept = np.zeros(shape, "float32")
        previous = np.zeros(n, "int32")
        for position in range(self.length):
            i, j = divmod(position, columns)
            if j == 0:
                above = [ops.convert_to_tensor(each.copy()) for block in kept for each in block]
                row = np.zeros_like(kept[..., :columns, :])
            logits, own = next_logits(np.int32(position), previous, row, *above, *conditions)
            row[..., j, :] = kept[..., position, :] = ops.convert_to_numpy(own)
            yield i, j, ops.convert_to_numpy(logits)
            previous = codes[:, i, j].copy()
