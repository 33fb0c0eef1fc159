"""Vector quantizers: the nearest vector of a codebook, in Euclidean distance or by angle."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, initializers
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.quantizers import base
from keras_vae.quantizers.kmeans import kmeans, some_rows
from keras_vae.training import noise

CODEBOOKS = ("ema", "gradient")
DISTANCES = ("euclidean", "cosine")
STARTS = ("features", "kmeans")
# Count of pseudo-observations at the present value of each code.
PSEUDO_COUNT = 1e-5


@register
class VectorQuantizer(base.Quantizer):
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
    features of the first batch; or, with `start="kmeans"`, at the means that ten iterations
    of k-means find in it.

    With `distance="cosine"` features and codes are divided by their length, and the code of
    the smallest angle is chosen (Yu et al., "Vector-quantized Image Modeling with Improved
    VQGAN", 2022). That paper's codes of few dimensions are
    `Projected(VectorQuantizer(8192, 32, distance="cosine"), 256)`.

    Args:
        num_codes: number of codes K.
        latent_dim: number of dimensions d of a code.
        codebook: "ema" or "gradient".
        decay: γ of the running averages, from 0 up to but not including 1.
        revive_after: training steps, or None to keep unused codes.
        seed: int for the initial codes, the same on every backend; or None.
        distance: "euclidean" or "cosine".
        gradient: "straight_through" (that of the decoder's input, copied) or "rotation"
            (turned as the features are to become the code; see `rotate`).
        start: "features" or "kmeans", both of the first batch.

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
        distance: str = "euclidean",
        gradient: str = "straight_through",
        start: str = "features",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_codes = num_codes = _checks.count(num_codes, "num_codes", 2)
        self.latent_dim = _checks.count(latent_dim, "latent_dim")
        self.codebook = base.one_of(codebook, "codebook", CODEBOOKS)
        self.distance = base.one_of(distance, "distance", DISTANCES)
        self.gradient = base.one_of(gradient, "gradient", base.GRADIENTS)
        self.start = base.one_of(start, "start", STARTS)
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"`decay` must be in [0, 1). Received: decay={decay!r}")
        if revive_after is not None and not _checks.is_integer(revive_after):
            raise ValueError(
                "`revive_after` must be None or an integer of at least 1. "
                f"Received: revive_after={revive_after!r}"
            )
        self.decay = decay
        self.revive_after = revive_after
        self.seed = seed
        moves = revive_after is not None or start == "kmeans"
        self.moves_trained_codes = codebook == "gradient" and moves

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
            fresh = keras.initializers.Constant(revive_after)
            self.idle = state("idle", (num_codes,), fresh)
        if start == "kmeans":
            self.started = state("started")
            # Places in the first batch, the same on every backend: one in each of K equal parts.
            drawn = np.random.default_rng(0 if seed is None else seed).random(num_codes)
            self._places = ((np.arange(num_codes) + drawn) / num_codes).astype("float32")
        self.built = True

    def call(self, features, training=False):
        """The nearest codes."""
        features = self._checked(features)
        rows = ops.reshape(features, (-1, self.latent_dim))
        vectors = self._vectors()
        if self.distance == "cosine":
            nearness = ops.matmul(base.unit(rows), ops.transpose(vectors))
            codes = base.most(nearness, training)
        else:
            codes = base.nearest(rows, vectors, training)
        return ops.reshape(codes, (-1, *features.shape[1:-1]))

    def lookup(self, codes):
        """Vectors `(n, ..., d)` of codes `(n, ...)`, float32."""
        return ops.take(self._vectors(), codes, axis=0)

    def discretize(
        self, features: Tensor, training: bool = False, seed: Any = None
    ) -> base.Discretized:
        features = self._checked(features)
        codes = self(features, training=training)
        vectors = self.lookup(codes)
        if self.distance == "cosine":
            features = base.unit(features)
        commitment = base.squared_distance(features, ops.stop_gradient(vectors))
        learned = ops.zeros_like(commitment)
        if self.codebook == "gradient":
            learned = base.squared_distance(ops.stop_gradient(features), vectors)
        return base.Discretized(
            base.pass_gradient(self.gradient, features, vectors),
            codes,
            commitment,
            learned,
            (ops.stop_gradient(features), codes),
        )

    def adapt(self, record, seed, weights=None, pending=None, ended=1):
        self.adapt_codes(*record, seed, weights, pending, ended)

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
        if self.distance == "cosine":
            rows = base.unit(rows)
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
            vectors = base.unit(vectors) if self.distance == "cosine" else vectors
        if self.revive_after is not None:
            idle = ops.where(occurrences > 0, 0.0, self.idle + 1.0)
            dead = idle >= self.revive_after
            if weights is not None:
                dead = ops.logical_and(dead, ops.sum(counted) > 0.0)
            idle = ops.where(dead, 0.0, idle)
            drawn = noise.uniform((self.num_codes,), seed)
            place = some_rows(rows, drawn, None if weights is None else counted)
            column = ops.expand_dims(dead, -1)
            vectors = ops.where(column, place, vectors)
            if self.codebook == "ema":
                # As if that feature were the only one so far.
                counts = ops.where(dead, unbiased, counts)
                sums = ops.where(column, unbiased * place, sums)
        if self.start == "kmeans":
            first = ops.logical_and(self.started < 1.0, ops.sum(counted) > 0.0)
            vectors, bins = ops.cond(
                first,
                lambda: kmeans(rows, self._places, counted, self.distance == "cosine"),
                lambda: (vectors, occurrences),
            )
            if self.codebook == "ema":
                counts = ops.where(first, unbiased * bins, counts)
                means = unbiased * ops.expand_dims(bins, -1) * vectors
                sums = ops.where(first, means, sums)
            if self.revive_after is not None:
                idle = ops.where(first, 0.0, idle)
            assign(self.started, ops.where(first, 1.0, ops.convert_to_tensor(self.started)))
        if self.revive_after is not None:
            assign(self.idle, idle)
        if self.codebook == "ema":
            assign(self.counts, counts)
            assign(self.sums, sums)
        if self.codebook == "ema" or self.moves_trained_codes:
            assign(self.vectors, vectors)

    def pending_sums(self):
        """Variables in which `adapt_codes` sums up over the batches of one step."""

        def zeros(*shape):
            return keras.Variable(np.zeros(shape, "float32"), trainable=False)

        sums = zeros(self.num_codes, self.latent_dim) if self.codebook == "ema" else None
        return zeros(self.num_codes), sums

    def _vectors(self):
        vectors = ops.convert_to_tensor(self.vectors)
        return base.unit(vectors) if self.distance == "cosine" else vectors

    def get_config(self):
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "latent_dim": self.latent_dim,
            "codebook": self.codebook,
            "decay": self.decay,
            "revive_after": self.revive_after,
            "seed": self.seed,
            "distance": self.distance,
            "gradient": self.gradient,
            "start": self.start,
        }
