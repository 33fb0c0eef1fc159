"""Products of posteriors, one for each part of the code."""

import itertools
from collections.abc import Sequence
from typing import Any

from keras_vae import _registry, distributions
from keras_vae._registry import register
from keras_vae.posteriors.base import Posterior


@register
class ProductPosterior(Posterior):
    """A code of independent parts, each with its own posterior.

    Args:
        parts: posteriors, in the order of the parts in the code.

    Output: the parameters of all parts, in order.
    """

    def __init__(self, parts: Sequence[Posterior], **kwargs: Any) -> None:
        super().__init__(sum(part.latent_dim for part in parts), **kwargs)
        self.parts = list(parts)
        self.has_density = all(part.has_density for part in parts)
        self.chooses = any(part.chooses for part in parts)
        self.relaxes = any(part.relaxes for part in parts)
        self.num_parameters = sum(part.num_parameters for part in parts)

    def build(self, input_shape):
        for part in self.parts:
            if not part.built:
                part.build(input_shape)
        self.built = True

    def call(self, features):
        return tuple(itertools.chain.from_iterable(part(features) for part in self.parts))

    def distribution(self, *parameters):
        return self._joined("distribution", (), parameters)

    def training_distribution(self, step, *parameters):
        return self._joined("training_distribution", (step,), parameters)

    def _joined(self, method, first, parameters):
        parts, start = [], 0
        for part in self.parts:
            count = part.num_parameters
            values = parameters[start : start + count]
            parts.append(getattr(part, method)(*first, *values))
            start += count
        return distributions.Product(parts)

    def get_config(self):
        config = {**super().get_config(), "parts": _registry.serialize_parts(self.parts)}
        del config["latent_dim"], config["seed"]
        return config

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "parts": _registry.deserialize_parts(config["parts"])})
