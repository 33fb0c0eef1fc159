"""Likelihoods of pictures of few grey levels: masses, whose logarithms are code lengths."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae.layers import bounded
from keras_vae.likelihoods.base import Likelihood, summed
from keras_vae.training import kernels

_LOG_SCALE = 7.0


@register
class DiscretisedLogisticMixture(Likelihood):
    """A mixture of logistics for each value, rounded to the levels of 8-bit pictures.

    By name "discretised_logistic_mixture". Salimans et al., "PixelCNN++", 2017, with a mixture
    for each channel by itself. The mass of a level is what the mixture has between the borders
    to the levels beside it; the first and the last level have all that lies beyond them. So the
    masses of the levels sum to 1, and `metrics.bits_per_dimension(log_px, dimensions)`, without
    `levels`, is the length of a code.

    The decoder gives 3 · components outputs per value, side by side: logits of the components;
    their means, less where they start, which is evenly spread from black to white; and their
    log-scales, where 0 is half of that range.
    `mean` is that of the logistics, cut off at black and white: within half a level of E[x|z].

    Args:
        components: logistics per value.
        levels: grey levels k / (levels - 1), from 0 to 1. Other values count as the nearest.

    Raises:
        ValueError: `components` below 1, or `levels` below 2.
    """

    data_range = (0.0, 1.0)
    needs_outputs = True
    takes_logits = True
    takes = "any real numbers, logits of components and logarithms of scales among them"

    def __init__(self, components: int = 5, levels: int = 256, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.components = _checks.count(components, "components")
        self.levels = _checks.count(levels, "levels", least=2)
        self.per_value = 3 * self.components

    def _mixture(self, outputs):
        """Logits, means and log-scales, each `(..., c, components)`."""
        outputs = ops.cast(outputs, "float32")
        shape = (*ops.shape(outputs)[:-1], -1, 3, self.components)
        outputs = ops.reshape(outputs, shape)
        logits, means, log_scales = (outputs[..., i, :] for i in range(3))
        start = (ops.arange(self.components, dtype="float32") + 0.5) / self.components
        return logits, means + start, bounded(log_scales, _LOG_SCALE) - math.log(2.0)

    def log_prob_each(self, x, outputs, training=False):
        logits, means, log_scales = self._mixture(outputs)
        last = self.levels - 1
        level = ops.round(ops.expand_dims(x, -1) * last)
        sharp = ops.exp(-log_scales)
        above = (means - (level + 0.5) / last) * sharp
        below = ((level - 0.5) / last - means) * sharp
        # σ(a) - σ(b) = σ(a) σ(-b) (1 - e^(b - a)), whose logarithm is exact for any a > b.
        first_log = -kernels.softplus(above)
        last_log = -kernels.softplus(below)
        width = sharp / last
        middle = first_log + last_log + ops.log(-ops.expm1(-width))
        each = ops.where(level > 0.0, ops.where(level < last, middle, last_log), first_log)
        return ops.logsumexp(ops.log_softmax(logits, axis=-1) + each, axis=-1)

    def best_log_prob(self, x):
        # Black and white can be certain; the others lie in the middle of the smallest scale.
        level = np.round(np.asarray(x, "float64") * (self.levels - 1))
        most = math.log(math.tanh(0.5 * math.exp(_LOG_SCALE) / (self.levels - 1)))
        inner = (level > 0) & (level < self.levels - 1)
        return summed(np.where(inner, most, 0.0))

    def mean(self, outputs):
        logits, means, log_scales = self._mixture(outputs)
        sharp = ops.exp(-log_scales)
        # The integral of 1 - F from black to white.
        each = kernels.softplus(means * sharp) - kernels.softplus((means - 1.0) * sharp)
        weights = ops.exp(ops.log_softmax(logits, axis=-1))
        return ops.sum(weights * each * ops.exp(log_scales), axis=-1)

    def sample_outputs(self, outputs, rng):
        outputs = ops.convert_to_tensor(outputs)
        logits, means, log_scales = map(ops.convert_to_numpy, self._mixture(outputs))
        gumbel = rng.gumbel(size=logits.shape)
        chosen = np.argmax(logits + gumbel, axis=-1)[..., None]
        mean, log_scale = (np.take_along_axis(a, chosen, -1)[..., 0] for a in (means, log_scales))
        x = mean + np.exp(log_scale) * rng.logistic(size=mean.shape)
        last = self.levels - 1
        return (np.round(np.clip(x, 0.0, 1.0) * last) / last).astype("float32")

    def get_config(self):
        own = {"components": self.components, "levels": self.levels}
        return {**super().get_config(), **own}
