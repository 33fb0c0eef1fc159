"""Categorical distributions over one-hot vectors, hard or relaxed."""

import math

from keras import ops

from keras_vae._types import Tensor
from keras_vae.distributions.base import Distribution, sum_event

# Coefficients for the upper tail of the normal distribution, Abramowitz & Stegun 7.1.26;
# the error is below 1e-7. `ops.erf` cannot be exported.
_TAIL = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_TAIL_SCALE = 0.3275911


def _tail(noise):
    """1 - Φ(|ε|), the probability that a standard normal number exceeds |ε|."""
    x = ops.abs(noise) / math.sqrt(2.0)
    t = 1.0 / (1.0 + _TAIL_SCALE * x)
    total = 0.0
    for coefficient in reversed(_TAIL):
        total = t * (total + coefficient)
    return ops.maximum(0.5 * total * ops.exp(-x * x), 1e-12)


def normal_cdf(noise: Tensor) -> Tensor:
    """Φ(ε), the probability of a standard normal number below ε, to 1e-7."""
    tail = _tail(noise)
    return ops.where(noise < 0.0, tail, 1.0 - tail)


def gumbel(noise: Tensor) -> Tensor:
    """Gumbel noise, -log(-log Φ(ε)), from standard normal noise ε.

    The noise of all posteriors is standard normal, so that codes have one kind of noise.
    """
    tail = _tail(noise)
    # 1 - tail rounds to 1 where tail is small: use the series of -log(1 - tail) there.
    above = ops.where(tail < 1e-3, tail * (1.0 + 0.5 * tail), -ops.log(1.0 - tail))
    return -ops.log(ops.where(noise < 0.0, -ops.log(tail), above))


class Categorical(Distribution):
    """Independent categorical variables, as concatenated one-hot vectors.

    Jang, Gu & Poole 2017, Maddison, Mnih & Teh 2017. Without a temperature samples
    are one-hot (Gumbel-max); with one they are relaxed, softmax((log π + g) / τ),
    which have a gradient. `log_prob` is the log-mass of one-hot vectors.

    Args:
        logits: array `(..., variables · classes)`.
        classes: classes of each variable.
        temperature: τ above 0, or None.
    """

    def __init__(
        self, logits: Tensor, classes: int, temperature: float | Tensor | None = None
    ) -> None:
        super().__init__(1)
        self.classes = classes
        self.temperature = temperature
        self.log_probs = self._each(ops.log_softmax, logits)

    def _each(self, function, values):
        """Applies a function of the last axis to the classes of each variable."""
        shape = ops.shape(values)
        apart = ops.reshape(values, (*shape[:-1], shape[-1] // self.classes, self.classes))
        return ops.reshape(function(apart), shape)

    @property
    def mean(self):
        """Probabilities, in the shape of the logits."""
        return ops.exp(self.log_probs)

    @property
    def center(self):
        """The most probable class of each variable, one-hot."""
        return self._each(one_hot_of_largest, self.log_probs)

    def transform(self, noise):
        scores = self.log_probs + gumbel(noise)
        if self.temperature is None:
            return self._each(one_hot_of_largest, scores)
        return self._each(ops.softmax, scores / self.temperature)

    def log_prob_each(self, x):
        return ops.cast(x, "float32") * self.log_probs

    def entropy(self):
        """Entropy in nats, `(...)`."""
        return -sum_event(self.mean * self.log_probs, 1)

    def kl_each(self, other):
        if not isinstance(other, Categorical) or other.classes != self.classes:
            return self._unknown_kl(other)
        return self.mean * (self.log_probs - other.log_probs)


def one_hot_of_largest(values):
    """One-hot vectors of the largest value along the last axis."""
    # Exported graphs have no argmax of floats.
    _, index = ops.top_k(values, 1)
    classes = ops.arange(values.shape[-1], dtype="int32")
    return ops.cast(ops.equal(ops.cast(index, "int32"), classes), "float32")
