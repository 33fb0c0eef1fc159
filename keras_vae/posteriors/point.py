"""Codes without noise; optionally only the largest units are kept."""

from typing import Any

import keras
from keras import ops

from keras_vae import _checks, distributions, schedules
from keras_vae._registry import register
from keras_vae._types import Tensor
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
    """A code without noise, in place of q(z|x): the code of an autoencoder.

    Args:
        latent_dim: number of latent dimensions d.
        activation: Keras' name of the code's activation, such as "sigmoid", or None.
        seed: int for the initial weights, or None.

    Input shape: `(n, features)`. Output: `(mean,)`, `(n, d)`.

    Raises:
        ValueError: an unknown activation.
    """

    has_density = False

    def __init__(
        self, latent_dim: int, activation: str | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        if activation is not None and not isinstance(activation, str):
            raise ValueError(
                f"`activation` must be a name or None. Received: activation={activation!r}"
            )
        super().__init__(latent_dim, seed, **kwargs)
        self.activation = activation
        self.projection = self._dense(latent_dim, seed)
        keras.activations.get(activation)

    def build(self, input_shape):
        self.projection.build(input_shape)
        self.built = True

    def call(self, features):
        return (keras.activations.get(self.activation)(self.projection(features)),)

    def distribution(self, mean):
        """The `distributions.Point` at this code."""
        return distributions.Point(mean)

    @property
    def slope(self):
        """The derivative of the activation as a function of its value, or None."""
        return _SLOPES.get(self.activation)

    def squared_jacobian(self, features):
        """‖∂code/∂features‖²_F = Σ_j s'(a_j)² Σ_i W_ij², `(n,)` float32.

        Rifai et al., "Contractive Auto-Encoders", 2011. Needs a `slope`.
        """
        (code,) = self(features)
        rows = ops.sum(ops.square(ops.convert_to_tensor(self.projection.kernel)), axis=0)
        return ops.sum(ops.square(self.slope(code)) * rows, axis=-1)

    def get_config(self):
        return {**super().get_config(), "activation": self.activation}


@register
class SparsePoint(Point):
    """A linear code whose k largest units are kept; the others are set to 0.

    Makhzani & Frey, "k-Sparse Autoencoders", 2013. Only the kept units have a gradient.
    Exactly k units are kept, also when several are equal.

    Args:
        latent_dim: number of latent dimensions d.
        k: units kept in training, from 1 to d; or a `schedules.Schedule` of that number,
            which is rounded. The paper starts with many units, so that all of them learn, and
            lowers their number over the first half of training.
        alpha: outside training round(αk) units are kept, at most d, of a schedule's final k.
        seed: int for the initial weights, or None.

    Raises:
        ValueError: a number that is out of range.
    """

    # The selection of units is not an elementwise activation.
    slope = None
    chooses = True

    def __init__(
        self,
        latent_dim: int,
        k: int | schedules.Schedule,
        alpha: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        value: Any = schedules.deserialize(k)
        scheduled = isinstance(value, schedules.Schedule)
        kept = round(value.final) if scheduled else value
        if not _checks.is_integer(kept, 1, latent_dim):
            raise ValueError(
                f"`k` must be an integer from 1 to the number of units, {latent_dim}, or a "
                "Schedule that ends at one. "
                f"Received: k={value.get_config() if scheduled else value!r}"
            )
        if not 1.0 <= alpha < float("inf"):
            raise ValueError(f"`alpha` must be at least 1 and finite. Received: alpha={alpha!r}")
        super().__init__(latent_dim, None, seed, **kwargs)
        self.k, self.alpha = value if scheduled else int(value), float(alpha)

    def distribution(self, mean):
        """The `distributions.Point` at the round(αk) largest units of this code."""
        k = self.k.final if isinstance(self.k, schedules.Schedule) else self.k
        return distributions.Point(largest(mean, min(round(self.alpha * k), self.latent_dim)))

    def training_distribution(self, step, mean):
        if not isinstance(self.k, schedules.Schedule):
            return distributions.Point(largest(mean, self.k))
        # Its number of units is a tensor, which `ops.top_k` does not take.
        k = ops.clip(ops.round(self.k(step)), 1, self.latent_dim)
        places = ops.argsort(ops.argsort(-mean, axis=-1), axis=-1)
        kept = ops.cast(ops.cast(places, "float32") < k, "float32")
        return distributions.Point(mean * kept)

    def get_config(self):
        k = schedules.serialize(self.k)
        config = {**super().get_config(), "k": k, "alpha": self.alpha}
        del config["activation"]
        return config


def largest(values: Tensor, k: int) -> Tensor:
    """Keeps the k largest values along the last axis and sets the others to 0."""
    _, index = ops.top_k(values, k)
    kept = ops.sum(ops.one_hot(index, values.shape[-1], dtype="float32"), axis=-2)
    return values * kept
