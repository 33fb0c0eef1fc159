"""Mixtures of normals."""

from keras import ops

from keras_vae._types import Tensor
from keras_vae.distributions.base import Distribution
from keras_vae.distributions.categorical import normal_cdf
from keras_vae.distributions.normal import MultivariateNormal, Normal


class Mixture(Distribution):
    """Mixture of K diagonal normals, Σ_k w_k N(mean_k, diag(exp(log_var_k))).

    Args:
        log_weights: logarithms of the weights, `(K,)`, which sum to 1.
        mean, log_var: arrays `(K, d)`.
    """

    def __init__(self, log_weights: Tensor, mean: Tensor, log_var: Tensor) -> None:
        super().__init__(1)
        self.log_weights = log_weights
        self.components = Normal(mean, log_var)

    @property
    def mean(self):
        """Σ_k w_k mean_k, `(d,)`."""
        weights = ops.expand_dims(ops.exp(self.log_weights), -1)
        return ops.sum(weights * self.components.mean, axis=0)

    @property
    def noise_dim(self):
        return self.components.mean.shape[-1] + 1

    def transform(self, noise):
        """Samples from standard normal noise `(..., d + 1)`; the last number chooses k."""
        noise = ops.cast(noise, "float32")
        _check_width(noise, self.noise_dim)
        chosen = self._chosen(noise)
        scale = ops.exp(0.5 * self.components.log_var)
        return (
            ops.matmul(chosen, self.components.mean) + ops.matmul(chosen, scale) * noise[..., :-1]
        )

    def choice_weights(self, noise):
        chosen = self._chosen(ops.cast(noise, "float32"))
        log_weight = ops.sum(chosen * self.log_weights, axis=-1)
        return ops.exp(log_weight - ops.stop_gradient(log_weight))

    def _chosen(self, noise):
        """The component that the last number of the noise chooses, one-hot."""
        # Φ of the last number is uniform: it lies in one of K intervals of length w_k.
        position = ops.expand_dims(normal_cdf(noise[..., -1]), -1)
        above = ops.cast(position > ops.cumsum(ops.exp(self.log_weights)), "int32")
        count = self.log_weights.shape[0]
        chosen = ops.minimum(ops.sum(above, axis=-1, keepdims=True), count - 1)
        chosen = ops.cast(ops.equal(chosen, ops.arange(count, dtype="int32")), "float32")
        return chosen

    def log_prob_joint(self, z):
        """log w_k + log N(z; mean_k, ...) of each component, `(..., K)`, nats."""
        return self.log_weights + self.components.log_prob(ops.expand_dims(z, -2))

    def log_prob(self, x):
        return ops.logsumexp(self.log_prob_joint(x), axis=-1)

    def scores(self, q):
        """log w_k - KL(q || component k), `(n, K)`, of normals q `(n, d)`."""
        apart = Normal(ops.expand_dims(q.mean, -2), ops.expand_dims(q.log_var, -2))
        return self.log_weights - ops.sum(apart.kl_each(self.components), axis=-1)

    def responsibilities(self, q):
        """q(k|x) ∝ w_k exp(-KL(q(z|x) || component k)), `(n, K)`.

        Among all q(k) that do not depend on z it minimises KL(q(z|x) q(k) || p(z, k)).
        """
        scores = self.scores(q)
        return ops.exp(scores - ops.logsumexp(scores, axis=-1, keepdims=True))

    def joint_kl(self, q):
        """min over q(k) of KL(q(z|x) q(k) || p(z, k)) = -log Σ_k w_k exp(-KL(q || component k)).

        `(n,)` nats, at least KL(q(z|x) || p(z)).
        """
        return -ops.logsumexp(self.scores(q), axis=-1)


def _check_width(noise, expected):
    if noise.shape[-1] != expected:
        raise ValueError(
            "A mixture takes noise of one number more than a code has: the last chooses the "
            f"component. Expected: (..., {expected}). Received: shape {tuple(noise.shape)}"
        )


class MultivariateMixture(Distribution):
    """Mixture of normal distributions with full covariances L Lᵀ.

    Args:
        log_weights: log of the components' weights, `(k,)`.
        means: `(k, d)`.
        factors: L of each, lower triangular with a positive diagonal, `(k, d, d)`.
    """

    def __init__(self, log_weights: Tensor, means: Tensor, factors: Tensor) -> None:
        super().__init__(event_ndim=1)
        self.log_weights = log_weights
        self.components = MultivariateNormal(means, factors)

    @property
    def mean(self):
        """Mean of the mixture, `(d,)`."""
        weights = ops.expand_dims(ops.exp(self.log_weights), -1)
        return ops.sum(weights * self.components.mean, axis=0)

    def log_prob(self, x):
        """Log-density of `x`, `(n, d)` or `(K, n, d)`, in nats."""
        each = self.components.log_prob(ops.expand_dims(x, -2))
        return ops.logsumexp(self.log_weights + each, axis=-1)

    def transform(self, noise):
        """Not available: normal noise of dimension d does not choose a component."""
        raise ValueError(
            "A mixture is drawn with NumPy: use the prior's `sample(n, rng)`, or the model's "
            f"`sample(n, seed=...)`. Received: noise of shape {tuple(noise.shape)}"
        )
