"""A transformer that fills in masked codes, many positions at a time."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae.priors import guidance as guiding
from keras_vae.priors.attention import AttentionPrior
from keras_vae.priors.codes import check_choice, choose
from keras_vae.training import kernels
from keras_vae.training import noise as noises

# Masks of the bound outside training: all of them, where there are no more.
MASKS = 32


@register
class MaskedTransformer(AttentionPrior):
    """Masked transformer prior over maps of integer codes, which draws in a few parallel steps.

    Chang et al., "MaskGIT: Masked Generative Image Transformer", 2022: attention in both
    directions predicts the codes of masked positions. A draw begins with all positions masked;
    each step draws them all and keeps the most certain ones, by a cosine schedule. It costs
    `steps` passes, and not one per position, and is exported.

    `log_prob` is a lower bound: any order of the positions gives a density, and the bound is the
    mean over all orders, E_k T/k Σ_{i masked} log p(c_i | the rest) with k of T positions masked
    (Hoogeboom et al., "Autoregressive Diffusion Models", 2022). Training draws one mask for each
    example and maximises it (MaskGIT leaves out the factor and masks by a cosine); outside
    training it is the mean over 32 masks that are always the same, or over all if they are no more.
    Draws in fewer steps than positions are not exactly from that density.

    Args:
        num_codes: K; codes are integers from 0 to K - 1.
        map_shape: `(height, width)` of a map.
        condition_dim: length of encoded conditions, or None.
        width: features of each position, a multiple of `heads`.
        depth: number of blocks.
        heads: of the attention.
        steps: of a draw, where none are given; at most the number of positions.
        choice_temperature: factor of the noise in what counts as certain, which falls to 0
            with the steps; more gives more varied draws.
        seed: int for the initial weights, the same on every backend; or None.
        condition_dropout: part of the conditions that training drops, so that samples can be
            guided; see `priors.guidance`.

    Raises:
        ValueError: a size that is out of range.
    """

    from_noise = True
    # The last embedding is that of a masked position.
    other_embeddings = 1

    def __init__(
        self,
        num_codes: int,
        map_shape: Sequence[int],
        condition_dim: int | None = None,
        width: int = 128,
        depth: int = 6,
        heads: int = 4,
        steps: int = 8,
        choice_temperature: float = 4.5,
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
        self.steps = self._number(steps)
        self.choice_temperature = _checks.at_least_0("choice_temperature", choice_temperature)

    @property
    def noise_shape(self):
        """Shape of the Gumbel noise of one map, see `transform`."""
        return (self.steps, self.length, self.num_codes + 1)

    def call(self, codes, condition=None):
        """Logits of each position, given those that are not masked.

        Args:
            codes: `(n, h, w)` integers; `num_codes` where a position is masked.
            condition: encoded conditions `(n, condition_dim)`, or None.

        Returns:
            `(n, h, w, num_codes)`, float32.
        """
        shape = (-1, *self.map_shape, self.num_codes)
        flat = ops.reshape(ops.cast(codes, "int32"), (-1, self.length))
        return ops.reshape(self.masked_logits(flat, condition), shape)

    def masked_logits(self, codes, condition=None):
        """As `call`, of codes `(n, positions)`: `(n, positions, num_codes)`."""
        x = ops.take(ops.convert_to_tensor(self.embedding), codes, axis=0)
        x = x + ops.convert_to_tensor(self.positions)
        condition = None if condition is None else self.seen(condition)
        for block in self.blocks:
            parts = block.parts(condition)
            x = block.attended(x, *block.projected(x, parts), None, parts)
        return self.read(x)

    def log_prob(self, codes, condition=None):
        """A lower bound on log p(c) in nats, `(n,)`, float32: the mean over masks; see above."""
        flat = ops.reshape(ops.cast(codes, "int32"), (-1, self.length))
        total = 0.0
        for mask, weight in self._masks():
            mask = ops.zeros_like(flat) + ops.convert_to_tensor(mask.astype("int32"))
            total = total + weight * self._log_prob_of(flat, mask, condition)
        return total

    def training_log_prob(self, codes, condition, seed):
        """The bound of a training step, by one random mask for each example: `(n,)`."""
        flat = ops.reshape(ops.cast(codes, "int32"), (-1, self.length))
        n, length = ops.shape(flat)[0], self.length
        # One of each nth of the sizes, so that a batch has masks of all sizes.
        index = ops.cast(ops.arange(n), "float32") / ops.cast(n, "float32")
        share = ops.mod(index + noises.uniform((1,), seed), 1.0)
        size = ops.minimum(ops.floor(share * length), length - 1.0) + 1.0
        drawn = noises.uniform((n, length), seed, rows=0)
        rank = ops.argsort(ops.argsort(drawn, axis=-1), axis=-1)
        mask = ops.cast(ops.cast(rank, "float32") < ops.expand_dims(size, -1), "int32")
        return length / size * self._log_prob_of(flat, mask, condition)

    def _log_prob_of(self, codes, mask, condition):
        """Σ log p(c_i | the rest) over the masked positions, `(n,)`."""
        logits = self.masked_logits(codes * (1 - mask) + self.num_codes * mask, condition)
        each = kernels.cross_entropy(codes, logits)
        return -ops.sum(each * ops.cast(mask, "float32"), axis=-1)

    def _masks(self):
        """Pairs of a mask `(positions,)` and what it counts in the bound."""
        length = self.length
        if 2**length - 1 <= MASKS:
            for kept in itertools.product((0, 1), repeat=length):
                size = sum(kept)
                if size:
                    yield np.array(kept), 1.0 / (size * math.comb(length, size))
            return
        rng = np.random.default_rng(0)
        for i in range(MASKS):
            size = 1 + int((i + 0.5) / MASKS * length)
            mask = np.zeros(length, int)
            mask[rng.permutation(length)[:size]] = 1
            yield mask, length / (size * MASKS)

    def sample(
        self,
        n,
        rng,
        condition=None,
        temperature=1.0,
        compiled=getattr,
        *,
        top_k=None,
        top_p=None,
        guidance=1.0,
        steps=None,
    ):
        """Draws maps of codes with NumPy's noise: the same on every backend.

        Args: as `GatedPixelCNN.sample`, and
            steps: of the draw; those of the constructor by default.

        Returns:
            NumPy array `(n, h, w)`, int32.
        """
        check_choice(self.num_codes, temperature, top_k, top_p)
        guiding.check(self, guidance, condition)
        steps = self.steps if steps is None else self._number(steps)
        shape = (n, steps, self.length, self.num_codes + 1)
        noise = rng.gumbel(size=shape).astype("float32")
        guided = guidance != 1.0
        if guided:
            condition = ops.concatenate([guiding.flagged(condition, drop) for drop in (0.0, 1.0)])
        conditions = () if condition is None else (condition,)
        run = compiled(self, "masked_logits")
        codes = np.full((n, self.length), self.num_codes, "int32")
        for step, masked in enumerate(self._schedule(steps)):
            seen = np.concatenate([codes, codes]) if guided else codes.copy()
            logits = ops.convert_to_numpy(run(seen, *conditions))
            if guided:
                logits = logits[n:] + np.float32(guidance) * (logits[:n] - logits[n:])
            flat = logits.reshape(-1, self.num_codes)
            drawn = choose(
                flat, noise[:, step, :, :-1].reshape(flat.shape), temperature, top_k, top_p
            ).reshape(codes.shape)
            top = logits.max(-1, keepdims=True)
            shares = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
            certain = np.take_along_axis(shares, drawn[..., None], -1)[..., 0]
            factor = np.float32(temperature * self._choice(step, steps))
            certain = certain + factor * noise[:, step, :, -1]
            certain = np.where(codes == self.num_codes, certain, np.float32(np.inf))
            drawn = np.where(codes == self.num_codes, drawn, codes)
            # Stable, as in `transform`: of equals the first is kept.
            rank = np.argsort(np.argsort(-certain, axis=-1, kind="stable"), axis=-1, kind="stable")
            codes = np.where(rank < self.length - masked, drawn, self.num_codes).astype("int32")
        return codes.reshape(n, *self.map_shape)

    def transform(self, noise, condition=None):
        """Codes `(n, h, w)` int32 of Gumbel noise, all steps in one program: for exports.

        Args:
            noise: `(n, steps, positions, num_codes + 1)`: for each step and position the noise
                of its codes, and that of what counts as certain.
            condition: encoded conditions, or None.
        """
        k = self.num_codes
        codes = ops.cast(0.0 * noise[:, 0, :, 0], "int32") + k
        index = ops.arange(self.length)
        earlier = ops.cast(ops.expand_dims(index, 0) < ops.expand_dims(index, 1), "float32")
        for step, masked in enumerate(self._schedule(self.steps)):
            logits = self.masked_logits(codes, condition)
            # `argmax` of Keras looks at the bits of numbers, which TFLite does not.
            best = ops.top_k(logits + noise[:, step, :, :k], 1)[1]
            drawn = ops.cast(best, "int32")[..., 0]
            chosen = ops.one_hot(drawn, k, dtype="float32")
            shares = logits - ops.logsumexp(logits, axis=-1, keepdims=True)
            certain = ops.sum(chosen * shares, axis=-1)
            certain = certain + self._choice(step, self.steps) * noise[:, step, :, k]
            free = codes == k
            certain = ops.where(free, certain, ops.full_like(certain, 1e9))
            drawn = ops.where(free, drawn, codes)
            # The rank of each position: how many are more certain, or as much and earlier.
            mine, others = ops.expand_dims(certain, 2), ops.expand_dims(certain, 1)
            before = ops.cast(others > mine, "float32")
            before = before + ops.cast(others == mine, "float32") * earlier
            kept = ops.sum(before, axis=-1) < self.length - masked
            codes = ops.where(kept, drawn, ops.full_like(drawn, k))
        return ops.reshape(codes, (-1, *self.map_shape))

    def _schedule(self, steps):
        """How many positions are masked after each step."""
        masked, left = [], self.length
        for step in range(1, steps + 1):
            # At least one is kept by each step, and one is left for each to come.
            wanted = int(self.length * math.cos(0.5 * math.pi * step / steps))
            left = max(min(left - 1, wanted), steps - step)
            masked.append(left)
        return masked

    def _choice(self, step, steps):
        return self.choice_temperature * (1.0 - (step + 1) / steps)

    def _number(self, steps):
        return min(_checks.count(steps, "steps"), self.length)

    def get_config(self):
        own = {"steps": self.steps, "choice_temperature": self.choice_temperature}
        return {**super().get_config(), **own}
