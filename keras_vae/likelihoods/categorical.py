"""A probability for each grey level, whose logarithms are code lengths."""

from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae.likelihoods.base import Likelihood


@register
class CategoricalLevels(Likelihood):
    """A probability for each level of each value, by a softmax over the levels.

    By name "categorical". van den Oord, Kalchbrenner & Kavukcuoglu, "Pixel Recurrent Neural
    Networks", 2016: it supposes nothing about which levels are alike, and takes `levels` outputs
    per value, the logits of the levels, side by side. So 8-bit pictures want a convolutional
    network; `DiscretisedLogisticMixture` takes a few outputs per value. Masses sum to 1, and
    `metrics.bits_per_dimension(log_px, dimensions)`, without `levels`, is the length of a code.

    `mean` is E[x|z], exactly; draws are levels.

    Args:
        levels: grey levels k / (levels - 1), from 0 to 1. Other values count as the nearest.

    Raises:
        ValueError: `levels` below 2.
    """

    data_range = (0.0, 1.0)
    needs_outputs = True
    takes_logits = True
    takes = "the logits of the levels, any real numbers"

    def __init__(self, levels: int = 256, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.levels = _checks.count(levels, "levels", least=2)
        self.per_value = self.levels

    def _log_probs(self, outputs):
        """log p of each level, `(..., c, levels)`, from outputs `(..., c · levels)`."""
        outputs = ops.cast(outputs, "float32")
        shape = (*ops.shape(outputs)[:-1], -1, self.levels)
        return ops.log_softmax(ops.reshape(outputs, shape), axis=-1)

    def log_prob_each(self, x, outputs, training=False):
        each = self._log_probs(outputs)
        level = ops.cast(ops.round(x * (self.levels - 1)), "int32")
        level = ops.broadcast_to(ops.expand_dims(level, -1), (*ops.shape(each)[:-1], 1))
        return ops.squeeze(ops.take_along_axis(each, level, axis=-1), -1)

    def best_log_prob(self, x):
        # A level can be certain.
        return np.zeros(len(x))

    def mean(self, outputs):
        values = ops.arange(self.levels, dtype="float32") / (self.levels - 1)
        return ops.sum(ops.exp(self._log_probs(outputs)) * values, axis=-1)

    def sample_outputs(self, outputs, rng):
        logs = ops.convert_to_numpy(self._log_probs(ops.convert_to_tensor(outputs)))
        up_to = np.exp(logs.astype("float64")).cumsum(axis=-1)
        below = up_to < rng.random((*logs.shape[:-1], 1)) * up_to[..., -1:]
        return (below.sum(axis=-1) / (self.levels - 1)).astype("float32")

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}
