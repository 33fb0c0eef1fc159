"""Probability distributions: stateless, tensors in, tensors out, in nats.

A distribution holds its parameters (backend tensors or NumPy arrays) and
nothing else: no weights, no seed. `log_prob`, `entropy` and `kl` sum over the
last `event_ndim` axes, so a latent code `(..., d)` has `event_ndim=1` and an
image `(..., h, w, c)` has `event_ndim=3`. Everything is computed in float32,
whatever the precision of the network that made the parameters.
"""

import math

import keras
from keras import ops

LOG_2PI = math.log(2.0 * math.pi)


def sum_event(values, event_ndim):
    """Sums `values` over its last `event_ndim` axes."""
    return ops.sum(values, axis=tuple(range(-event_ndim, 0)))


class Distribution:
    """What every distribution offers; the parts rely on these names only."""

    def __init__(self, event_ndim):
        self.event_ndim = event_ndim

    def log_prob_each(self, x):
        """Log-density or log-mass of every coordinate, not summed."""
        raise NotImplementedError

    def log_prob(self, x):
        """Log-density of `x` in nats, summed over the event axes.

        Args:
            x: array whose shape broadcasts with the parameters, `(..., event)`.

        Returns:
            Tensor `(...)`.
        """
        return sum_event(self.log_prob_each(x), self.event_ndim)

    def kl(self, other):
        """`KL(self || other)` in nats where a closed form is known.

        Raises:
            NotImplementedError: there is no closed form for this pair; average
                `self.log_prob(z) - other.log_prob(z)` over samples instead.
        """
        raise NotImplementedError(
            "No closed form is known for KL("
            f"{type(self).__name__} || {type(other).__name__}). Average "
            "`q.log_prob(z) - p.log_prob(z)` over samples z of q instead."
        )


class Normal(Distribution):
    """Normal distribution with a diagonal covariance.

    Args:
        mean: array `(..., event)`.
        log_var: log σ², broadcastable to `mean`.
        event_ndim: number of trailing axes that make one event.
    """

    def __init__(self, mean, log_var, event_ndim=1):
        super().__init__(event_ndim)
        self.mean = mean
        self.log_var = log_var

    @property
    def variance(self):
        return ops.exp(self.log_var)

    def transform(self, noise):
        """Turns standard normal `noise` into samples: mean + σ · noise."""
        return self.mean + ops.exp(0.5 * self.log_var) * noise

    def sample(self, samples, seed):
        """Draws reparameterised samples.

        Args:
            samples: number of samples K.
            seed: an int or a `keras.random.SeedGenerator`.

        Returns:
            Tensor `(K, ..., event)`.
        """
        shape = (samples, *ops.shape(self.mean))
        return self.transform(keras.random.normal(shape, dtype="float32", seed=seed))

    def log_prob_each(self, x):
        x = ops.cast(x, "float32")
        squared = ops.square(x - self.mean) * ops.exp(-self.log_var)
        return -0.5 * (LOG_2PI + self.log_var + squared)

    def entropy(self):
        """Differential entropy in nats, `(...)`."""
        each = 0.5 * (1.0 + LOG_2PI + self.log_var) + ops.zeros_like(self.mean)
        return sum_event(each, self.event_ndim)

    def kl_each(self, other):
        """KL of every coordinate to another `Normal`, in nats, not summed."""
        ratio = self.log_var - other.log_var
        squared = ops.square(self.mean - other.mean) * ops.exp(-other.log_var)
        return 0.5 * (ops.exp(ratio) + squared - 1.0 - ratio)

    def kl(self, other):
        if hasattr(other, "distribution"):
            other = other.distribution()
        if isinstance(other, MultivariateNormal) and self.event_ndim == 1:
            return self._kl_to_full(other)
        if not isinstance(other, Normal):
            return super().kl(other)
        return sum_event(self.kl_each(other), self.event_ndim)

    def _kl_to_full(self, other):
        # Σ_ij (L⁻¹)²_ij σ²_j is the trace of Σ⁻¹ diag(σ²) for Σ = LLᵀ.
        inverse = other.inverse_factor()
        trace = ops.sum(ops.matmul(self.variance, ops.transpose(ops.square(inverse))), axis=-1)
        squared = other.squared_distance(self.mean)
        log_det = other.log_det_covariance() - ops.sum(
            self.log_var + ops.zeros_like(self.mean), axis=-1
        )
        return 0.5 * (trace + squared - self.mean.shape[-1] + log_det)


class MultivariateNormal(Distribution):
    """Normal distribution with a full covariance L Lᵀ.

    Args:
        mean: array `(..., d)`.
        factor: L, lower triangular with a positive diagonal, `(d, d)`.
    """

    def __init__(self, mean, factor):
        super().__init__(event_ndim=1)
        self.mean = mean
        self.factor = factor

    @property
    def variance(self):
        """Variance of each coordinate by itself, `(d,)`."""
        return ops.sum(ops.square(self.factor), axis=-1)

    def marginals(self):
        """The `Normal` of each coordinate by itself."""
        return Normal(self.mean, ops.log(self.variance))

    def transform(self, noise):
        """Turns standard normal `noise` into samples: mean + L · noise."""
        noise = ops.cast(noise, "float32")
        return self.mean + ops.matmul(noise, ops.transpose(self.factor))

    def sample(self, samples, seed):
        """Draws reparameterised samples, `(K, ..., d)`."""
        shape = (samples, *ops.shape(self.mean))
        return self.transform(keras.random.normal(shape, dtype="float32", seed=seed))

    def inverse_factor(self):
        """L⁻¹, `(d, d)`."""
        identity = ops.eye(self.factor.shape[-1], dtype="float32")
        return ops.linalg.solve_triangular(self.factor, identity, lower=True)

    def squared_distance(self, x):
        """Squared Mahalanobis distance of `x` from the mean, `(...)`."""
        white = ops.matmul(ops.cast(x, "float32") - self.mean, ops.transpose(self.inverse_factor()))
        return ops.sum(ops.square(white), axis=-1)

    def log_det_covariance(self):
        """log det(L Lᵀ), a scalar."""
        return 2.0 * ops.sum(ops.log(ops.diagonal(self.factor)))

    def log_prob(self, x):
        constant = self.factor.shape[-1] * LOG_2PI + self.log_det_covariance()
        return -0.5 * (constant + self.squared_distance(x))

    def entropy(self):
        """Differential entropy in nats, a scalar."""
        return 0.5 * (self.factor.shape[-1] * (1.0 + LOG_2PI) + self.log_det_covariance())


class Point(Distribution):
    """All mass in one point: the code of an autoencoder that is not variational.

    It has no density, so that whatever needs one is refused.

    Args:
        mean: the point, `(..., d)`.
    """

    def __init__(self, mean):
        super().__init__(event_ndim=1)
        self.mean = mean

    @property
    def variance(self):
        return ops.zeros_like(self.mean)

    def transform(self, noise):
        """The point for every noise, in the shape of both together."""
        return self.mean + ops.zeros_like(ops.cast(noise, "float32"))

    def sample(self, samples, seed=None):
        """The point K times, `(K, ..., d)`."""
        return ops.repeat(ops.expand_dims(self.mean, 0), samples, axis=0)

    def log_prob_each(self, x):
        raise ValueError(
            "A point has no density: an autoencoder's codes have neither a KL nor a bound "
            "on the likelihood. Use a variational posterior. Received: posterior=Point"
        )

    def kl(self, other):
        return self.log_prob_each(other)


class Bernoulli(Distribution):
    """Independent Bernoulli variables, parameterised by logits.

    `log_prob` accepts any x in [0, 1]; between 0 and 1 it is the negative
    cross-entropy, which is a log-likelihood for x in {0, 1} only.

    Args:
        logits: log-odds `(..., event)`.
        event_ndim: number of trailing axes that make one event.
    """

    def __init__(self, logits, event_ndim=1):
        super().__init__(event_ndim)
        self.logits = logits

    @property
    def mean(self):
        return ops.sigmoid(self.logits)

    def transform(self, noise):
        """Turns uniform `noise` in [0, 1) into samples in {0, 1}."""
        return ops.cast(noise < self.mean, "float32")

    def sample(self, samples, seed):
        """Draws K samples in {0, 1}, `(K, ..., event)`."""
        shape = (samples, *ops.shape(self.logits))
        return self.transform(keras.random.uniform(shape, dtype="float32", seed=seed))

    def log_prob_each(self, x):
        return ops.cast(x, "float32") * self.logits - ops.softplus(self.logits)

    def entropy(self):
        """Entropy in nats, `(...)`."""
        each = ops.softplus(self.logits) - self.mean * self.logits
        return sum_event(each, self.event_ndim)

    def kl(self, other):
        if not isinstance(other, Bernoulli):
            return super().kl(other)
        # log σ(l) and log σ(-l) stay finite where log of a rounded mean would not.
        p = self.mean
        each = p * (self.logits - other.logits)
        each = each + ops.softplus(other.logits) - ops.softplus(self.logits)
        return sum_event(each, self.event_ndim)
