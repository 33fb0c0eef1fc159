"""Codes without noise, and those of which the largest units are kept."""

import keras
from keras import ops

from keras_vae import _checks, distributions
from keras_vae._registry import register
from keras_vae.posteriors.base import Posterior

# Derivatives of activations as functions of their values.
_SLOPES = {
    None: ops.ones_like,
    "linear": ops.ones_like,
    "sigmoid": lambda h: h * (1.0 - h),
    "tanh": lambda h: 1.0 - ops.square(h),
    "relu": lambda h: ops.cast(h > 0.0, "float32"),
    "softplus": lambda h: 1.0 - ops.exp(-h),
}


@register
class Point(Posterior):
    """A code without noise: what autoencoders have in place of q(z|x).

    Args:
        latent_dim: number of latent dimensions d.
        activation: Keras' name of what the code goes through, such as "sigmoid", or
            None.
        seed: int for the initial weights, or None.

    Input shape: `(n, features)`. Output: `(mean,)`, `(n, d)`.

    Raises:
        ValueError: an unknown activation.
    """

    has_density = False

    def __init__(self, latent_dim, activation=None, seed=None, **kwargs):
        if activation is not None and not isinstance(activation, str):
            raise ValueError(
                f"`activation` must be a name or None. Received: activation={activation!r}"
            )
        super().__init__(latent_dim, seed, **kwargs)
        self.activation = activation
        self.projection = self._dense(latent_dim, seed)
        self._activate = keras.activations.get(activation)

    def build(self, input_shape):
        self.projection.build(input_shape)
        self.built = True

    def call(self, features):
        return (self._activate(self.projection(features)),)

    def distribution(self, mean):
        """The `distributions.Point` at this code."""
        return distributions.Point(mean)

    @property
    def slope(self):
        """The activation's derivative as a function of its value; None where unknown."""
        return _SLOPES.get(self.activation)

    def squared_jacobian(self, features):
        """‖∂code/∂features‖²_F = Σ_j s'(a_j)² Σ_i W_ij², `(n,)` float32.

        Rifai et al., "Contractive Auto-Encoders", 2011, where the slope is known.
        """
        (code,) = self(features)
        rows = ops.sum(ops.square(ops.convert_to_tensor(self.projection.kernel)), axis=0)
        return ops.sum(ops.square(self.slope(code)) * rows, axis=-1)

    def get_config(self):
        return {**super().get_config(), "activation": self.activation}


@register
class SparsePoint(Point):
    """A linear code of which the k largest units are kept and the others are 0.

    Makhzani & Frey, "k-Sparse Autoencoders", 2013. The gradient reaches the units that
    were kept only. No more than k are, even of units that are equal.

    Args:
        latent_dim: number of latent dimensions d.
        k: units kept in training, from 1 to d.
        alpha: at any other time round(αk) are kept, at most d.
        seed: int for the initial weights, or None.

    Raises:
        ValueError: a number that is out of range.
    """

    # Not a derivative of the whole code, which is cut as well.
    slope = None
    chooses = True

    def __init__(self, latent_dim, k, alpha=1.0, seed=None, **kwargs):
        if not _checks.is_integer(k, 1, latent_dim):
            raise ValueError(
                f"`k` must be an integer from 1 to the number of units, {latent_dim}. "
                f"Received: k={k!r}"
            )
        if not 1.0 <= alpha < float("inf"):
            raise ValueError(f"`alpha` must be at least 1 and finite. Received: alpha={alpha!r}")
        super().__init__(latent_dim, None, seed, **kwargs)
        self.k, self.alpha = int(k), float(alpha)

    def distribution(self, mean):
        """The `distributions.Point` at the round(αk) largest units of this code."""
        return distributions.Point(largest(mean, min(round(self.alpha * self.k), self.latent_dim)))

    def training_distribution(self, step, mean):
        return distributions.Point(largest(mean, self.k))

    def get_config(self):
        config = {**super().get_config(), "k": self.k, "alpha": self.alpha}
        del config["activation"]
        return config


def largest(values, k):
    """The k largest of the last axis `(..., d)`, the others 0; never more than k."""
    _, index = ops.top_k(values, k)
    kept = ops.sum(ops.one_hot(index, values.shape[-1], dtype="float32"), axis=-2)
    return values * kept
