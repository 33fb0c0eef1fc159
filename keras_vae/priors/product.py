"""Products of priors, one for each part of the code."""

from collections.abc import Sequence
from typing import Any

from keras_vae import _registry, distributions
from keras_vae._registry import register
from keras_vae.priors.base import Prior


@register
class ProductPrior(Prior):
    """A code of independent parts, each with its own prior.

    Args:
        parts: priors, in the order of the parts in the code.
    """

    def __init__(self, parts: Sequence[Prior], **kwargs: Any) -> None:
        super().__init__(sum(part.latent_dim for part in parts), **kwargs)
        self.parts = list(parts)
        self.chooses = any(part.chooses for part in parts)
        self.fitted_alone = any(part.fitted_alone for part in parts)
        self.samples_have_gradient = all(part.samples_have_gradient for part in parts)

    @property
    def noise_dim(self):
        return sum(part.noise_dim for part in self.parts)

    def distribution(self, condition=None):
        return distributions.Product([part.distribution(condition) for part in self.parts])

    def training_distribution(self, condition=None):
        return distributions.Product([part.training_distribution(condition) for part in self.parts])

    def get_config(self):
        config = {**super().get_config(), "parts": _registry.serialize_parts(self.parts)}
        del config["latent_dim"]
        return config

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "parts": _registry.deserialize_parts(config["parts"])})
