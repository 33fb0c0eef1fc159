"""The likelihood of data with missing values."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _registry
from keras_vae._registry import register
from keras_vae.likelihoods.base import Likelihood, summed
from keras_vae.likelihoods.named import get


@register
class Observed(Likelihood):
    """log p(x_obs|z) of data with missing values, which are NaN.

    Args:
        likelihood: a likelihood of single pixels, or its name.

    Raises:
        ValueError: a likelihood that depends on the whole batch or picture.
    """

    missing = True

    def __init__(self, likelihood: str | Likelihood = "bernoulli", **kwargs: Any) -> None:
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

    @property
    def takes_logits(self):
        return self.inner.takes_logits

    @property
    def takes(self):
        return self.inner.takes

    @property
    def per_value(self):
        return self.inner.per_value

    @property
    def counts(self):
        return self.inner.counts

    @property
    def needs_outputs(self):
        return self.inner.needs_outputs

    @property
    def tables(self):
        return self.inner.tables

    @property
    def blocks(self):
        return self.inner.blocks

    @property
    def is_adapted(self):
        return self.inner.is_adapted

    def adapt(self, table):
        self.inner.adapt(table)
        return self

    def encode(self, x, name="x"):
        return self.inner.encode(x, name)

    def decode(self, x, like=None, keep=False):
        return self.inner.decode(x, like, keep)

    def data_shape(self, output_shape):
        return self.inner.data_shape(output_shape)

    def log_prob_each(self, x, outputs, training=False):
        known = ops.logical_not(ops.isnan(x))
        # The NaN are replaced before the computation: else the gradient would be NaN too.
        each = self.inner.log_prob_each(ops.where(known, x, 0.0), outputs, training)
        return ops.where(known, each, 0.0)

    def best_log_prob(self, x):
        if self.tables:
            return self.inner.best_log_prob(x)
        # Each value by itself: those that are missing have none.
        known = ~np.isnan(x)
        values = np.where(known, x, 0.0).reshape(-1, 1)
        each = self.inner.best_log_prob(values)
        return None if each is None else summed(np.where(known, each.reshape(np.shape(x)), 0.0))

    def mean(self, outputs):
        return self.inner.mean(outputs)

    def sample(self, mean, rng):
        return self.inner.sample(mean, rng)

    def sample_outputs(self, outputs, rng):
        return self.inner.sample_outputs(outputs, rng)

    def observe(self, x, seed):
        return ops.where(ops.isnan(x), x, self.inner.observe(x, seed))

    def observe_numpy(self, x, rng):
        return np.where(np.isnan(x), x, self.inner.observe_numpy(x, rng))

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner)
        return {**super().get_config(), "likelihood": inner}

    @classmethod
    def from_config(cls, config):
        inner = _registry.deserialize(config["likelihood"])
        return cls(**{**config, "likelihood": inner})
