"""Posteriors q(z|x): encoder features in, parameters and a distribution out.

A posterior is a layer: `parameters = layer(features)` is a tuple of tensors,
and `layer.distribution(*parameters)` is their distribution. The two are separate
so that compiled functions can return the parameters as plain arrays.
"""

from typing import Any

import keras

from keras_vae import initializers


class Posterior(keras.layers.Layer):
    """Base class of the posteriors; float32 under every precision policy.

    Args:
        latent_dim: number of latent dimensions d.
        seed: int for the initial weights, or None.

    Attributes:
        has_density: whether samples of q have a density. Bounds on log p(x) need one.
        num_parameters: number of tensors that `call` returns.
        is_diagonal_normal: whether q is a `distributions.Normal` with the parameters
            `(mean, log_var)`.
        slope: function that gives the derivative of a code's activation from its value;
            None where no such derivative is known. See `Point`.
        chooses: whether the code that is kept is chosen (a class, the units to keep),
            so that rounding may choose another.
        codes_are_maps: whether codes are maps `(n, h, w, d)`, as those of `SpatialNormal`.
        relaxes: whether training draws relaxed codes, which have no density under the
            distribution of the codes.
    """

    has_density = True
    is_diagonal_normal = False
    slope = None
    chooses = False
    relaxes = False
    codes_are_maps = False
    num_parameters = 1

    def __init__(self, latent_dim: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "name": "posterior", **kwargs})
        self.latent_dim = int(latent_dim)
        self.seed = seed

    def distribution(self, *parameters):
        """The distribution with these parameters."""
        raise NotImplementedError

    def training_distribution(self, step, *parameters):
        """The distribution that training draws from at a step; `distribution` by default."""
        return self.distribution(*parameters)

    def _dense(self, units, seed, name="projection"):
        return keras.layers.Dense(
            int(units),
            kernel_initializer=initializers.GlorotUniform(seed),
            dtype=self.dtype_policy,
            name=name,
        )

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim, "seed": self.seed}
