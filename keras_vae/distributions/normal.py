"""Normal distributions with a diagonal or a full covariance."""

from keras import ops

from keras_vae._types import Tensor
from keras_vae.distributions.base import LOG_2PI, Distribution, distribution_of, sum_event


class Normal(Distribution):
    """Normal distribution with a diagonal covariance.

    Args:
        mean: array `(..., event)`.
        log_var: log σ², broadcastable to `mean`.
        event_ndim: number of trailing axes that make one event.
    """

    def __init__(self, mean: Tensor, log_var: Tensor, event_ndim: int = 1) -> None:
        super().__init__(event_ndim)
        self.mean = mean
        self.log_var = log_var

    @property
    def variance(self):
        return ops.exp(self.log_var)

    def transform(self, noise):
        """Turns standard normal `noise` into samples: mean + σ · noise."""
        return self.mean + ops.exp(0.5 * self.log_var) * noise

    def transform_and_log_prob(self, noise):
        # From the noise: (z - mean) / σ loses digits where σ is small beside the mean.
        each = -0.5 * (LOG_2PI + self.log_var + ops.square(ops.cast(noise, "float32")))
        return self.transform(noise), sum_event(each, self.event_ndim)

    def log_prob_each(self, x):
        x = ops.cast(x, "float32")
        squared = ops.square(x - self.mean) * ops.exp(-self.log_var)
        return -0.5 * (LOG_2PI + self.log_var + squared)

    def mean_covariance(self):
        return _diagonal(ops.mean(self.variance + ops.zeros_like(self.mean), axis=0))

    def entropy(self):
        """Differential entropy in nats, `(...)`."""
        each = 0.5 * (1.0 + LOG_2PI + self.log_var) + ops.zeros_like(self.mean)
        return sum_event(each, self.event_ndim)

    def kl_each(self, other):
        if not isinstance(other, Normal):
            return self._unknown_kl(other)
        ratio = self.log_var - other.log_var
        squared = ops.square(self.mean - other.mean) * ops.exp(-other.log_var)
        return 0.5 * (ops.exp(ratio) + squared - 1.0 - ratio)

    def kl(self, other):
        other = distribution_of(other)
        if isinstance(other, MultivariateNormal) and self.event_ndim == 1:
            return self._kl_to_full(other)
        return super().kl(other)

    def _kl_to_full(self, other):
        # Σ_ij (L⁻¹)²_ij σ²_j is the trace of Σ⁻¹ diag(σ²) for Σ = LLᵀ.
        squares = ops.square(other.inverse_factor())
        trace = ops.sum(_times(squares, self.variance), axis=-1)
        log_var = ops.sum(self.log_var + ops.zeros_like(self.mean), axis=-1)
        log_det = other.log_det_covariance() - log_var
        squared = other.squared_distance(self.mean)
        return 0.5 * (trace + squared - self.mean.shape[-1] + log_det)


class MultivariateNormal(Distribution):
    """Normal distribution with a full covariance L Lᵀ.

    Args:
        mean: array `(..., d)`.
        factor: L, lower triangular with a positive diagonal, `(n, d, d)`, or
            `(d, d)` for all.
    """

    def __init__(self, mean: Tensor, factor: Tensor) -> None:
        super().__init__(event_ndim=1)
        self.mean = mean
        self.factor = factor

    @property
    def variance(self):
        """Variance of each coordinate, `(n, d)` or `(d,)`."""
        return ops.sum(ops.square(self.factor), axis=-1)

    def mean_covariance(self):
        # E[L Lᵀ] as one product: the columns of all factors beside each other.
        d = self.factor.shape[-1]
        columns = ops.reshape(ops.transpose(self.factor, (1, 0, 2)), (d, -1))
        n = ops.cast(ops.shape(self.factor)[0], "float32")
        return ops.matmul(columns, ops.transpose(columns)) / n

    def marginals(self):
        """The marginal of each coordinate, a `Normal`."""
        return Normal(self.mean, ops.log(self.variance))

    def transform(self, noise):
        """Turns standard normal `noise` into samples: mean + L · noise."""
        return self.mean + _times(self.factor, ops.cast(noise, "float32"))

    def transform_and_log_prob(self, noise):
        squared = ops.sum(ops.square(noise), axis=-1)
        return self.transform(noise), self._log_prob_of(squared)

    def inverse_factor(self):
        """L⁻¹, in the shape of the factor."""
        identity = ops.eye(self.factor.shape[-1], dtype="float32")
        identity = identity + ops.zeros_like(self.factor)
        return ops.linalg.solve_triangular(self.factor, identity, lower=True)

    def squared_distance(self, x):
        """Squared Mahalanobis distance of `x` from the mean, `(...)`."""
        white = _times(self.inverse_factor(), ops.cast(x, "float32") - self.mean)
        return ops.sum(ops.square(white), axis=-1)

    def log_det_covariance(self):
        """log det(L Lᵀ), `(n,)` or a scalar."""
        diagonal = ops.diagonal(self.factor, axis1=-2, axis2=-1)
        return 2.0 * ops.sum(ops.log(diagonal), axis=-1)

    def _log_prob_of(self, squared):
        constant = self.factor.shape[-1] * LOG_2PI + self.log_det_covariance()
        return -0.5 * (constant + squared)

    def log_prob(self, x):
        """Log-density of `x`, `(n, d)` or `(K, n, d)`, in nats."""
        return self._log_prob_of(self.squared_distance(x))

    def entropy(self):
        """Differential entropy in nats, `(n,)` or a scalar."""
        return 0.5 * (self.factor.shape[-1] * (1.0 + LOG_2PI) + self.log_det_covariance())

    def kl_each(self, other):
        """KL of the marginal of each coordinate; the sum is at most the KL."""
        return self.marginals().kl_each(other)

    def kl(self, other):
        other = distribution_of(other)
        if not isinstance(other, Normal):
            return self._unknown_kl(other)
        squared = self.variance + ops.square(self.mean - other.mean)
        each = squared * ops.exp(-other.log_var) - 1.0 + other.log_var
        return 0.5 * (ops.sum(each, axis=-1) - self.log_det_covariance())


def _diagonal(values):
    """The diagonal matrix of a vector."""
    return ops.eye(values.shape[-1], dtype="float32") * values


def _times(matrix, vectors):
    """Matrices `(..., d, d)` times vectors `(..., d)`."""
    return ops.squeeze(ops.matmul(matrix, ops.expand_dims(vectors, -1)), -1)
