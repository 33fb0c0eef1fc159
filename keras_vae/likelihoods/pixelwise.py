"""Likelihoods whose pixels are independent given the decoder's outputs."""

import math

import keras
import numpy as np
from keras import ops

from keras_vae import distributions, layers
from keras_vae._registry import register
from keras_vae.likelihoods.base import Likelihood
from keras_vae.training import kernels
from keras_vae.training.noise import uniform


@register
class Bernoulli(Likelihood):
    """Independent binary pixels; the decoder's outputs are logits.

    Args:
        dynamic: grey values are probabilities, and binary pixels are drawn
            from them anew in every training and evaluation step ("dynamic
            binarisation", Burda et al. 2016). Without it grey values are
            scored by their cross-entropy, which is no likelihood.
    """

    data_range = (0.0, 1.0)

    def __init__(self, dynamic=False, **kwargs):
        super().__init__(**kwargs)
        self.dynamic = dynamic

    def log_prob_each(self, x, outputs, training=False):
        return distributions.Bernoulli(ops.cast(outputs, "float32")).log_prob_each(x)

    def mean(self, outputs):
        return ops.sigmoid(ops.cast(outputs, "float32"))

    def observe(self, x, seed):
        if not self.dynamic:
            return x
        noise = uniform(ops.shape(x), seed)
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
            (σ-VAE, Rybkin et al. 2021). Outside training "optimal" uses a
            running average of what training found, so that a density does not
            depend on the batch it is computed in.
        data_range: `(low, high)` that data is checked against, or None for
            any finite numbers.

    Raises:
        ValueError: `variance` is none of these.
    """

    # Half a grey level of 8-bit data: below it a density measures rounding.
    MIN_VARIANCE = (0.5 / 255.0) ** 2

    def __init__(self, variance="learned", data_range=(0.0, 1.0), **kwargs):
        super().__init__(**kwargs)
        number = isinstance(variance, (int, float)) and not isinstance(variance, bool)
        if variance not in ("learned", "optimal") and not (
            number and math.isfinite(variance) and variance > 0
        ):
            raise ValueError(
                "`variance` must be a positive number, 'learned' or 'optimal'. "
                f"Received: variance={variance!r}"
            )
        self.variance = variance
        self.depends_on_batch = variance == "optimal"
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

    def log_var(self):
        """Current log σ² outside training, a float32 scalar."""
        if self.variance == "learned":
            return layers.bounded(ops.convert_to_tensor(self.raw_log_var), 10.0)
        if self.variance == "optimal":
            return ops.log(ops.convert_to_tensor(self.average))
        return ops.convert_to_tensor(np.float32(math.log(self.variance)))

    def log_prob_each(self, x, outputs, training=False):
        mean = ops.cast(outputs, "float32")
        log_var = self.log_var()
        if self.variance == "optimal" and training:
            log_var = ops.log(self._fit_variance(x, mean))
        return distributions.Normal(mean, log_var).log_prob_each(x)

    def _fit_variance(self, x, mean):
        # At its optimum the variance has no gradient: stopping it changes nothing.
        error = ops.stop_gradient(ops.mean(ops.square(x - mean)))
        batch = ops.maximum(error, self.MIN_VARIANCE)
        count = ops.convert_to_tensor(self.updates)
        rate = ops.maximum(1.0 / (count + 1.0), 0.01)
        self.average.assign((1.0 - rate) * self.average + rate * batch)
        self.updates.assign(count + 1.0)
        return batch

    def mean(self, outputs):
        return ops.cast(outputs, "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "variance": self.variance,
            "data_range": self.data_range,
        }


@register
class LogCosh(Likelihood):
    """Pixels whose error t has the density e^(-log cosh(at)/a) / Z, Chen et al. 2019.

    log cosh(at)/a = |t| + log(1 + e^(-2a|t|))/a - log(2)/a: squared errors where t is
    small, absolute ones where it is large. Z = √π Γ(1/2a) / (a Γ(1/2a + 1/2)) adds a
    constant to the paper's loss and makes it a likelihood.

    Args:
        a: a, above 0; larger is nearer to absolute errors.
        data_range: `(low, high)` that data is checked against, or None for any
            finite numbers.

    Raises:
        ValueError: `a` is no positive number.
    """

    def __init__(self, a=10.0, data_range=(0.0, 1.0), **kwargs):
        super().__init__(**kwargs)
        if not 0.0 < a < math.inf:
            raise ValueError(f"`a` must be a positive number. Received: a={a!r}")
        self.a = a
        self.data_range = None if data_range is None else tuple(data_range)
        half = 1 / (2 * a)
        self._log_z = math.lgamma(half) - math.lgamma(half + 0.5) - math.log(a)
        self._log_z += 0.5 * math.log(math.pi)

    def log_prob_each(self, x, outputs, training=False):
        t = ops.abs(x - ops.cast(outputs, "float32"))
        rest = (kernels.softplus(-2.0 * self.a * t) - math.log(2.0)) / self.a
        return -(t + rest) - self._log_z

    def mean(self, outputs):
        return ops.cast(outputs, "float32")

    def get_config(self):
        return {**super().get_config(), "a": self.a, "data_range": self.data_range}


@register
class Observed(Likelihood):
    """log p(x_obs|z) of data with missing values, which are NaN.

    Args:
        likelihood: a likelihood layer or its name, of single pixels.

    Raises:
        ValueError: a likelihood that looks at the whole batch or picture.
    """

    missing = True

    def __init__(self, likelihood="bernoulli", **kwargs):
        super().__init__(**kwargs)
        likelihood = get(likelihood)
        whole = type(likelihood).log_prob is not Likelihood.log_prob
        if whole or likelihood.depends_on_batch:
            raise ValueError(
                "Missing values need a likelihood of single pixels whose parameters do not "
                f"depend on the batch. Received: {type(likelihood).__name__}"
                + ("" if whole else " with variance='optimal'")
            )
        self.inner = likelihood

    @property
    def data_range(self):
        return self.inner.data_range

    def log_prob_each(self, x, outputs, training=False):
        known = ops.logical_not(ops.isnan(x))
        # Not the sum's NaN: their gradient would be NaN as well.
        each = self.inner.log_prob_each(ops.where(known, x, 0.0), outputs, training)
        return ops.where(known, each, 0.0)

    def mean(self, outputs):
        return self.inner.mean(outputs)

    def observe(self, x, seed):
        return ops.where(ops.isnan(x), x, self.inner.observe(x, seed))

    def observe_numpy(self, x, rng):
        return np.where(np.isnan(x), x, self.inner.observe_numpy(x, rng))

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner)
        return {**super().get_config(), "likelihood": inner}

    @classmethod
    def from_config(cls, config):
        inner = keras.saving.deserialize_keras_object(config["likelihood"])
        return cls(**{**config, "likelihood": inner})


def get(identifier):
    """A likelihood from its name or itself.

    Args:
        identifier: "bernoulli", "dynamic_bernoulli", "normal", "optimal_normal",
            "logcosh", or a `Likelihood`.

    Raises:
        ValueError: unknown name.
    """
    named = {
        "bernoulli": Bernoulli,
        "dynamic_bernoulli": lambda: Bernoulli(dynamic=True),
        "normal": Normal,
        "optimal_normal": lambda: Normal("optimal"),
        "logcosh": LogCosh,
    }
    if isinstance(identifier, Likelihood):
        return identifier
    if identifier not in named:
        raise ValueError(
            f"`likelihood` must be one of {sorted(named)} or a Likelihood layer. "
            f"Received: likelihood={identifier!r}"
        )
    return named[identifier]()
