"""Likelihoods with independent pixels given the decoder's outputs."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_vae import distributions, layers
from keras_vae._registry import register
from keras_vae.distributions.base import LOG_2PI
from keras_vae.likelihoods.base import Likelihood, summed
from keras_vae.training import kernels
from keras_vae.training.noise import uniform

# Of expectation maximisation: the weights of the samples move little after the first ones.
_FITTING_STEPS = 10


@register
class Bernoulli(Likelihood):
    """Independent binary pixels; the decoder's outputs are logits.

    So the decoder ends without an activation: a sigmoid would be the second.

    Args:
        dynamic: treat grey values as probabilities and draw binary pixels from them in
            each training and evaluation step ("dynamic binarisation", Burda et al. 2016).
            Otherwise the loss of grey values is their cross-entropy, which is not a
            likelihood.
    """

    data_range = (0.0, 1.0)
    takes_logits = True

    def __init__(self, dynamic: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dynamic = dynamic

    def log_prob_each(self, x, outputs, training=False):
        return distributions.Bernoulli(ops.cast(outputs, "float32")).log_prob_each(x)

    def best_log_prob(self, x):
        # At the logits of x itself: minus its entropy, 0 of binary pixels.
        x = np.asarray(x, "float64")
        each = x * np.log(np.where(x > 0.0, x, 1.0))
        each += (1.0 - x) * np.log(np.where(x < 1.0, 1.0 - x, 1.0))
        return summed(each)

    def mean(self, outputs):
        return ops.sigmoid(ops.cast(outputs, "float32"))

    def sample(self, mean, rng):
        return (rng.random(mean.shape, dtype="float32") < mean).astype("float32")

    def observe(self, x, seed):
        if not self.dynamic:
            return x
        noise = uniform(ops.shape(x), seed, rows=0)
        return ops.cast(noise < x, "float32")

    def observe_numpy(self, x, rng):
        if not self.dynamic:
            return x
        return (rng.random(x.shape, dtype="float32") < x).astype("float32")

    def get_config(self):
        return {**super().get_config(), "dynamic": self.dynamic}


@register
class Normal(Likelihood):
    """Normal pixels around the decoder's output, with one shared variance.

    Args:
        variance: a positive number (fixed σ²); "learned" (one trainable
            scalar log σ²); or "optimal": the variance that maximises the
            likelihood of each training batch, which is its mean squared error
            (σ-VAE, Rybkin et al. 2021), each example and each of its samples counted by
            its weight in the loss. Outside training "optimal" uses a running
            average of the training batches, so that a density does not depend on
            its batch.
        data_range: `(low, high)`, the range of valid data; None for any finite numbers.

    Raises:
        ValueError: another `variance`.
    """

    # Half a grey level of 8-bit data: a smaller variance would model the rounding.
    MIN_VARIANCE = (0.5 / 255.0) ** 2

    def __init__(
        self,
        variance: float | str = "learned",
        data_range: tuple[float, float] | None = (0.0, 1.0),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if variance not in ("learned", "optimal") and not _is_variance(variance):
            raise ValueError(
                "`variance` must be a positive number, 'learned' or 'optimal'. "
                f"Received: variance={variance!r}"
            )
        self._fixed = variance
        self.depends_on_batch = self.takes_weights = variance == "optimal"
        self.data_range = None if data_range is None else tuple(data_range)
        if variance == "learned":
            self.raw_log_var = self.add_weight(shape=(), initializer="zeros", name="raw_log_var")
        elif variance == "optimal":
            self.average = self.add_weight(
                shape=(), initializer="ones", trainable=False, name="average"
            )
            self.updates = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="updates"
            )

    @property
    def variance(self):
        """A number, "learned" or "optimal"; a number can be set to another one."""
        return self._fixed

    @variance.setter
    def variance(self, variance):
        if variance == self._fixed:
            return
        if not (_is_variance(variance) and _is_variance(self._fixed)):
            raise ValueError(
                "A fixed variance can be set to another positive number; for any other change "
                "set the part: model.likelihood = likelihoods.Normal(...). "
                f"Received: variance={variance!r} in place of {self._fixed!r}"
            )
        self._fixed = variance

    def log_var(self):
        """Current log σ² outside training, a float32 scalar."""
        if self.variance == "learned":
            return layers.bounded(ops.convert_to_tensor(self.raw_log_var), 10.0)
        if self.variance == "optimal":
            return ops.log(ops.convert_to_tensor(self.average))
        return ops.convert_to_tensor(np.float32(math.log(self.variance)))

    def log_prob_each(self, x, outputs, training=False, weigh=None):
        mean = ops.cast(outputs, "float32")
        log_var = self.log_var()
        if self.variance == "optimal" and training:
            fitted = (
                self._fit_variance(x, mean) if weigh is None else self._fit_weighted(x, mean, weigh)
            )
            log_var = ops.log(fitted)
        return distributions.Normal(mean, log_var).log_prob_each(x)

    def _fit_variance(self, x, mean):
        # The gradient by the variance is 0 at its optimum, so that it can be stopped.
        error = ops.stop_gradient(ops.mean(ops.square(x - mean)))
        return self._averaged(ops.maximum(error, self.MIN_VARIANCE))

    def _fit_weighted(self, x, mean, weigh):
        """The variance with which the loss has no slope by it.

        That is the mean squared error, weighted by what each sample counts, which depends on
        the variance itself where these are importance weights: a few steps of expectation
        maximisation.
        """
        errors = ops.stop_gradient(ops.mean(ops.square(x - mean), axis=-1))
        pixels = ops.cast(ops.shape(x)[-1], "float32")
        batch = ops.maximum(ops.mean(errors), self.MIN_VARIANCE)
        for _ in range(_FITTING_STEPS):
            log_px = -0.5 * pixels * (LOG_2PI + ops.log(batch) + errors / batch)
            weights = ops.stop_gradient(weigh(log_px))
            error = ops.sum(weights * errors) / ops.maximum(ops.sum(weights), 1e-30)
            batch = ops.maximum(error, self.MIN_VARIANCE)
        return self._averaged(batch)

    def _averaged(self, batch):
        """The variance of a batch, once it has moved the running average."""
        count = ops.convert_to_tensor(self.updates)
        rate = ops.maximum(1.0 / (count + 1.0), 0.01)
        self.average.assign((1.0 - rate) * self.average + rate * batch)
        self.updates.assign(count + 1.0)
        return batch

    def best_log_prob(self, x):
        log_var = float(ops.convert_to_numpy(self.log_var()))
        return summed(np.full(np.shape(x), -0.5 * (math.log(2.0 * math.pi) + log_var)))

    def mean(self, outputs):
        return ops.cast(outputs, "float32")

    def sample(self, mean, rng):
        scale = np.exp(0.5 * float(ops.convert_to_numpy(self.log_var())))
        noise = rng.standard_normal(mean.shape, dtype="float32")
        return (mean + np.float32(scale) * noise).astype("float32")

    def get_config(self):
        return {
            **super().get_config(),
            "variance": self.variance,
            "data_range": self.data_range,
        }


def _is_variance(value):
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and not isinstance(value, bool) and 0.0 < float(value) < math.inf


@register
class LogCosh(Likelihood):
    """Pixels whose error t has the density e^(-log cosh(at)/a) / Z, Chen et al. 2019.

    log cosh(at)/a = |t| + log(1 + e^(-2a|t|))/a - log(2)/a: squared errors where t is
    small, absolute errors where it is large. Z = √π Γ(1/2a) / (a Γ(1/2a + 1/2)) adds a
    constant to the loss of the paper and makes it a likelihood.

    Args:
        a: above 0; the larger, the closer to absolute errors.
        data_range: `(low, high)`, the range of valid data; None for any finite numbers.

    Raises:
        ValueError: `a` is not a positive number.
    """

    def __init__(
        self, a: float = 10.0, data_range: tuple[float, float] | None = (0.0, 1.0), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0.0 < a < math.inf:
            raise ValueError(f"`a` must be a positive number. Received: a={a!r}")
        self.a = a
        self.data_range = None if data_range is None else tuple(data_range)

    def _log_z(self):
        half = 1 / (2 * self.a)
        log_z = math.lgamma(half) - math.lgamma(half + 0.5) - math.log(self.a)
        return log_z + 0.5 * math.log(math.pi)

    def log_prob_each(self, x, outputs, training=False):
        t = ops.abs(x - ops.cast(outputs, "float32"))
        rest = (kernels.softplus(-2.0 * self.a * t) - math.log(2.0)) / self.a
        return -(t + rest) - self._log_z()

    def best_log_prob(self, x):
        return summed(np.full(np.shape(x), -self._log_z()))

    def mean(self, outputs):
        return ops.cast(outputs, "float32")

    def sample(self, mean, rng):
        # The density of t is that of v = sigmoid(2at) ~ Beta(1/2a, 1/2a). The logarithms of
        # the two gamma variables: they themselves would underflow.
        shape = 1 / (2 * self.a)
        gamma = rng.standard_gamma(shape + 1.0, (2, *mean.shape))
        logs = np.log(gamma) + np.log1p(-rng.random((2, *mean.shape))) / shape
        return (mean + (logs[0] - logs[1]) / (2 * self.a)).astype("float32")

    def get_config(self):
        return {**super().get_config(), "a": self.a, "data_range": self.data_range}
