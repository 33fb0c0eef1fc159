"""Base class of the distributions: samples, densities, divergences; tensors in and out."""

import math

from keras import ops

from keras_vae.training import noise

LOG_2PI = math.log(2.0 * math.pi)


def sum_event(values, event_ndim):
    """Sums `values` over its last `event_ndim` axes."""
    return ops.sum(values, axis=tuple(range(-event_ndim, 0)))


def distribution_of(other):
    """The distribution itself, or that of a prior layer."""
    return other.distribution() if hasattr(other, "distribution") else other


class Distribution:
    """Base class of the distributions. Other parts of the library use only these names.

    Args:
        event_ndim: number of trailing axes that make one event.
    """

    def __init__(self, event_ndim: int) -> None:
        self.event_ndim = event_ndim

    @property
    def center(self):
        """The value that represents the distribution; the mean by default."""
        return self.mean

    @property
    def expected(self):
        """The mean where it has a closed form, else `center`."""
        return self.mean if hasattr(self, "mean") else self.center

    def mean_covariance(self):
        """The covariances of n distributions over vectors, averaged: `(d, d)`.

        Raises:
            NotImplementedError: they have no closed form; use samples.
        """
        raise NotImplementedError(
            "The covariance of this distribution has no closed form: average over samples. "
            f"Received: {type(self).__name__}"
        )

    def marginals(self):
        """The marginals of the coordinates; the distribution itself by default."""
        return self

    @property
    def noise_dim(self):
        """Length of the noise vector of one event; by default the length of the event."""
        return self.center.shape[-1]

    def noise(self, samples, seed):
        """Noise for `transform`; standard normal by default.

        Args:
            samples: number of samples K.
            seed: an int or a `keras.random.SeedGenerator`.

        Returns:
            Tensor `(K, ..., event)`.
        """
        shape = (samples, *ops.shape(self.center))
        return noise.normal(shape, seed, rows=1)

    def transform(self, noise):
        """Turns noise into samples, differentiable in the parameters where possible."""
        raise NotImplementedError

    def choice_weights(self, noise):
        """What `transform` cannot differentiate: the chance of what the noise has chosen.

        Returns:
            Tensor `(...)` of ones with the gradient of the logarithm of that chance: a mean
            over samples with these weights has the gradient of its expectation. None where
            nothing is chosen.
        """
        return None

    def transform_and_log_prob(self, noise):
        """Turns noise into samples; returns them and their log-density `(...)` in nats."""
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
        """Draws samples as `sample` does; returns them and their log-density `(K, ...)`, nats.

        Some distributions, such as planar flows, have a computable density at their own
        samples only.
        """
        return self.transform_and_log_prob(self.noise(samples, seed))

    def log_prob_each(self, x):
        """Log-density or log-mass of each coordinate, not summed."""
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
        """KL of each coordinate to `other` in nats, not summed."""
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
