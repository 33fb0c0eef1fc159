"""Posteriors q(z|x): encoder features in, parameters and a distribution out.

A posterior is a layer: `parameters = layer(features)` is a tuple of tensors,
and `layer.distribution(*parameters)` the distribution they describe. The two
are apart so that compiled functions can return the parameters as plain arrays.
"""

import keras
from keras import ops

from keras_vae import distributions, initializers

register = keras.saving.register_keras_serializable("keras_vae")


def bounded(raw, bound):
    """Bounds `raw` to (-bound, bound), smoothly; the identity near 0.

    A log-variance that can run away overflows in `exp` and takes the weights
    with it; a hard clip would stop its gradient.
    """
    return bound * ops.tanh(raw / bound)


@register
class DiagonalNormal(keras.layers.Layer):
    """q(z|x) = N(mean, diag(exp(log_var))), Kingma & Welling 2014.

    Args:
        latent_dim: number of latent dimensions d.
        log_var_bound: log-variances stay inside ±this; 10 allows σ from
            0.0067 to 148.
        seed: int for the initial weights, or None.

    Input shape: `(n, features)`. Output: `(mean, log_var)`, each `(n, d)`,
    float32 under every precision policy.
    """

    def __init__(self, latent_dim, log_var_bound=10.0, seed=None, **kwargs):
        super().__init__(**{"dtype": "float32", "name": "posterior", **kwargs})
        self.latent_dim = latent_dim
        self.log_var_bound = log_var_bound
        self.seed = seed
        self.projection = keras.layers.Dense(
            2 * latent_dim,
            kernel_initializer=initializers.GlorotUniform(seed),
            dtype=self.dtype_policy,
            name="projection",
        )

    def build(self, input_shape):
        self.projection.build(input_shape)
        self.built = True

    def call(self, features):
        mean, raw = ops.split(self.projection(features), 2, axis=-1)
        return mean, bounded(raw, self.log_var_bound)

    def distribution(self, mean, log_var):
        """The `Normal` that these parameters describe."""
        return distributions.Normal(mean, log_var)

    def get_config(self):
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "log_var_bound": self.log_var_bound,
            "seed": self.seed,
        }


@register
class Point(keras.layers.Layer):
    """A code without noise: the encoder of an autoencoder that is not variational.

    Args:
        latent_dim: number of latent dimensions d.
        seed: int for the initial weights, or None.

    Input shape: `(n, features)`. Output: a tuple of the code alone, `(n, d)`,
    float32 under every precision policy.
    """

    def __init__(self, latent_dim, seed=None, **kwargs):
        super().__init__(**{"dtype": "float32", "name": "posterior", **kwargs})
        self.latent_dim = latent_dim
        self.seed = seed
        self.projection = keras.layers.Dense(
            latent_dim,
            kernel_initializer=initializers.GlorotUniform(seed),
            dtype=self.dtype_policy,
            name="projection",
        )

    def build(self, input_shape):
        self.projection.build(input_shape)
        self.built = True

    def call(self, features):
        return (self.projection(features),)

    def distribution(self, mean):
        """The `distributions.Point` at the code."""
        return distributions.Point(mean)

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim, "seed": self.seed}
