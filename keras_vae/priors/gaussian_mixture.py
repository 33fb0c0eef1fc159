"""A mixture of normals with full covariances, fitted to codes."""

from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks, distributions
from keras_vae._registry import register
from keras_vae.priors.base import Prior


@register
class GaussianMixture(Prior):
    """p(z) = Σ_k w_k N(m_k, L_k L_kᵀ), not trainable.

    Fitted to the codes of a trained model it draws codes from where the decoder was
    trained: Ghosh et al., "From Variational to Deterministic Autoencoders", 2020.
    `from_arrays` sets the parameters; a new instance is N(0, I).

    Args:
        latent_dim: number of latent dimensions d.
        components: number of normals k.

    Raises:
        ValueError: `components` below 1.
    """

    from_noise = False

    def __init__(self, latent_dim: int, components: int, **kwargs: Any) -> None:
        components = _checks.count(components, "components")
        super().__init__(latent_dim, **kwargs)
        self.components = components

        def weight(name, shape, value):
            def initial(shape, dtype):
                # Not broadcast: on PyTorch that is a view, which cannot be assigned to.
                return ops.zeros(shape, dtype) + ops.cast(value, dtype)

            return self.add_weight(shape=shape, initializer=initial, trainable=False, name=name)

        identity = np.eye(latent_dim, dtype="float32")
        self.log_weights = weight("log_weights", (components,), -float(np.log(components)))
        self.means = weight("means", (components, latent_dim), 0.0)
        self.factors = weight("factors", (components, latent_dim, latent_dim), identity)

    @classmethod
    def from_arrays(cls, weights, means, factors, **kwargs):
        """A prior with given parameters.

        Args:
            weights: `(k,)`, above 0; divided by their sum.
            means: `(k, d)`.
            factors: `(k, d, d)`, lower triangular with a positive diagonal.

        Raises:
            ValueError: shapes that do not fit, or a number that is out of range.
        """
        weights, means, factors = (np.asarray(a, "float64") for a in (weights, means, factors))
        k, d = means.shape if means.ndim == 2 else (-1, -1)
        if weights.shape != (k,) or factors.shape != (k, d, d):
            raise ValueError(
                "`weights`, `means` and `factors` must have shapes (k,), (k, d) and (k, d, d). "
                f"Received: {weights.shape}, {means.shape} and {factors.shape}"
            )
        low = min(weights.min(), np.diagonal(factors, axis1=1, axis2=2).min())
        finite = all(np.isfinite(a).all() for a in (weights, means, factors))
        if not finite or not low > 0.0 or np.triu(factors, 1).any():
            raise ValueError(
                "`weights` and the diagonals of `factors` must be above 0, what is above the "
                f"diagonals 0, and all finite. Received: smallest {low:g}, finite: {finite}"
            )
        prior = cls(d, k, **kwargs)
        prior.log_weights.assign(np.log(weights / weights.sum()).astype("float32"))
        prior.means.assign(means.astype("float32"))
        prior.factors.assign(factors.astype("float32"))
        return prior

    def distribution(self, condition=None):
        tensors = map(ops.convert_to_tensor, (self.log_weights, self.means, self.factors))
        return distributions.MultivariateMixture(*tensors)

    def sample(self, n, rng, condition=None):
        # In NumPy: backends sum in orders of their own.
        log_weights, means, factors = map(
            ops.convert_to_numpy, (self.log_weights, self.means, self.factors)
        )
        weights = np.exp(log_weights.astype("float64"))
        chosen = rng.choice(self.components, n, p=weights / weights.sum())
        drawn = rng.standard_normal((n, self.latent_dim), dtype="float32")
        for k in np.unique(chosen):
            rows = chosen == k
            drawn[rows] = means[k] + drawn[rows] @ factors[k].T
        return drawn

    def get_config(self):
        return {**super().get_config(), "components": self.components}
