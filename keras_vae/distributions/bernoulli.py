"""Independent Bernoulli variables."""

from keras import ops

from keras_vae._types import Tensor
from keras_vae.distributions.base import Distribution, sum_event
from keras_vae.training import kernels, noise


class Bernoulli(Distribution):
    """Independent Bernoulli variables, parameterised by logits.

    `log_prob` accepts any x in [0, 1]; between 0 and 1 it is the negative
    cross-entropy, which is a log-likelihood for x in {0, 1} only.

    Args:
        logits: log-odds `(..., event)`.
        event_ndim: number of trailing axes that make one event.
    """

    def __init__(self, logits: Tensor, event_ndim: int = 1) -> None:
        super().__init__(event_ndim)
        self.logits = logits

    @property
    def mean(self):
        return ops.sigmoid(self.logits)

    def transform(self, noise):
        """Turns uniform `noise` in [0, 1) into samples in {0, 1}."""
        return ops.cast(noise < self.mean, "float32")

    def noise(self, samples, seed):
        shape = (samples, *ops.shape(self.logits))
        return noise.uniform(shape, seed, rows=1)

    def log_prob_each(self, x):
        return ops.cast(x, "float32") * self.logits - kernels.softplus(self.logits)

    def entropy(self):
        """Entropy in nats, `(...)`."""
        each = kernels.softplus(self.logits) - self.mean * self.logits
        return sum_event(each, self.event_ndim)

    def kl_each(self, other):
        if not isinstance(other, Bernoulli):
            return self._unknown_kl(other)
        # log σ(l) and log σ(-l) stay finite where log of a rounded mean would not.
        p = self.mean
        each = p * (self.logits - other.logits)
        return each + kernels.softplus(other.logits) - kernels.softplus(self.logits)
