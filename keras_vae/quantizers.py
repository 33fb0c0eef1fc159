"""Quantizers: map encoder features to the nearest vectors of a codebook.

A quantizer takes the place of the posterior: q(z|x) is one code per position of a map,
without noise. Its losses are sums over positions and dimensions of the codes, so that
the weight of one code depends neither on the size of the map nor on that of the batch.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, initializers
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.training import kernels, noise

CODEBOOKS = ("ema", "gradient")
# Count of pseudo-observations at the present value of each code.
PSEUDO_COUNT = 1e-5


def perplexity(counts: Tensor) -> Tensor:
    """exp(entropy) of the frequencies of the codes, from 1 to the number of codes.

    Args:
        counts: `(num_codes,)`, not all 0.

    Returns:
        Scalar, float32.
    """
    counts = ops.cast(counts, "float32")
    share = counts / ops.sum(counts)
    return ops.exp(-ops.sum(share * ops.log(ops.maximum(share, 1e-30))))


def straight_through(features: Tensor, vectors: Tensor) -> Tensor:
    """The vectors, with the gradient of the features.

    van den Oord et al. 2017: the gradient at the decoder's input is copied to the
    encoder's output.
    """
    return features + ops.stop_gradient(vectors - features)


@register
class VectorQuantizer(keras.layers.Layer):
    """The nearest of `num_codes` vectors at each position.

    van den Oord, Vinyals & Kavukcuoglu, "Neural Discrete Representation
    Learning", 2017.

    With `codebook="ema"` the codes are running averages of their features (the paper's
    appendix): N ← γN + (1-γ)n and m ← γm + (1-γ)Σz, both divided by 1 - γ^t, which
    makes them unbiased from the first step on. Smoothing adds a small count at the
    present value of the code: each code stays in the convex hull of its features, and
    an unused code does not move. With "gradient" the codes are trained by
    ‖sg(features) - code‖².

    A code without features for `revive_after` training steps is set to a random feature
    of the batch. All codes of a new codebook count as unused, so that they start at
    features of the first batch.

    Args:
        num_codes: number of codes K.
        latent_dim: number of dimensions d of a code.
        codebook: "ema" or "gradient".
        decay: γ of the running averages, from 0 up to but not including 1.
        revive_after: training steps, or None to keep unused codes.
        seed: int for the initial codes, the same on every backend; or None.

    Input shape: `(n, ..., d)`. Output: codes `(n, ...)`, int32.

    Raises:
        ValueError: a value is out of its range, or unknown.
    """

    def __init__(
        self,
        num_codes: int,
        latent_dim: int,
        codebook: str = "ema",
        decay: float = 0.99,
        revive_after: int | None = 100,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", "name": "quantizer", **kwargs})
        self.num_codes = _checks.count(num_codes, "num_codes", 2)
        self.latent_dim = _checks.count(latent_dim, "latent_dim")
        if codebook not in CODEBOOKS:
            raise ValueError(
                f"`codebook` must be one of {CODEBOOKS}. Received: codebook={codebook!r}"
            )
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"`decay` must be in [0, 1). Received: decay={decay!r}")
        if revive_after is not None and not _checks.is_integer(revive_after):
            raise ValueError(
                "`revive_after` must be None or an integer of at least 1. "
                f"Received: revive_after={revive_after!r}"
            )
        self.codebook = codebook
        self.decay = decay
        self.revive_after = revive_after
        self.seed = seed

        def state(name, shape=(), start="zeros"):
            return self.add_weight(shape=shape, initializer=start, trainable=False, name=name)

        self.vectors = self.add_weight(
            shape=(num_codes, latent_dim),
            initializer=initializers.GlorotUniform(seed),
            trainable=codebook == "gradient",
            name="vectors",
        )
        if codebook == "ema":
            self.counts = state("counts", (num_codes,))
            self.sums = state("sums", (num_codes, latent_dim))
            self.updates = state("updates")
        if revive_after is not None:
            start = keras.initializers.Constant(revive_after)
            self.idle = state("idle", (num_codes,), start)
        self.built = True

    def call(self, features, training=False):
        """The nearest codes."""
        rows = ops.reshape(ops.cast(features, "float32"), (-1, self.latent_dim))
        vectors = ops.convert_to_tensor(self.vectors)
        # ‖z - e‖² without ‖z‖², which is the same for all codes. Relative to the centre of
        # the codes the remaining terms are small, and so are their rounding errors.
        centre = ops.mean(vectors, axis=0, keepdims=True)
        rows, vectors = rows - centre, vectors - centre
        half = 0.5 * ops.sum(ops.square(vectors), axis=-1)
        nearness = ops.matmul(rows, ops.transpose(vectors)) - half
        if training:
            codes = kernels.argmax(nearness)
        else:
            # Slower than argmax; but `export` would quantize the argument of ArgMax to 8 bits.
            codes = ops.cast(ops.top_k(nearness, 1)[1], "int32")
        return ops.reshape(codes, (-1, *features.shape[1:-1]))

    def lookup(self, codes):
        """Vectors `(n, ..., d)` of codes `(n, ...)`, float32."""
        return ops.take(ops.convert_to_tensor(self.vectors), codes, axis=0)

    def histogram(self, codes, weights=None):
        """Counts of the codes: `(num_codes,)`, float32.

        Args:
            codes: `(n, ...)`.
            weights: `(n,)`, weights of the examples; 1 by default.
        """
        return self._summed(self._counted(codes, weights), codes)

    def adapt_codes(self, features, codes, seed, weights=None, pending=None, ended=1):
        """Updates the codebook after a training step, unless it is frozen.

        With `pending` what the features say is summed up over the batches of a step, and the
        codebook moves at its end: as it would after one batch of them all. Unused codes are
        then put on features of the last batch.

        Args:
            features: `(n, ..., d)`, outputs of the encoder.
            codes: `(n, ...)`, their nearest codes.
            seed: a `SeedGenerator`, for the features that replace unused codes.
            weights: `(n,)`, weights of the examples, or None.
            pending: what `pending_sums` gave; None where each batch is a step.
            ended: 1 where the batch ends a step, else 0; a scalar.
        """
        if not self.trainable:
            return
        rows = ops.reshape(ops.cast(features, "float32"), (-1, self.latent_dim))
        counted = self._counted(codes, weights)
        occurrences = self._summed(counted, codes)
        total = None
        if self.codebook == "ema":
            total = self._summed(rows * ops.expand_dims(counted, -1), codes)
        ended = ops.cast(ended, "bool") if pending else None
        if pending:
            occurrences, total = (
                None if new is None else waiting + new
                for waiting, new in zip(pending, (occurrences, total), strict=True)
            )
            for waiting, new in zip(pending, (occurrences, total), strict=True):
                if waiting is not None:
                    waiting.assign(ops.where(ended, 0.0, new))

        def assign(variable, value):
            variable.assign(
                value if ended is None else ops.where(ended, value, ops.convert_to_tensor(variable))
            )

        vectors = ops.convert_to_tensor(self.vectors)
        if self.codebook == "ema":
            rate = 1.0 - self.decay
            counts = self.decay * self.counts + rate * occurrences
            sums = self.decay * self.sums + rate * total
            updates = ops.convert_to_tensor(self.updates) + 1.0
            assign(self.updates, updates)
            unbiased = 1.0 - ops.power(self.decay, updates)
            seen = ops.expand_dims(counts / unbiased, -1)
            vectors = (sums / unbiased + PSEUDO_COUNT * vectors) / (seen + PSEUDO_COUNT)
        if self.revive_after is not None:
            idle = ops.where(occurrences > 0, 0.0, self.idle + 1.0)
            dead = idle >= self.revive_after
            if weights is not None:
                dead = ops.logical_and(dead, ops.sum(counted) > 0.0)
            assign(self.idle, ops.where(dead, 0.0, idle))
            place = self._some(rows, seed, None if weights is None else counted)
            column = ops.expand_dims(dead, -1)
            vectors = ops.where(column, place, vectors)
            if self.codebook == "ema":
                # As if that feature were the only one so far.
                counts = ops.where(dead, unbiased, counts)
                sums = ops.where(column, unbiased * place, sums)
        if self.codebook == "ema":
            assign(self.counts, counts)
            assign(self.sums, sums)
        if self.codebook == "ema" or self.revive_after is not None:
            assign(self.vectors, vectors)

    def pending_sums(self):
        """Variables in which `adapt_codes` sums up over the batches of one step."""

        def zeros(*shape):
            return keras.Variable(np.zeros(shape, "float32"), trainable=False)

        sums = zeros(self.num_codes, self.latent_dim) if self.codebook == "ema" else None
        return zeros(self.num_codes), sums

    def _some(self, rows, seed, counted=None):
        """A random row for each code, of those that count more than 0."""
        number = ops.shape(rows)[0]
        place = noise.uniform((self.num_codes,), seed)
        if counted is None:
            place = ops.cast(place * ops.cast(number, "float32"), "int32")
            return ops.take(rows, ops.minimum(place, number - 1), axis=0)
        # The rows that count are 1, 2, ... in their own order; row i is the i-th of them.
        order = ops.cumsum(ops.cast(counted > 0.0, "int32"))
        place = ops.cast(place * ops.cast(order[-1], "float32"), "int32")
        place = ops.minimum(place, order[-1] - 1)
        return ops.take(rows, ops.searchsorted(order, place + 1), axis=0)

    def _counted(self, codes, weights):
        """Weights of the positions: `(positions,)`."""
        ones = ops.ones_like(codes, dtype="float32")
        if weights is not None:
            weights = ops.cast(weights, "float32")
            ones = ones * ops.reshape(weights, (-1,) + (1,) * (len(codes.shape) - 1))
        return ops.reshape(ones, (-1,))

    def _summed(self, values, codes):
        return ops.segment_sum(values, ops.reshape(codes, (-1,)), num_segments=self.num_codes)

    def compute_output_spec(self, features, training=False):
        return keras.KerasTensor(features.shape[:-1], dtype="int32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "latent_dim": self.latent_dim,
            "codebook": self.codebook,
            "decay": self.decay,
            "revive_after": self.revive_after,
            "seed": self.seed,
        }
