"""Priors that are trained after the model, on its codes."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_vae import distributions
from keras_vae.priors.base import Prior


class FittedAlone(Prior):
    """A prior that `fit_prior` trains on codes, which it standardises by fitted moments.

    While the model itself is trained its prior is N(0, I): `fit` does not see this one. A
    subclass has `training_loss(codes, condition, noise, times)`, `(n,)`, which `fit_prior`
    minimises, and ends its constructor with `self.trainable = False`.

    Args:
        code_shape: `(d,)`, or `(h, w, c)` of maps.
    """

    fitted_alone = True

    def __init__(self, code_shape: tuple[int, ...], **kwargs: Any) -> None:
        kwargs.pop("latent_dim", None)
        # On TensorFlow an attribute that is set to what it is already is not set: a config's
        # False would keep the False of the constructor from the layers inside.
        kwargs.pop("trainable", None)
        super().__init__(code_shape[-1], **kwargs)
        self.code_shape = tuple(int(size) for size in code_shape)

        def moment(name, initializer):
            shape = (self.latent_dim,)
            return self.add_weight(shape=shape, initializer=initializer, trainable=False, name=name)

        self.mean, self.deviation = moment("mean", "zeros"), moment("deviation", "ones")

    def adapt(self, codes):
        """Fits the moments by which codes are standardised: of each dimension or channel.

        Args:
            codes: NumPy `(n, *code_shape)`.
        """
        codes = np.asarray(codes, "float64").reshape(-1, self.latent_dim)
        self.mean.assign(codes.mean(axis=0).astype("float32"))
        # A dimension that is constant stays so.
        self.deviation.assign(np.maximum(codes.std(axis=0), 1e-6).astype("float32"))

    def to_standard(self, z):
        """Codes in units of their moments."""
        return (z - ops.convert_to_tensor(self.mean)) / ops.convert_to_tensor(self.deviation)

    def from_standard(self, u):
        """The inverse of `to_standard`."""
        return u * ops.convert_to_tensor(self.deviation) + ops.convert_to_tensor(self.mean)

    def log_scale(self):
        """log|det| of `from_standard`, a scalar."""
        each = math.prod(self.code_shape[:-1])
        return float(each) * ops.sum(ops.log(ops.convert_to_tensor(self.deviation)))

    def training_distribution(self, condition=None):
        """N(0, I): the model is trained first, and this prior on its codes."""
        zeros = ops.zeros(self.code_shape, "float32")
        return distributions.Normal(zeros, zeros, len(self.code_shape))
