"""Distributions made of others: sent through flows, side by side, one upon another."""

from keras import ops

from keras_vae import distributions


class Transformed(distributions.Distribution):
    """Samples of a normal distribution, sent through flows.

    log q_K(z_K) = log q_0(z_0) - Σ log|det ∂z_k/∂z_k-1|, Rezende & Mohamed 2015. Its
    mean is not known; `center` is where the flows send the mean of the first.

    Args:
        base: `Normal` over `(n, d)`.
        flows: flows of `keras_vae.flows`, applied in order: `flow(z)` gives where z
            goes and the log-determinant; `flow.inverse(z)`, if there is one, where z
            came from and the log-determinant of the way there.
    """

    def __init__(self, base, flows):
        super().__init__(1)
        self.base = base
        self.flows = flows

    def _through(self, z):
        total = 0.0
        for flow in self.flows:
            z, log_det = flow(z)
            total = total + log_det
        return z, total

    @property
    def center(self):
        return self._through(self.base.mean)[0]

    @property
    def noise_dim(self):
        return self.base.noise_dim

    def noise(self, samples, seed):
        return self.base.noise(samples, seed)

    def transform(self, noise):
        return self._through(self.base.transform(noise))[0]

    def transform_and_log_prob(self, noise):
        z = self.base.transform(noise)
        moved, log_det = self._through(z)
        return moved, self.base.log_prob(z) - log_det

    def log_prob(self, x):
        """Log-density of `x` in nats, where every flow has an inverse.

        Raises:
            NotImplementedError: one has none; `sample_and_log_prob` gives samples
                with their densities.
        """
        if not all(hasattr(flow, "inverse") for flow in self.flows):
            raise NotImplementedError(
                "These flows have no inverse in closed form, so that only their own samples "
                "have a density: use `sample_and_log_prob(samples, seed)`."
            )
        total = 0.0
        for flow in reversed(self.flows):
            x, log_det = flow.inverse(x)
            total = total + log_det
        return self.base.log_prob(x) - total

    def kl(self, other):
        return self._unknown_kl(other)


class Product(distributions.Distribution):
    """Independent parts, one after another along the last axis.

    Args:
        parts: distributions over vectors.
    """

    def __init__(self, parts):
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
    def center(self):
        return ops.concatenate([part.center for part in self.parts], axis=-1)

    def transform(self, noise):
        sizes = [part.noise_dim for part in self.parts]
        pieces = [part.transform(piece) for part, piece in self._split(noise, sizes)]
        return ops.concatenate(pieces, axis=-1)

    def log_prob(self, x):
        sizes = [part.center.shape[-1] for part in self.parts]
        return sum(part.log_prob(piece) for part, piece in self._split(x, sizes))

    def kl_each(self, other):
        pairs = zip(self.parts, distributions.distribution_of(other).parts, strict=True)
        return ops.concatenate([q.kl_each(p) for q, p in pairs], axis=-1)

    def kl_parts(self, other):
        """KL of every part to that of another `Product`, a list of `(...)` in nats."""
        other = distributions.distribution_of(other)
        if not isinstance(other, Product) or len(other.parts) != len(self.parts):
            return self._unknown_kl(other)
        return [q.kl(p) for q, p in zip(self.parts, other.parts, strict=True)]

    def kl(self, other):
        return sum(self.kl_parts(other))


class Chained(distributions.Distribution):
    """A normal, and a second one whose parameters are made of the first one's sample.

    Its mean is not known; `center` is the second one's mean at the mean of the first.

    Args:
        first: `Normal` over `(..., d)`.
        of: function from samples of the first to `(mean, log_var)` of the second.
        upwards: whether the first stands first in the code, as z₁ does in q; in the
            prior z₂ is drawn first, and stands last.
    """

    def __init__(self, first, of, upwards):
        super().__init__(1)
        self.first, self.of, self.upwards = first, of, upwards

    def _second(self, sample):
        return distributions.Normal(*self.of(sample))

    def _joined(self, first, second):
        return ops.concatenate([first, second] if self.upwards else [second, first], axis=-1)

    def _parts(self, values):
        """What of codes or noise belongs to the first normal, and to the second."""
        size = self.first.mean.shape[-1]
        if self.upwards:
            return values[..., :size], values[..., size:]
        return values[..., -size:], values[..., :-size]

    @property
    def center(self):
        return self._joined(self.first.mean, self._second(self.first.mean).mean)

    def transform(self, noise):
        first, second = self._parts(ops.cast(noise, "float32"))
        sample = self.first.transform(first)
        return self._joined(sample, self._second(sample).transform(second))

    def log_prob(self, x):
        first, second = self._parts(ops.cast(x, "float32"))
        return self.first.log_prob(first) + self._second(first).log_prob(second)

    def kl(self, other):
        return self._unknown_kl(other)
