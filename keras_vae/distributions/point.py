"""A point mass, which has no density."""

from keras import ops

from keras_vae._types import Tensor
from keras_vae.distributions.base import Distribution


class Point(Distribution):
    """All mass in one point: the code of an autoencoder that is not variational.

    It has no density: methods that need one raise an error.

    Args:
        mean: the point, array `(n, d)`.
        event_ndim: number of trailing axes that make one event.
    """

    def __init__(self, mean: Tensor, event_ndim: int = 1) -> None:
        super().__init__(event_ndim)
        self.mean = mean

    @property
    def variance(self):
        return ops.zeros_like(self.mean)

    def mean_covariance(self):
        d = self.mean.shape[-1]
        return ops.zeros((d, d), "float32")

    def transform(self, noise):
        return self.mean + ops.zeros_like(noise)

    def transform_and_log_prob(self, noise):
        return self.transform(noise), None

    def log_prob(self, x):
        """Raises `ValueError`: there is no density."""
        raise ValueError(
            "A point has no density: an autoencoder's codes have neither a KL nor a bound "
            "on the likelihood. Use a variational posterior. Received: posterior=Point"
        )

    def kl(self, other):
        """Raises `ValueError`: there is no density."""
        return self.log_prob(other)
