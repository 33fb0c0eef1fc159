"""Normal priors: N(0, I), one fitted to codes, and one learned of the condition."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, distributions, layers
from keras_vae._registry import register
from keras_vae.priors.base import Prior


@register
class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    def distribution(self, condition=None):
        zeros = ops.zeros((self.latent_dim,), "float32")
        return distributions.Normal(zeros, zeros)


@register
class LinearNormal(Prior):
    """p(z|y) = N(W y + b, L Lᵀ), or p(z) = N(b, L Lᵀ) without a condition.

    Fitted in closed form to the codes of a trained model: the aggregate posterior
    differs from N(0, I), and samples should come from where the decoder was trained.
    Ghosh et al., "From Variational to Deterministic Autoencoders", 2020 (ex-post
    density estimation). Before `LinearNormal.fit` it is N(0, I); `model.fit` does not
    train it.

    Args:
        latent_dim: number of latent dimensions d.
        condition_dim: length c of the encoded conditions, or None.
    """

    def __init__(self, latent_dim: int, condition_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(latent_dim, **kwargs)
        self.condition_dim = condition_dim

        def weight(name, shape, initializer="zeros"):
            return self.add_weight(shape=shape, initializer=initializer, trainable=False, name=name)

        self.bias = weight("bias", (latent_dim,))
        self.factor = weight("factor", (latent_dim, latent_dim), _identity)
        if condition_dim is not None:
            self.slope = weight("slope", (condition_dim, latent_dim))

    def distribution(self, condition=None):
        mean = ops.convert_to_tensor(self.bias)
        if self.condition_dim is not None:
            if condition is None:
                raise ValueError(
                    "This prior is conditional: give the encoded conditions "
                    f"(n, {self.condition_dim}). Received: condition=None"
                )
            mean = mean + ops.matmul(ops.cast(condition, "float32"), self.slope)
        return distributions.MultivariateNormal(mean, ops.convert_to_tensor(self.factor))

    def sample(self, n, rng, condition=None):
        # In NumPy: backends sum in different orders.
        noise = rng.standard_normal((n, self.latent_dim), dtype="float32")
        drawn = ops.convert_to_numpy(self.bias) + noise @ ops.convert_to_numpy(self.factor).T
        if self.condition_dim is not None:
            drawn = drawn + ops.convert_to_numpy(condition) @ ops.convert_to_numpy(self.slope)
        return drawn.astype("float32")

    def fit(self, mean, variance=None, condition=None):
        """Fits the prior to the codes of a data set.

        The codes are a mixture of posteriors N(mean_i, variance_i): least squares
        of their means on the condition, then the covariance that remains plus the
        mean of the variances or covariances.

        Args:
            mean: posterior means `(n, d)`, more examples than parameters each.
            variance: posterior variances `(n, d)`, or the mean of the posteriors' covariances
                `(d, d)`; None for codes that are points.
            condition: encoded conditions `(n, c)` or None.

        Raises:
            ValueError: too few codes, wrong shape, or a missing condition.
        """
        mean = np.asarray(mean, "float64")
        c = self.condition_dim or 0
        if mean.ndim != 2 or mean.shape[1] != self.latent_dim or len(mean) <= self.latent_dim + c:
            raise ValueError(
                f"`mean` must be codes (n, {self.latent_dim}) of more than "
                f"{self.latent_dim + c} examples. Received: shape {mean.shape}"
            )
        inputs = np.ones((len(mean), 1))
        if c:
            if condition is None or np.shape(condition) != (len(mean), c):
                raise ValueError(
                    f"`condition` must have shape ({len(mean)}, {c}). "
                    f"Received: {None if condition is None else np.shape(condition)}"
                )
            inputs = np.concatenate([inputs, np.asarray(condition, "float64")], axis=1)
        solution = np.linalg.lstsq(inputs, mean, rcond=None)[0]
        rest = mean - inputs @ solution
        covariance = rest.T @ rest / len(mean)
        if variance is not None:
            variance = np.asarray(variance, "float64")
            d = self.latent_dim
            # There are more examples than dimensions, so that a square is a covariance.
            within = variance if variance.shape == (d, d) else np.diag(variance.mean(axis=0))
            covariance += within
        # A constant coordinate must not make the factor singular.
        covariance += 1e-6 * np.eye(self.latent_dim)
        self.factor.assign(np.linalg.cholesky(covariance).astype("float32"))
        self.bias.assign(solution[0].astype("float32"))
        if c:
            self.slope.assign(solution[1:].astype("float32"))

    def get_config(self):
        return {**super().get_config(), "condition_dim": self.condition_dim}


@register
class ConditionalNormal(Prior):
    """p(z|y) = N(mean(y), diag(exp(log_var(y)))), trained with the model.

    Sohn, Lee & Yan, "Learning Structured Output Representation using Deep Conditional
    Generative Models", 2015. Mean and log-variance are a small network of the encoded
    condition.

    Args:
        latent_dim: number of latent dimensions d.
        condition_dim: length c of the encoded conditions.
        units: widths of the network's hidden layers.
        activation: of these.
        log_var_bound: log-variances stay inside ±this.
        seed: int for the initial weights, or None.

    Raises:
        ValueError: `condition_dim` below 1; when used, no condition.
    """

    def __init__(
        self,
        latent_dim: int,
        condition_dim: int,
        units: Sequence[int] = (64,),
        activation: str = "tanh",
        log_var_bound: float = 10.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_dim, **kwargs)
        self.condition_dim = _checks.count(condition_dim, "condition_dim")
        self.log_var_bound, self.seed = log_var_bound, seed
        self.network = layers.NormalOf(
            condition_dim, latent_dim, units, activation, log_var_bound, seed, name="network"
        )

    def distribution(self, condition=None):
        if condition is None:
            raise ValueError(
                "This prior is conditional: give the encoded conditions "
                f"(n, {self.condition_dim}). Received: condition=None"
            )
        return distributions.Normal(*self.network(ops.cast(condition, "float32")))

    def get_config(self):
        return {
            **super().get_config(),
            "condition_dim": self.condition_dim,
            "units": self.network.units,
            "activation": keras.activations.serialize(self.network.activation),
            "log_var_bound": self.log_var_bound,
            "seed": self.seed,
        }


def _identity(shape, dtype=None):
    return ops.eye(shape[0], dtype=dtype)
