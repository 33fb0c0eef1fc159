"""Products of independent distributions."""

from collections.abc import Sequence

from keras import ops

from keras_vae.distributions.base import Distribution, distribution_of


class Product(Distribution):
    """Independent parts, concatenated along the last axis.

    Args:
        parts: distributions over vectors.
    """

    def __init__(self, parts: Sequence[Distribution]) -> None:
        super().__init__(1)
        self.parts = parts

    @property
    def noise_dim(self):
        return sum(part.noise_dim for part in self.parts)

    def _split(self, values, sizes):
        start, pieces = 0, []
        for size in sizes:
            pieces.append(values[..., start : start + size])
            start += size
        return zip(self.parts, pieces, strict=True)

    @property
    def mean(self):
        return ops.concatenate([part.mean for part in self.parts], axis=-1)

    @property
    def expected(self):
        return ops.concatenate([part.expected for part in self.parts], axis=-1)

    @property
    def center(self):
        return ops.concatenate([part.center for part in self.parts], axis=-1)

    def transform(self, noise):
        sizes = [part.noise_dim for part in self.parts]
        pieces = [part.transform(piece) for part, piece in self._split(noise, sizes)]
        return ops.concatenate(pieces, axis=-1)

    def choice_weights(self, noise):
        sizes = [part.noise_dim for part in self.parts]
        each = [part.choice_weights(piece) for part, piece in self._split(noise, sizes)]
        weights = None
        for factor in each:
            if factor is not None:
                weights = factor if weights is None else weights * factor
        return weights

    def transform_and_log_prob(self, noise):
        sizes = [part.noise_dim for part in self.parts]
        drawn = [part.transform_and_log_prob(piece) for part, piece in self._split(noise, sizes)]
        log_probs = [log_prob for _, log_prob in drawn]
        # A part without a density leaves the whole without one.
        known = all(log_prob is not None for log_prob in log_probs)
        samples = ops.concatenate([sample for sample, _ in drawn], axis=-1)
        return samples, sum(log_probs) if known else None

    def log_prob(self, x):
        sizes = [part.center.shape[-1] for part in self.parts]
        return sum(part.log_prob(piece) for part, piece in self._split(x, sizes))

    def kl_each(self, other):
        pairs = zip(self.parts, distribution_of(other).parts, strict=True)
        return ops.concatenate([q.kl_each(p) for q, p in pairs], axis=-1)

    def kl_parts(self, other):
        """KL of each part to that of another `Product`, a list of `(...)` in nats."""
        other = distribution_of(other)
        if not isinstance(other, Product) or len(other.parts) != len(self.parts):
            return self._unknown_kl(other)
        return [q.kl(p) for q, p in zip(self.parts, other.parts, strict=True)]

    def kl(self, other):
        return sum(self.kl_parts(other))
