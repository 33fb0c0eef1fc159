"""Probability distributions: stateless, tensors in, tensors out, in nats.

A distribution holds its parameters (backend tensors or NumPy arrays) and
nothing else: no weights, no seed. `log_prob`, `entropy` and `kl` sum over the
last `event_ndim` axes, so a latent code `(..., d)` has `event_ndim=1` and an
image `(..., h, w, c)` has `event_ndim=3`. Everything is computed in float32,
whatever the precision of the network that made the parameters.
"""

import math

from keras import ops

from keras_vae.training import arrays, random

LOG_2PI = math.log(2.0 * math.pi)


def sum_event(values, event_ndim):
    """Sums `values` over its last `event_ndim` axes."""
    return ops.sum(values, axis=tuple(range(-event_ndim, 0)))


def distribution_of(other):
    """A distribution from itself or from a prior layer."""
    return other.distribution() if hasattr(other, "distribution") else other


class Distribution:
    """What every distribution offers; the parts rely on these names only."""

    def __init__(self, event_ndim):
        self.event_ndim = event_ndim

    @property
    def center(self):
        """The one value that stands for the distribution: its mean, unless said."""
        return self.mean

    @property
    def noise_dim(self):
        """Numbers of noise that one event is made of: as many as it has, unless said."""
        return self.center.shape[-1]

    def noise(self, samples, seed):
        """What `transform` takes: standard normal noise, unless said.

        Args:
            samples: number of samples K.
            seed: an int or a `keras.random.SeedGenerator`.

        Returns:
            Tensor `(K, ..., event)`.
        """
        shape = (samples, *ops.shape(self.center))
        return random.normal(shape, seed)

    def transform(self, noise):
        """Samples made of noise, differentiable in the parameters where that exists."""
        raise NotImplementedError

    def transform_and_log_prob(self, noise):
        """Samples made of noise, and their log-density `(...)` in nats."""
        samples = self.transform(noise)
        return samples, self.log_prob(samples)

    def sample(self, samples, seed):
        """Draws samples.

        Args:
            samples: number of samples K.
            seed: an int or a `keras.random.SeedGenerator`.

        Returns:
            Tensor `(K, ..., event)`.
        """
        return self.transform(self.noise(samples, seed))

    def sample_and_log_prob(self, samples, seed):
        """Samples as of `sample`, and their log-density `(K, ...)` in nats.

        The way to the density of what is known at its own samples only, such as a
        planar flow.
        """
        return self.transform_and_log_prob(self.noise(samples, seed))

    def log_prob_each(self, x):
        """Log-density or log-mass of every coordinate, not summed."""
        raise NotImplementedError(
            "The coordinates of this distribution have no densities of their own. "
            f"Received: {type(self).__name__}"
        )

    def log_prob(self, x):
        """Log-density of `x` in nats, summed over the event axes.

        Args:
            x: array whose shape broadcasts with the parameters, `(..., event)`.

        Returns:
            Tensor `(...)`.
        """
        return sum_event(self.log_prob_each(x), self.event_ndim)

    def kl_each(self, other):
        """KL of every coordinate to `other` in nats, not summed."""
        return self._unknown_kl(other)

    def kl(self, other):
        """`KL(self || other)` in nats where a closed form is known.

        Args:
            other: a distribution, or a prior layer without a condition.

        Returns:
            Tensor `(...)`.

        Raises:
            NotImplementedError: there is no closed form for this pair; average
                `self.log_prob(z) - other.log_prob(z)` over samples instead.
        """
        return sum_event(self.kl_each(distribution_of(other)), self.event_ndim)

    def _unknown_kl(self, other):
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

    def log_prob_each(self, x):
        x = ops.cast(x, "float32")
        squared = ops.square(x - self.mean) * ops.exp(-self.log_var)
        return -0.5 * (LOG_2PI + self.log_var + squared)

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

    def noise(self, samples, seed):
        shape = (samples, *ops.shape(self.logits))
        return random.uniform(shape, seed)

    def log_prob_each(self, x):
        return ops.cast(x, "float32") * self.logits - arrays.softplus(self.logits)

    def entropy(self):
        """Entropy in nats, `(...)`."""
        each = arrays.softplus(self.logits) - self.mean * self.logits
        return sum_event(each, self.event_ndim)

    def kl_each(self, other):
        if not isinstance(other, Bernoulli):
            return self._unknown_kl(other)
        # log σ(l) and log σ(-l) stay finite where log of a rounded mean would not.
        p = self.mean
        each = p * (self.logits - other.logits)
        return each + arrays.softplus(other.logits) - arrays.softplus(self.logits)


class MultivariateNormal(Distribution):
    """Normal distribution with a full covariance L Lᵀ.

    Args:
        mean: array `(..., d)`.
        factor: L, lower triangular with a positive diagonal, `(n, d, d)`, or
            `(d, d)` for all.
    """

    def __init__(self, mean, factor):
        super().__init__(event_ndim=1)
        self.mean = mean
        self.factor = factor

    @property
    def variance(self):
        """Variance of each coordinate by itself, `(n, d)` or `(d,)`."""
        return ops.sum(ops.square(self.factor), axis=-1)

    def marginals(self):
        """The `Normal` of each coordinate by itself."""
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
        """KL of every coordinate's own distribution, whose sum is at most the KL."""
        return self.marginals().kl_each(other)

    def kl(self, other):
        other = distribution_of(other)
        if not isinstance(other, Normal):
            return self._unknown_kl(other)
        squared = self.variance + ops.square(self.mean - other.mean)
        each = squared * ops.exp(-other.log_var) - 1.0 + other.log_var
        return 0.5 * (ops.sum(each, axis=-1) - self.log_det_covariance())


def _times(matrix, vectors):
    """Matrices `(..., d, d)` times vectors `(..., d)`."""
    return ops.squeeze(ops.matmul(matrix, ops.expand_dims(vectors, -1)), -1)


class Point(Distribution):
    """All mass in one point: the code of an autoencoder that is not variational.

    It has no density, so that whatever needs one is refused.

    Args:
        mean: the point, array `(n, d)`.
    """

    def __init__(self, mean):
        super().__init__(1)
        self.mean = mean

    @property
    def variance(self):
        return ops.zeros_like(self.mean)

    def transform(self, noise):
        return self.mean + ops.zeros_like(noise)

    def transform_and_log_prob(self, noise):
        return self.transform(noise), None

    def log_prob(self, x):
        """Refused: there is no density."""
        raise ValueError(
            "A point has no density: an autoencoder's codes have neither a KL nor a bound "
            "on the likelihood. Use a variational posterior. Received: posterior=Point"
        )

    def kl(self, other):
        """Refused: there is no density."""
        return self.log_prob(other)
