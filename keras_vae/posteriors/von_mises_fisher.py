"""Von Mises and Fisher's posterior: codes on the unit sphere."""

from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks, distributions, layers
from keras_vae._registry import register
from keras_vae.posteriors.base import Posterior


@register
class VonMisesFisher(Posterior):
    """q(z|x) ∝ exp(κ μᵀz) on the unit sphere, Davidson et al. 2018.

    μ is what the encoder gives, divided by its length; κ is `min_concentration` and a softplus,
    as in the authors' code, where the minimum keeps codes from becoming uniform early.

    Args:
        latent_dim: d, numbers of a code, at least 2: its sphere has d - 1 dimensions.
        min_concentration: the smallest κ, at least 0.
        max_concentration: κ stays below it, and it is at most 1,000,000. The angle of a code
            to μ is about √((d - 1) / κ).
        seed: int for the initial weights, or None.

    Input shape: `(n, features)`. Output: `(direction, concentration)`, `(n, d)` of unit
    length and `(n, 1)`.

    Raises:
        ValueError: a number that is out of range.
    """

    num_parameters = 2

    def __init__(
        self,
        latent_dim: int,
        min_concentration: float = 1.0,
        max_concentration: float = 10_000.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        latent_dim = _checks.count(latent_dim, "latent_dim", 2)
        super().__init__(latent_dim, seed, **kwargs)
        self.min_concentration = _checks.at_least_0("min_concentration", min_concentration)
        self.max_concentration = float(max_concentration)
        if not self.min_concentration < self.max_concentration <= 1e6:
            raise ValueError(
                "`max_concentration` must be above `min_concentration` and at most 1,000,000. "
                f"Received: {min_concentration!r} and {max_concentration!r}"
            )
        self.projection = self._dense(latent_dim + 1, seed)

    def build(self, input_shape):
        self.projection.build(input_shape)
        self.built = True

    def call(self, features):
        raw = self.projection(features)
        pointer, raw = raw[..., :-1], raw[..., -1:]
        # Its length does not matter: squares of the longest would overflow. A pointer of no
        # length has no direction: features that are all 0 give the first axis.
        largest = ops.stop_gradient(ops.max(ops.abs(pointer), axis=-1, keepdims=True))
        first = ops.convert_to_tensor(np.eye(1, self.latent_dim, dtype="float32")[0])
        pointer = ops.where(largest < 1e-6, pointer + first, pointer / ops.maximum(largest, 1e-6))
        length = ops.sqrt(ops.sum(ops.square(pointer), axis=-1, keepdims=True))
        above = layers.bounded(raw, self.max_concentration - self.min_concentration)
        return pointer / length, self.min_concentration + ops.softplus(above)

    def distribution(self, direction, concentration):
        """The `distributions.VonMisesFisher` with these parameters."""
        return distributions.VonMisesFisher(direction, concentration)

    def get_config(self):
        return {
            **super().get_config(),
            "min_concentration": self.min_concentration,
            "max_concentration": self.max_concentration,
        }
