"""Priors p(z): layers that give a distribution over latent codes."""

import keras
from keras import ops

from keras_vae import categorical, distributions

register = keras.saving.register_keras_serializable("keras_vae")


class Prior(keras.layers.Layer):
    """Base class: a `distribution` and, from it, samples.

    Args:
        latent_dim: number of latent dimensions d.
    """

    def __init__(self, latent_dim, **kwargs):
        super().__init__(**{"dtype": "float32", "name": "prior", **kwargs})
        self.latent_dim = latent_dim
        self.built = True

    def distribution(self, condition=None):
        """p(z) or p(z|y) as a distribution with parameters `(d,)` or `(n, d)`."""
        raise NotImplementedError

    def sample(self, n, rng, condition=None):
        """Draws codes with NumPy's generator: the same on every backend.

        Args:
            n: number of codes.
            rng: a `numpy.random.Generator`.
            condition: encoded conditions `(n, c)` or None.

        Returns:
            NumPy array `(n, d)`, float32.
        """
        noise = rng.standard_normal((n, self.latent_dim), dtype="float32")
        return ops.convert_to_numpy(self.distribution(condition).transform(noise))

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim}


@register
class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    def distribution(self, condition=None):
        zeros = ops.zeros((self.latent_dim,), "float32")
        return distributions.Normal(zeros, zeros)


@register
class UniformCategorical(Prior):
    """Independent variables, each of whose classes are equally probable.

    Args:
        variables: number of variables.
        classes: classes of each.
    """

    def __init__(self, variables, classes, **kwargs):
        super().__init__(variables * classes, **kwargs)
        self.num_variables = variables
        self.classes = classes

    def distribution(self, condition=None):
        logits = ops.zeros((self.latent_dim,), "float32")
        return categorical.Categorical(logits, self.classes)

    def get_config(self):
        config = {**super().get_config(), "variables": self.num_variables, "classes": self.classes}
        del config["latent_dim"]
        return config


@register
class ProductPrior(Prior):
    """Independent parts of a code, each with a prior of its own.

    Args:
        parts: priors, in the order of their dimensions in the code.
    """

    def __init__(self, parts, **kwargs):
        super().__init__(sum(part.latent_dim for part in parts), **kwargs)
        self.parts = list(parts)

    def distribution(self, condition=None):
        return distributions.Product([part.distribution(condition) for part in self.parts])

    def get_config(self):
        config = {**super().get_config(), "parts": serialize_parts(self.parts)}
        del config["latent_dim"]
        return config

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "parts": deserialize_parts(config["parts"])})


def serialize_parts(parts):
    """Layers as a part's configuration holds them."""
    return [keras.saving.serialize_keras_object(part) for part in parts]


def deserialize_parts(configs):
    """Inverse of `serialize_parts`."""
    return [keras.saving.deserialize_keras_object(config) for config in configs]
