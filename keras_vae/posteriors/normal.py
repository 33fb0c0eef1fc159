"""Normal posteriors with a diagonal or a full covariance."""

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _budget, distributions, initializers, layers
from keras_vae._registry import register
from keras_vae.posteriors.base import Posterior


@register
class DiagonalNormal(Posterior):
    """q(z|x) = N(mean, diag(exp(log_var))), Kingma & Welling 2014.

    Args:
        latent_dim: number of latent dimensions d.
        log_var_bound: log-variances are bounded to ±this; 10 allows σ from
            0.0067 to 148.
        seed: int for the initial weights, or None.

    Input shape: `(n, features)`. Output: `(mean, log_var)`, each `(n, d)`,
    float32 under every precision policy.
    """

    is_diagonal_normal = True
    num_parameters = 2

    def __init__(
        self, latent_dim: int, log_var_bound: float = 10.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(latent_dim, seed, **kwargs)
        self.log_var_bound = log_var_bound
        self.projection = self._dense(2 * latent_dim, seed)

    def build(self, input_shape):
        self.projection.build(input_shape)
        self.built = True

    def call(self, features):
        mean, raw = ops.split(self.projection(features), 2, axis=-1)
        return mean, layers.bounded(raw, self.log_var_bound)

    def distribution(self, mean, log_var):
        """The `Normal` with these parameters."""
        return distributions.Normal(mean, log_var)

    def get_config(self):
        return {**super().get_config(), "log_var_bound": self.log_var_bound}


class Extended(Posterior):
    """Base class: a diagonal normal and `extra` further parameters.

    With the same seed the diagonal normal starts as `DiagonalNormal` does.

    Input shape: `(n, features)`. Output: `(mean, log_var, extra)`, or without extra
    parameters `(mean, log_var)`.
    """

    def __init__(
        self,
        latent_dim: int,
        extra: int,
        log_var_bound: float = 10.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_dim, seed, **kwargs)
        self.num_parameters = 3 if extra else 2
        self.base = DiagonalNormal(latent_dim, log_var_bound, seed, name="base")
        self.log_var_bound = log_var_bound
        self.extra: Any = None
        if extra:
            *_, extra_seed = itertools.islice(initializers.seeds(seed), 2)
            self.extra = self._dense(extra, extra_seed, name="extra")

    def build(self, input_shape):
        self.base.build(input_shape)
        if self.extra is not None:
            self.extra.build(input_shape)
        self.built = True

    def call(self, features):
        mean, log_var = self.base(features)
        return (mean, log_var) if self.extra is None else (mean, log_var, self.extra(features))

    def get_config(self):
        return {**super().get_config(), "log_var_bound": self.log_var_bound}


@register
class FullCovariance(Extended):
    """q(z|x) = N(mean, L Lᵀ), L = mask · L' + diag(σ), Kingma & Welling 2019, §2.5.1.

    The mask keeps the part below the diagonal of L', so that log|L| = Σ log σ_i. Here
    L' = diag(σ) A / √d, and A is the output of the network. In units of σ an optimizer step
    moves narrow and wide dimensions equally far; 1/√d bounds the sum over a row. A starts
    at 0, so that q starts as the diagonal normal.

    Args:
        latent_dim: number of latent dimensions d; A has d² entries.
        log_var_bound: log σ² is bounded to ±this.
        seed: int for the initial weights, or None.
    """

    def __init__(
        self, latent_dim: int, log_var_bound: float = 10.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        # For the mask and the identity.
        _budget.ask(2 * latent_dim**2, "a mask")
        super().__init__(latent_dim, latent_dim**2, log_var_bound, seed, **kwargs)
        # With random weights each dimension would start with the noise of all before it.
        self.extra.kernel_initializer = keras.initializers.Zeros()

    def distribution(self, mean, log_var, lower):
        """The `MultivariateNormal` with these parameters."""
        d = self.latent_dim
        mask = np.tril(np.ones((d, d), "float32"), -1) / np.float32(d**0.5)
        mask = ops.convert_to_tensor(mask)
        factor = ops.eye(d, dtype="float32") + mask * ops.reshape(lower, (-1, d, d))
        scale = ops.expand_dims(ops.exp(0.5 * log_var), -1)
        return distributions.MultivariateNormal(mean, scale * factor)
