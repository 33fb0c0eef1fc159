"""Several heads: parts of the features that are quantized by themselves."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.quantizers import base


@register
class Heads(base.Composed):
    """Features divided into parts, each quantized by itself.

    A position has as many codes as there are heads: q heads of K codes tell K^q vectors apart.
    The codes of features `(n, h, w, d)` are `(n, h, w * q)`.

    Args:
        quantizers: a list of quantizers of equal `num_codes`, whose `latent_dim` together are d;
            or one of them, of which there are `heads`.
        heads: how many, with one quantizer.
        shared: whether all heads use the one quantizer; or else each has a codebook of its own.

    Raises:
        ValueError: quantizers that do not fit each other, or no number of heads.
    """

    def __init__(
        self,
        quantizers: base.Quantizer | Sequence[base.Quantizer],
        heads: int | None = None,
        shared: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shared = bool(shared)
        parts = base.parts_of(quantizers, 1 if shared else heads, "heads")
        self._take(parts)
        self.heads = len(parts)
        if self.shared:
            self.heads = _checks.count(heads, "heads")
            self.codes_per_position *= self.heads
            self.latent_dim = self.heads * parts[0].latent_dim
        else:
            self.latent_dim = sum(part.latent_dim for part in parts)

    def call(self, features, training=False):
        """Codes of the heads, those of a position beside each other."""
        parts = self._divided(self._checked(features))
        codes = [p(x, training=training) for p, x in zip(self.parts, parts, strict=True)]
        return self._joined_codes(codes)

    def lookup(self, codes):
        """Vectors `(n, ..., w, d)` of codes `(n, ..., w * q)`, float32."""
        if self.shared:
            return self._joined([self.parts[0].lookup(codes)])
        each = zip(self.parts, self._codes_of_parts(codes), strict=True)
        return self._joined([part.lookup(c) for part, c in each])

    def discretize(
        self, features: Tensor, training: bool = False, seed: Any = None
    ) -> base.Discretized:
        parts = self._divided(self._checked(features))
        found = [
            part.discretize(x, training, seed) for part, x in zip(self.parts, parts, strict=True)
        ]
        return base.Discretized(
            self._joined([f.vectors for f in found]),
            self._joined_codes([f.codes for f in found]),
            sum(f.commitment_loss for f in found),
            sum(f.codebook_loss for f in found),
            tuple(f.record for f in found),
        )

    def adapt(self, record, seed, weights=None, pending=None, ended=1):
        pending = self._pending_of_parts(pending)
        for part, own, sums in zip(self.parts, record, pending, strict=True):
            part.adapt(own, seed, weights, sums, ended)

    def _divided(self, features):
        """What each part quantizes; heads that share one are positions of it."""
        if not self.shared:
            ends = []
            for part in self.parts[:-1]:
                ends.append(part.latent_dim + (ends[-1] if ends else 0))
            return ops.split(features, ends, axis=-1)
        *others, width, _ = features.shape[1:]
        dim = self.parts[0].latent_dim
        return [ops.reshape(features, (-1, *others, width * self.heads, dim))]

    def _joined(self, vectors):
        if not self.shared:
            return ops.concatenate(vectors, axis=-1)
        *others, width, _ = vectors[0].shape[1:]
        return ops.reshape(vectors[0], (-1, *others, width // self.heads, self.latent_dim))

    def _joined_codes(self, codes):
        return codes[0] if self.shared else self._laid_out(codes)

    def get_config(self):
        shared = {"heads": self.heads, "shared": True} if self.shared else {}
        return {**super().get_config(), **shared}

    @classmethod
    def from_config(cls, config):
        quantizers = base.deserialize_parts(config["quantizers"])
        quantizers = quantizers[0] if config.get("shared") else quantizers
        return cls(**{**config, "quantizers": quantizers})
