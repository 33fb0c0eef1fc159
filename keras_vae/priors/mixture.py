"""A mixture of diagonal normals, trained with the model."""

from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks, distributions, initializers, layers
from keras_vae._registry import register
from keras_vae.priors.base import Prior


class MixturePrior(Prior):
    """Base class: a mixture of `components` normals.

    Args:
        latent_dim: number of latent dimensions d.
        components: K, at least 1.
        seed: int for the initial weights, or None.

    Raises:
        ValueError: `components` below 1.
    """

    is_mixture = True
    chooses = True

    def __init__(
        self, latent_dim: int, components: int, seed: int | None = None, **kwargs: Any
    ) -> None:
        components = _checks.count(components, "components")
        super().__init__(latent_dim, **kwargs)
        self.components, self.seed = components, seed

    @property
    def noise_dim(self):
        return self.latent_dim + 1

    def sample(self, n, rng, condition=None):
        # NumPy chooses the component: a rounding difference between backends must not.
        p = self.distribution(condition)
        weights, mean, log_var = (
            ops.convert_to_numpy(value).astype("float64")
            for value in (ops.exp(p.log_weights), p.components.mean, p.components.log_var)
        )
        chosen = np.searchsorted(np.cumsum(weights), rng.random(n))
        chosen = np.minimum(chosen, self.components - 1)
        noise = rng.standard_normal((n, self.latent_dim))
        return (mean[chosen] + np.exp(0.5 * log_var[chosen]) * noise).astype("float32")

    def get_config(self):
        return {**super().get_config(), "components": self.components, "seed": self.seed}


@register
class LearnedMixture(MixturePrior):
    """p(z) = Σ_k w_k N(mean_k, diag(σ²_k)); weights, means and variances are trained.

    The prior of Jiang et al., "Variational Deep Embedding", 2017, with the component
    summed out. Means start around 0 and scales at 1; a single component starts as N(0, I).

    Args: as `MixturePrior`.
    """

    # Noise chooses the component: the choice has no gradient by the weights.
    samples_have_gradient = False

    def __init__(
        self, latent_dim: int, components: int = 10, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(latent_dim, components, seed, **kwargs)
        shape = (components, latent_dim)
        self.logits = self.add_weight((components,), "zeros", name="logits")
        self.means = self.add_weight(shape, initializers.CentredNormal(seed), name="means")
        self.raw_log_vars = self.add_weight(shape, "zeros", name="raw_log_vars")

    def start_from(self, weights, means, variances):
        """Sets the parameters to those of a given mixture.

        Args:
            weights: `(k,)`, above 0; divided by their sum.
            means, variances: `(k, d)`; log-variances stay inside ±10.

        Raises:
            ValueError: another shape, or a number that is out of range.
        """
        weights, means, variances = (np.asarray(a, "float64") for a in (weights, means, variances))
        shape = tuple(self.means.shape)
        fits = weights.shape == shape[:1] and means.shape == variances.shape == shape
        if not fits or not (
            np.isfinite(means).all() and (weights > 0).all() and (variances > 0).all()
        ):
            raise ValueError(
                f"`weights` {shape[:1]} and `variances` {shape} must be above 0, `means` {shape} "
                f"finite. Received: shapes {weights.shape}, {variances.shape}, {means.shape}"
            )
        bounded = np.clip(np.log(variances), -9.9, 9.9)
        self.logits.assign(np.log(weights / weights.sum()))
        self.means.assign(means)
        self.raw_log_vars.assign(10.0 * np.arctanh(bounded / 10.0))

    def distribution(self, condition=None):
        return distributions.Mixture(
            ops.log_softmax(ops.convert_to_tensor(self.logits)),
            ops.convert_to_tensor(self.means),
            layers.bounded(ops.convert_to_tensor(self.raw_log_vars), 10.0),
        )
