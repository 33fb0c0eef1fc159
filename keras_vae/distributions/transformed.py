"""Invertible maps of a distribution."""

from collections.abc import Sequence
from typing import Any

from keras_vae.distributions.base import Distribution
from keras_vae.distributions.normal import Normal


class Transformed(Distribution):
    """Samples of a normal distribution after invertible maps (flows).

    log q_K(z_K) = log q_0(z_0) - Σ log|det ∂z_k/∂z_k-1|, Rezende & Mohamed 2015. The
    mean has no closed form; `center` is the image of the mean of the normal.

    Args:
        base: `Normal` over `(n, d)`.
        flows: flows of `keras_vae.flows`, applied in order. `flow(z)` returns z' and the
            log-determinant; `flow.inverse(z')`, if it exists, returns z and the
            log-determinant of the forward map.
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
        z, log_prob = self.base.transform_and_log_prob(noise)
        moved, log_det = self._through(z)
        return moved, log_prob - log_det

    def log_prob(self, x):
        """Log-density of `x` in nats, if all flows have an inverse.

        Raises:
            NotImplementedError: a flow has no inverse; `sample_and_log_prob` returns
                samples with their densities.
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
