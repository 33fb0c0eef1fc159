"""Two distributions, the second a function of the first."""

from collections.abc import Callable

from keras import ops

from keras_vae import _checks
from keras_vae._types import Tensor
from keras_vae.distributions.base import Distribution
from keras_vae.distributions.normal import Normal


def check_top_dim(latent_dim, top_dim):
    """Raises `ValueError` unless both layers of codes have at least one dimension."""
    if not _checks.is_integer(top_dim, 1, latent_dim - 1):
        raise ValueError(
            "`top_dim` must be an integer from 1 to one less than all latent dimensions. "
            f"Received: top_dim={top_dim!r}, latent_dim={latent_dim}"
        )


class Chained(Distribution):
    """A normal, and a second normal whose parameters depend on a sample of the first.

    The mean has no closed form; `center` is the mean of the second at the mean of the first.

    Args:
        first: `Normal` over `(..., d)`.
        of: function from samples of the first to `(mean, log_var)` of the second.
        upwards: True if the first normal comes first in the code, as z₁ does in q. The
            prior draws z₂ first, which comes last in the code.
    """

    def __init__(
        self, first: Normal, of: Callable[[Tensor], tuple[Tensor, Tensor]], upwards: bool
    ) -> None:
        super().__init__(1)
        self.first, self.of, self.upwards = first, of, upwards

    def _second(self, sample):
        return Normal(*self.of(sample))

    def _joined(self, first, second):
        return ops.concatenate([first, second] if self.upwards else [second, first], axis=-1)

    def _parts(self, values):
        """Splits codes or noise into the part of the first normal and that of the second."""
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

    def transform_and_log_prob(self, noise):
        first, second = self._parts(ops.cast(noise, "float32"))
        sample, log_first = self.first.transform_and_log_prob(first)
        other, log_second = self._second(sample).transform_and_log_prob(second)
        return self._joined(sample, other), log_first + log_second

    def log_prob(self, x):
        first, second = self._parts(ops.cast(x, "float32"))
        return self.first.log_prob(first) + self._second(first).log_prob(second)

    def kl(self, other):
        return self._unknown_kl(other)
