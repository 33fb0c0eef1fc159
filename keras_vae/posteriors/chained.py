"""Two layers of codes: a normal, and a normal given the first."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras

from keras_vae import distributions, initializers, layers
from keras_vae._registry import register
from keras_vae.distributions.chained import check_top_dim
from keras_vae.posteriors.base import Posterior
from keras_vae.posteriors.normal import DiagonalNormal


@register
class ChainedPosterior(Posterior):
    """q(z₁|x) q(z₂|z₁): the encoder gives the first normal, a network of z₁ gives the second.

    Args:
        latent_dim: dimensions of z₁ and z₂ together.
        top_dim: dimensions of z₂, from 1 to `latent_dim` - 1.
        units: widths of the hidden layers between z₁ and z₂, from z₁ upwards.
        activation: of the hidden layers.
        log_var_bound: log-variances are bounded to ±this.
        seed: int for the initial weights, or None.

    Input shape: `(n, features)`. Output: `(mean, log_var)` of z₁.

    Raises:
        ValueError: `top_dim` out of range.
    """

    num_parameters = 2

    def __init__(
        self,
        latent_dim: int,
        top_dim: int,
        units: Sequence[int] = (100, 100),
        activation: str = "tanh",
        log_var_bound: float = 10.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_top_dim(latent_dim, top_dim)
        super().__init__(latent_dim, seed, **kwargs)
        self.top_dim, self.log_var_bound = top_dim, log_var_bound
        first, second = itertools.islice(initializers.seeds(seed), 2)
        below = latent_dim - top_dim
        self.base = DiagonalNormal(below, log_var_bound, first, name="base")
        self.above = layers.NormalOf(
            below, top_dim, units, activation, log_var_bound, second, name="above"
        )

    def build(self, input_shape):
        self.base.build(input_shape)
        self.built = True

    def call(self, features):
        return self.base(features)

    def distribution(self, mean, log_var):
        """The `distributions.Chained` with these parameters."""
        return distributions.Chained(distributions.Normal(mean, log_var), self.above, upwards=True)

    def get_config(self):
        return {
            **super().get_config(),
            "top_dim": self.top_dim,
            "units": self.above.units,
            "activation": keras.activations.serialize(self.above.activation),
            "log_var_bound": self.log_var_bound,
            "seed": self.seed,
        }
