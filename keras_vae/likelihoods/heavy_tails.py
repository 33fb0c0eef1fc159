"""Likelihoods of real numbers with outliers: Student's t."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae.distributions.special import log_gamma_step
from keras_vae.layers import bounded
from keras_vae.likelihoods.base import Likelihood
from keras_vae.training import kernels

_LOG_SCALE, _LOG_DF = 10.0, 7.0
_KINDS = ("learned", "value")


@register
class StudentT(Likelihood):
    """Student's t around the decoder's output: like a normal, but with room for outliers.

    By name "student_t". Far away its density falls as |x|^-(ν + 1), so that one wild value
    moves the fit little. With ν ≤ 1, where t has no mean, `mean` is its centre.

    Args:
        df: degrees of freedom ν, a positive number; or "learned": one trained ν above 1, 5 at
            first. The larger, the closer to a normal.
        scale: a positive number; "learned", one trained scale, 1 at first; or "value": the
            decoder gives two outputs per value side by side, the centre and log scale.
        data_range: `(low, high)`, the range of valid data; None for any finite numbers.

    Raises:
        ValueError: another `df` or `scale`.
    """

    def __init__(
        self,
        df: float | str = "learned",
        scale: float | str = "learned",
        data_range: tuple[float, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(df, str) and df != "learned":
            raise ValueError(f"`df` must be a positive number or 'learned'. Received: df={df!r}")
        if isinstance(scale, str) and scale not in _KINDS:
            raise ValueError(
                f"`scale` must be a positive number or one of {_KINDS}. Received: scale={scale!r}"
            )
        self.df = df if df == "learned" else _checks.positive("df", df)
        self.scale = scale if scale in _KINDS else _checks.positive("scale", scale)
        self.data_range = None if data_range is None else tuple(data_range)
        if scale == "value":
            self.per_value, self.needs_outputs = 2, True
        if df == "learned":
            # So that the bounded value is log 4.
            start = keras.initializers.Constant(_LOG_DF * math.atanh(math.log(4.0) / _LOG_DF))
            self.raw_log_df = self.add_weight(shape=(), initializer=start, name="raw_log_df")
        if scale == "learned":
            self.raw_log_scale = self.add_weight(
                shape=(), initializer="zeros", name="raw_log_scale"
            )

    def degrees(self):
        """Current ν, a float32 scalar."""
        if self.df != "learned":
            return ops.convert_to_tensor(np.float32(self.df))
        return 1.0 + ops.exp(bounded(ops.convert_to_tensor(self.raw_log_df), _LOG_DF))

    def log_scale(self, outputs=None):
        """Current log scale: a float32 scalar, or of each value of outputs."""
        if self.scale == "value":
            return bounded(self.parameters(outputs)[1], _LOG_SCALE)
        if self.scale == "learned":
            return bounded(ops.convert_to_tensor(self.raw_log_scale), _LOG_SCALE)
        return ops.convert_to_tensor(np.float32(math.log(self.scale)))

    def _log_peak(self):
        """The log-density of the centre at scale 1."""
        df = self.degrees()
        return log_gamma_step(df / 2.0) - 0.5 * ops.log(math.pi * df)

    def log_prob_each(self, x, outputs, training=False):
        df, log_scale = self.degrees(), self.log_scale(outputs)
        t = ops.abs(x - self.mean(outputs)) * ops.exp(-log_scale)
        # log(1 + t²/ν) of any t: its square alone would overflow.
        close = t < 1e3
        near = ops.log1p(ops.square(ops.where(close, t, 0.0)) / df)
        far = 2.0 * ops.log(ops.where(close, 1e3, t)) - ops.log(df)
        far = far + kernels.softplus(-far)
        return self._log_peak() - log_scale - 0.5 * (df + 1.0) * ops.where(close, near, far)

    def best_log_prob(self, x):
        if self.scale == "value":
            return None
        peak = float(ops.convert_to_numpy(self._log_peak() - self.log_scale()))
        return np.full(len(x), peak * math.prod(np.shape(x)[1:]))

    def mean(self, outputs):
        return self.parameters(outputs)[0]

    def sample(self, mean, rng):
        if self.needs_outputs:
            return super().sample(mean, rng)
        return self._draw(mean, self.log_scale(), rng)

    def sample_outputs(self, outputs, rng):
        outputs = ops.convert_to_tensor(outputs)
        return self._draw(ops.convert_to_numpy(self.mean(outputs)), self.log_scale(outputs), rng)

    def _draw(self, mean, log_scale, rng):
        noise = rng.standard_t(float(ops.convert_to_numpy(self.degrees())), mean.shape)
        return (mean + np.exp(ops.convert_to_numpy(log_scale)) * noise).astype("float32")

    def get_config(self):
        own = {"df": self.df, "scale": self.scale, "data_range": self.data_range}
        return {**super().get_config(), **own}
