"""The uniform prior on the unit sphere."""

from typing import Any

from keras_vae import _checks, distributions
from keras_vae._registry import register
from keras_vae.priors.base import Prior


@register
class UniformSphere(Prior):
    """p(z): uniform on the unit sphere, von Mises and Fisher's distribution with κ = 0.

    Args:
        latent_dim: d, numbers of a code, at least 2.

    Raises:
        ValueError: fewer than two dimensions.
    """

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(_checks.count(latent_dim, "latent_dim", 2), **kwargs)

    def distribution(self, condition=None):
        return distributions.UniformSphere(self.latent_dim)
