"""A distribution sent through invertible maps."""

from collections.abc import Sequence
from typing import Any

from keras_vae.distributions.base import Distribution
from keras_vae.distributions.normal import Normal


class Transformed(Distribution):
    """Samples of a normal distribution, sent through flows.

    log q_K(z_K) = log q_0(z_0) - Σ log|det ∂z_k/∂z_k-1|, Rezende & Mohamed 2015. Its
    mean is not known; `center` is where the flows send the mean of the first.

    Args:
        base: `Normal` over `(n, d)`.
        flows: flows of `keras_vae.flows`, applied in order: `flow(z)` gives where z
            goes and the log-determinant; `flow.inverse(z)`, if there is one, where z
            came from and the log-determinant of the way there.
    """

    def __init__(self, base: Normal, flows: Sequence[Any]) -> None:
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
