"""Priors p(z): layers that give a distribution over latent codes."""

import keras
from keras import ops

from keras_vae import distributions

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
