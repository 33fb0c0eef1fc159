"""Two layers of codes: N(0, I), and a normal given the first."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vae import distributions, layers
from keras_vae._registry import register
from keras_vae.distributions.chained import check_top_dim
from keras_vae.priors.base import Prior


@register
class ChainedPrior(Prior):
    """p(z₂) p(z₁|z₂) with p(z₂) = N(0, I), of the code (z₁, z₂).

    Args: as `posteriors.ChainedPosterior`; `units` are in the same order, from z₁ upwards.
    """

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
        super().__init__(latent_dim, **kwargs)
        self.top_dim, self.log_var_bound, self.seed = top_dim, log_var_bound, seed
        self.below = layers.NormalOf(
            top_dim,
            latent_dim - top_dim,
            tuple(units)[::-1],
            activation,
            log_var_bound,
            seed,
            name="below",
        )

    def distribution(self, condition=None):
        zeros = ops.zeros((self.top_dim,), "float32")
        return distributions.Chained(distributions.Normal(zeros, zeros), self.below, upwards=False)

    def get_config(self):
        return {
            **super().get_config(),
            "top_dim": self.top_dim,
            "units": self.below.units[::-1],
            "activation": keras.activations.serialize(self.below.activation),
            "log_var_bound": self.log_var_bound,
            "seed": self.seed,
        }
