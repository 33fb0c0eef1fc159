"""Priors p(z): layers that give a distribution over latent codes."""

from typing import Any

import keras
from keras import ops

from keras_vae import distributions
from keras_vae._registry import register


class Prior(keras.layers.Layer):
    """Base class: a `distribution` and, from it, samples.

    Args:
        latent_dim: number of latent dimensions d.

    Attributes:
        from_noise: whether `distribution(...).transform` turns normal noise into codes;
            an exported `sample` needs that.
        can_sample: whether there is anything to draw codes from.
        is_mixture: whether it is a mixture of normals, whose distribution has
            `responsibilities` and `joint_kl`.
        chooses: whether the noise chooses (a class, a component), so that rounding
            may choose another.
        fitted_alone: whether it is trained after the model (`fit_prior`): losses of the model,
            in training and out of it, are then those of `training_distribution`.
        samples_have_gradient: whether samples have a gradient by all trainable weights.
    """

    from_noise = True
    can_sample = True
    is_mixture = False
    chooses = False
    fitted_alone = False
    samples_have_gradient = True

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "name": "prior", **kwargs})
        self.latent_dim = int(latent_dim)
        self.built = True

    @property
    def noise_dim(self):
        """Length of the noise that `distribution(...).transform` turns into one code."""
        return self.latent_dim

    @property
    def noise_shape(self):
        """Shape of the noise of one code."""
        return (self.noise_dim,)

    def attach(self, model):
        """Called with the model that takes this prior; does nothing by default."""

    def distribution(self, condition=None):
        """p(z) or p(z|y) as a distribution with parameters `(d,)` or `(n, d)`."""
        raise NotImplementedError

    def training_distribution(self, condition=None):
        """The distribution in a training step; `distribution` by default."""
        return self.distribution(condition)

    def sample(self, n, rng, condition=None):
        """Draws codes with NumPy's generator: the same on every backend.

        Args:
            n: number of codes.
            rng: a `numpy.random.Generator`.
            condition: encoded conditions `(n, c)` or None.

        Returns:
            NumPy array `(n, d)`, float32.
        """
        noise = rng.standard_normal((n, self.noise_dim), dtype="float32")
        return ops.convert_to_numpy(
            self.distribution(condition).transform(ops.convert_to_tensor(noise))
        )

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim}


@register
class NoPrior(Prior):
    """No prior: the training of an autoencoder does not constrain the distribution of codes."""

    from_noise = False
    can_sample = False

    def distribution(self, condition=None):
        # Its `log_prob` raises an error that says why there is no density.
        return distributions.Point(ops.zeros((self.latent_dim,), "float32"))

    def sample(self, n, rng, condition=None):
        raise ValueError(
            "An autoencoder has no prior to sample from. Fit one to the codes of data: "
            "model.fit_sampler(x). Received: prior=NoPrior"
        )
