"""What every distribution gives: samples, densities, divergences; tensors in and out."""

import math

from keras import ops

from keras_vae.training import noise

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

    def marginals(self):
        """The distribution of each coordinate by itself; this one, unless said."""
        return self

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
        return noise.normal(shape, seed)

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
