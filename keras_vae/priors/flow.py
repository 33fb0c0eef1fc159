"""A flow prior: N(0, I) after coupling layers, trained with the model."""

import itertools
from typing import Any

from keras import ops

from keras_vae import _checks, distributions, flows, initializers
from keras_vae._registry import register
from keras_vae.priors.base import Prior


@register
class FlowPrior(Prior):
    """p(z): a standard normal after affine coupling layers (RealNVP).

    Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017; as a prior
    in Chen et al., "Variational Lossy Autoencoder", 2017. log p(z) = log N(f⁻¹(z); 0, I)
    - log|det ∂f|; both directions have a closed form. It starts as N(0, I).

    Args:
        latent_dim: number of latent dimensions d.
        couplings: number of coupling layers, at least 0.
        units: width of the two hidden layers of each.
        seed: int for the initial weights, or None.

    Raises:
        ValueError: a number that is out of range.
    """

    def __init__(
        self,
        latent_dim: int,
        couplings: int = 6,
        units: int = 64,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        couplings, units = _checks.count(couplings, "couplings", 0), _checks.count(units, "units")
        super().__init__(latent_dim, **kwargs)
        self.couplings, self.units, self.seed = couplings, units, seed
        self.flows = [
            flows.Coupling(latent_dim, i % 2, units, seed=own, name=f"coupling_{i}")
            for i, own in enumerate(itertools.islice(initializers.seeds(seed), couplings))
        ]

    def distribution(self, condition=None):
        zeros = ops.zeros((self.latent_dim,), "float32")
        return distributions.Transformed(distributions.Normal(zeros, zeros), self.flows)

    def get_config(self):
        return {
            **super().get_config(),
            "couplings": self.couplings,
            "units": self.units,
            "seed": self.seed,
        }
