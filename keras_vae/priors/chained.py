"""Two layers of codes: N(0, I), and a normal given the first."""

import keras
from keras import ops

from keras_vae import distributions, layers
from keras_vae._registry import register
from keras_vae.distributions.chained import check_top_dim
from keras_vae.priors.base import Prior


@register
class ChainedPrior(Prior):
    """p(z₂) p(z₁|z₂) with p(z₂) = N(0, I), of the code (z₁, z₂).

    Args: as `ChainedPosterior`; `units` count from z₁ upwards here too.
    """

    def __init__(
        self,
        latent_dim,
        top_dim,
        units=(100, 100),
        activation="tanh",
        log_var_bound=10.0,
        seed=None,
        **kwargs,
    ):
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
