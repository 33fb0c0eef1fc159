"""Residual quantization: each stage quantizes what the stages before it left over."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.quantizers import base
from keras_vae.training import noise


@register
class Residual(base.Composed):
    """Stages of quantizers: each quantizes what the ones before it left over.

    Zeghidour et al., "SoundStream: An End-to-End Neural Audio Codec", 2021. A position has as
    many codes as there are stages, and its vector is the sum of theirs: q stages of K codes tell
    K^q vectors apart. The codes of features `(n, h, w, d)` are `(n, h, w * q)`.

    With `dropout` that share of the training examples keeps only the first 1 to q stages, as
    many as chance has it, so that `lookup(codes, stages=k)` decodes the first k of them.

    The gradient passes the whole sum once, and not each stage: it is the decoder's, whatever the
    number of stages. A stage of a new codebook waits until those before it have started: on its
    own batch, the first, second, ...

    Args:
        quantizers: a list of quantizers of equal `latent_dim` and `num_codes`; or one of them,
            of which there are `stages`, each with a codebook of its own.
        stages: how many, with one quantizer.
        dropout: from 0 to 1.
        gradient: "straight_through" or "rotation"; see `rotate`.

    Raises:
        ValueError: a value is out of its range, or quantizers that do not fit each other.
    """

    def __init__(
        self,
        quantizers: base.Quantizer | Sequence[base.Quantizer],
        stages: int | None = None,
        dropout: float = 0.0,
        gradient: str = "straight_through",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        parts = base.parts_of(quantizers, stages, "stages")
        if len({part.latent_dim for part in parts}) != 1:
            raise ValueError(
                "The stages must have equally many dimensions. "
                f"Received: latent_dim of {[part.latent_dim for part in parts]}"
            )
        if not all(part.takes_residuals for part in parts):
            raise ValueError(
                "A stage quantizes what is left over of its own features: finite scalars do not, "
                "as the rest of a rounding is never large, and a projection belongs around all "
                "stages, `Projected(Residual(...), latent_dim)`. "
                f"Received: {[type(part).__name__ for part in parts]}"
            )
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"`dropout` must be from 0 to 1. Received: dropout={dropout!r}")
        self._take(parts)
        self.latent_dim = parts[0].latent_dim
        self.dropout = float(dropout)
        self.gradient = base.one_of(gradient, "gradient", base.GRADIENTS)
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False, name="steps")

    def call(self, features, training=False):
        """Codes of the stages, those of a position beside each other."""
        rest, codes = self._checked(features), []
        for stage in self.parts:
            codes.append(stage(rest, training=training))
            rest = rest - stage.lookup(codes[-1])
        return self._laid_out(codes)

    def lookup(self, codes, stages=None):
        """Vectors `(n, ..., w, d)` of codes `(n, ..., w * q)`, float32.

        Args:
            codes: integers.
            stages: how many stages to add up, from the first; all by default.

        Raises:
            ValueError: more stages than there are, or none.
        """
        if stages is not None and not _checks.is_integer(stages, 1, len(self.parts)):
            raise ValueError(
                f"`stages` must be an integer from 1 to {len(self.parts)}. "
                f"Received: stages={stages!r}"
            )
        each = zip(self.parts[:stages], self._codes_of_parts(codes), strict=False)
        return sum(stage.lookup(c) for stage, c in each)

    def discretize(
        self, features: Tensor, training: bool = False, seed: Any = None
    ) -> base.Discretized:
        """See `Quantizer.discretize`; codes of dropped stages are given, and not added."""
        features = self._checked(features)
        dropped = training and self.dropout > 0.0
        kept = self._stages_kept(features, seed if dropped else None, dropped)
        rest, total, found, commitment, own = features, 0.0, [], 0.0, 0.0
        for i, stage in enumerate(self.parts):
            part = stage.discretize(rest, training, seed)
            vectors = ops.stop_gradient(stage.lookup(part.codes))
            lost, learned = part.commitment_loss, part.codebook_loss
            if dropped and i:
                here = ops.cast(kept > i, "float32")
                lost, learned = here * lost, here * learned
                vectors = vectors * ops.reshape(here, (-1,) + (1,) * (len(rest.shape) - 1))
            found.append(part)
            rest, total = rest - vectors, total + vectors
            commitment, own = commitment + lost, own + learned
        return base.Discretized(
            base.pass_gradient(self.gradient, features, total),
            self._laid_out([part.codes for part in found]),
            commitment,
            own,
            (tuple(part.record for part in found), kept),
        )

    def _stages_kept(self, features, seed, dropped):
        """How many stages each of n examples keeps: `(n,)`, float32."""
        n, q = ops.shape(features)[0], len(self.parts)
        if not dropped:
            return float(q) * ops.ones((n,))
        drops, number = ops.unstack(noise.uniform((2, n), seed, rows=1), 2)
        return ops.where(drops < self.dropout, 1.0 + ops.floor(number * q), float(q))

    def adapt(self, record, seed, weights=None, pending=None, ended=1):
        if not self.trainable:
            return
        parts, kept = record
        steps = ops.convert_to_tensor(self.steps)
        pending = self._pending_of_parts(pending)
        for i, (stage, part) in enumerate(zip(self.parts, parts, strict=True)):
            here = weights
            if i:
                here = ops.cast(steps >= i, "float32") * ops.cast(kept > i, "float32")
                here = here if weights is None else here * ops.cast(weights, "float32")
            stage.adapt(part, seed, here, pending[i], ended)
        self.steps.assign(steps + ops.cast(ended, "float32"))

    def get_config(self):
        return {**super().get_config(), "dropout": self.dropout, "gradient": self.gradient}
