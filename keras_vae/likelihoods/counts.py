"""Likelihoods of counts: integers from 0 on, such as of events, words or molecules."""

from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae.distributions import counts
from keras_vae.layers import bounded
from keras_vae.likelihoods.base import Likelihood, summed

# Logarithms of means and of dispersions: what float32 computes with.
_LOG_MEAN, _LOG_THETA = 20.0, 15.0


class Counts(Likelihood):
    """Base class: means are exponentials of the decoder's outputs, bounded to e^±20.

    So the decoder ends without an activation. Large counts need large steps of the encoder:
    `log(1 + x)` or a `keras.layers.Normalization` as its first layer helps.
    """

    counts = True
    is_inflated = False
    takes_logits = True
    takes = "logarithms of means, any real numbers, and makes means of them by exponentials"

    def _log_mean(self, outputs):
        return bounded(self.parameters(outputs)[0], _LOG_MEAN)

    def mean(self, outputs):
        return ops.exp(self._log_mean(outputs))

    def sample(self, mean, rng):
        if self.needs_outputs:
            return super().sample(mean, rng)
        return self._draw(None, np.asarray(mean, "float64"), rng).astype("float32")

    def sample_outputs(self, outputs, rng):
        outputs = ops.convert_to_tensor(outputs)
        mean = ops.convert_to_numpy(ops.exp(self._log_mean(outputs))).astype("float64")
        return self._draw(outputs, mean, rng).astype("float32")

    def _draw(self, outputs, mean, rng):
        """Counts of a mean without the zeros that are added, NumPy in and out."""
        raise NotImplementedError


@register
class Poisson(Counts):
    """Independent counts with the mean μ: μˣ e^(-μ) / x!. The outputs are log μ.

    By name "poisson".
    """

    def log_prob_each(self, x, outputs, training=False):
        return counts.poisson(x, self._log_mean(outputs))

    def best_log_prob(self, x):
        # At μ = x.
        x = np.asarray(x, "float32")
        each = counts.poisson(*map(ops.convert_to_tensor, (x, np.log(np.maximum(x, 1e-30)))))
        return summed(ops.convert_to_numpy(each).astype("float64"))

    def _draw(self, outputs, mean, rng):
        return rng.poisson(mean)


@register
class NegativeBinomial(Counts):
    """Counts of the mean μ and the variance μ + μ² / θ, as scvi-tools parametrises them.

    By name "negative_binomial". The smaller θ, the inverse dispersion, the wider the counts
    spread; Poisson's are the limit of large θ.

    Args:
        features: None for a θ of each value, which the decoder gives: two outputs per value
            side by side, log μ and log θ. Or the size of the data's last axis, for one trained
            θ of each feature (the "gene" of scvi-tools) and one output per value; or 1 for one
            θ of all.

    Raises:
        ValueError: `features` is no integer of at least 1.
    """

    def __init__(self, features: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.features = None if features is None else _checks.count(features, "features")
        self.per_value = 1 + (self.features is None) + self.is_inflated
        self.needs_outputs = self.per_value > 1
        if self.features is not None:
            self.raw_log_theta = self.add_weight(
                shape=(self.features,), initializer="zeros", name="raw_log_theta"
            )

    @property
    def theta(self):
        """The trained θ of each feature, a NumPy array; None where the decoder gives it."""
        if self.features is None:
            return None
        return ops.convert_to_numpy(ops.exp(self._own_log_theta()))

    def _own_log_theta(self):
        return bounded(ops.convert_to_tensor(self.raw_log_theta), _LOG_THETA)

    def _log_theta(self, log_mean, parameters):
        if self.features is None:
            return bounded(parameters[1], _LOG_THETA)
        log_theta = self._own_log_theta()
        if self.features == 1:
            return log_theta
        if log_mean.shape[-1] is not None and log_mean.shape[-1] % self.features:
            raise ValueError(
                "`features` must be the size of the data's last axis, or 1. "
                f"Received: features={self.features} and {log_mean.shape[-1]} values per example"
            )
        # Flattened data repeat their last axis.
        return ops.tile(log_theta, (ops.shape(log_mean)[-1] // self.features,))

    def log_prob_each(self, x, outputs, training=False):
        log_mean, parameters = self._log_mean(outputs), self.parameters(outputs)
        return counts.negative_binomial(x, log_mean, self._log_theta(log_mean, parameters))

    def _draw(self, outputs, mean, rng):
        theta = self.theta
        if theta is None:
            log_theta = self._log_theta(None, self.parameters(outputs))
            theta = ops.convert_to_numpy(ops.exp(log_theta))
        return rng.poisson(rng.standard_gamma(theta, mean.shape) * (mean / theta))

    def get_config(self):
        return {**super().get_config(), "features": self.features}


class _Inflated(Counts):
    """What makes any value 0 with the probability that the last output of each value gives."""

    is_inflated = True

    def _dropout(self, outputs):
        return self.parameters(outputs)[-1]

    def log_prob_each(self, x, outputs, training=False):
        log_mass = super().log_prob_each(x, outputs, training)
        return counts.zero_inflated(x, log_mass, self._dropout(outputs))

    def mean(self, outputs):
        return ops.sigmoid(-self._dropout(outputs)) * super().mean(outputs)

    def best_log_prob(self, x):
        return None

    def sample_outputs(self, outputs, rng):
        x = super().sample_outputs(outputs, rng)
        dropped = ops.convert_to_numpy(ops.sigmoid(self._dropout(outputs)))
        return np.where(rng.random(x.shape, dtype="float32") < dropped, np.float32(0.0), x)


@register
class ZeroInflatedPoisson(_Inflated, Poisson):
    """Counts that are 0 with the probability σ(dropout), and else Poisson's.

    By name "zero_inflated_poisson". Two outputs per value side by side, log μ and the logit
    `dropout`. `mean` is σ(-dropout) μ.
    """

    per_value = 2
    needs_outputs = True


@register
class ZeroInflatedNegativeBinomial(_Inflated, NegativeBinomial):
    """Counts that are 0 with the probability σ(dropout), and else negative binomial.

    By name "zero_inflated_negative_binomial". Lopez et al., "Deep Generative Modeling for
    Single-Cell Transcriptomics", 2018. Outputs per value side by side: log μ, log θ unless
    `features` are given, and the logit `dropout`. `mean` is σ(-dropout) μ.

    Args:
        features: as for `NegativeBinomial`.
    """
