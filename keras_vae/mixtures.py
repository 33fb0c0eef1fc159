"""Mixtures of normals: the distribution, its fit by expectation maximisation, the prior."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_vae import distributions, priors

register = keras.saving.register_keras_serializable("keras_vae")


class Mixture(distributions.Distribution):
    """Mixture of normal distributions with full covariances L Lᵀ.

    Args:
        log_weights: log of the components' weights, `(k,)`.
        means: `(k, d)`.
        factors: L of each, lower triangular with a positive diagonal, `(k, d, d)`.
    """

    def __init__(self, log_weights, means, factors):
        super().__init__(event_ndim=1)
        self.log_weights = log_weights
        self.components = distributions.MultivariateNormal(means, factors)

    @property
    def mean(self):
        """Mean of the whole, `(d,)`."""
        weights = ops.expand_dims(ops.exp(self.log_weights), -1)
        return ops.sum(weights * self.components.mean, axis=0)

    def log_prob(self, x):
        """Log-density of `x`, `(n, d)` or `(K, n, d)`, in nats."""
        each = self.components.log_prob(ops.expand_dims(x, -2))
        return ops.logsumexp(self.log_weights + each, axis=-1)

    def transform(self, noise):
        """Refused: which component a sample is of is no function of normal noise."""
        raise ValueError(
            "A mixture is drawn with NumPy: use the prior's `sample(n, rng)`, or the model's "
            f"`sample(n, seed=...)`. Received: noise of shape {tuple(noise.shape)}"
        )


class Fit(NamedTuple):
    """What `fit` found.

    Attributes:
        weights, means, factors: see `Mixture`; float64, the weights not logarithms.
        history: mean of log p(x), nats, minus the regularisation's share, at each
            iteration; it never falls.
    """

    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray
    history: list


def fit(x, components=10, seed=0, iterations=200, tolerance=1e-4, regularization=1e-3):
    """Fits a mixture of normals by expectation maximisation, Dempster et al. 1977.

    It starts from a k-means++ choice of means (Arthur & Vassilvitskii 2007). Each
    covariance gets a prior exp(-½ ψ tr Σ⁻¹), which keeps it away from singular ones;
    ψ is `regularization` times the data's mean variance times an equal share of the
    examples.

    Args:
        x: points `(n, d)`, n at least `components`.
        components: number of normals.
        seed: int, of the start.
        iterations: at most so many.
        tolerance: nats by which the objective must rise, or it stops.
        regularization: see above, at least 0.

    Returns:
        `Fit`.

    Raises:
        ValueError: no such points, not finite, or fewer of them than components.
    """
    x = np.asarray(x, "float64")
    if x.ndim != 2 or not 1 <= components <= len(x) or not np.isfinite(x).all():
        raise ValueError(
            "`x` must be finite points (n, d), at least as many as `components`. "
            f"Received: shape {x.shape}, components={components}"
        )
    spread = max(x.var(axis=0).mean(), 1e-12)
    psi = regularization * spread * len(x) / components
    shares = _nearest(x, _start(x, components, np.random.default_rng(seed)))
    history = []
    while True:
        weights, means, factors = _maximised(x, shares, psi)
        joint, penalty = _joint(x, weights, means, factors, psi)
        total = np.logaddexp.reduce(joint, axis=1)
        history.append(float(total.mean() - penalty / len(x)))
        done = len(history) > 1 and history[-1] - history[-2] < tolerance
        if done or len(history) >= iterations:
            return Fit(weights, means, factors, history)
        shares = np.exp(joint - total[:, None])


def responsibilities(x, found):
    """p(k|x), of which normal each point is, `(n, k)` float64.

    Args:
        x: points `(n, d)`.
        found: a `Fit`.
    """
    joint, _ = _joint(np.asarray(x, "float64"), found.weights, found.means, found.factors, 0.0)
    return np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])


def _start(x, components, rng):
    """Means chosen by k-means++: far from each other, with a chance for all."""
    means = [x[rng.integers(len(x))]]
    nearest = np.full(len(x), np.inf)
    for _ in range(components - 1):
        nearest = np.minimum(nearest, np.square(x - means[-1]).sum(-1))
        total = nearest.sum()
        chances = nearest / total if total > 0 else None
        means.append(x[rng.choice(len(x), p=chances)])
    return np.stack(means)


def _nearest(x, means):
    """Shares `(n, k)`: each point belongs to its nearest mean."""
    distances = np.stack([np.square(x - mean).sum(-1) for mean in means], axis=1)
    return np.eye(len(means))[distances.argmin(1)]


def _maximised(x, shares, psi):
    """Weights, means and factors that suit the shares best."""
    # A component that nothing belongs to is left with the prior alone.
    counts = np.maximum(shares.sum(0), 1e-3)
    means = shares.T @ x / counts[:, None]
    factors = []
    for k, count in enumerate(counts):
        centred = x - means[k]
        covariance = (shares[:, k, None] * centred).T @ centred + psi * np.eye(x.shape[1])
        factors.append(np.linalg.cholesky(covariance / count))
    return counts / counts.sum(), means, np.stack(factors)


def _joint(x, weights, means, factors, psi):
    """log w_k + log N(x; k) of each point and component, and the prior's ½ ψ Σ tr Σ_k⁻¹."""
    columns, penalty = [], 0.0
    for weight, mean, factor in zip(weights, means, factors, strict=True):
        inverse = np.linalg.inv(factor)
        squared = np.square((x - mean) @ inverse.T).sum(-1)
        constant = x.shape[1] * distributions.LOG_2PI + 2 * np.log(np.diag(factor)).sum()
        columns.append(np.log(weight) - 0.5 * (constant + squared))
        penalty += 0.5 * psi * np.square(inverse).sum()
    return np.stack(columns, axis=1), penalty


@register
class GaussianMixture(priors.Prior):
    """p(z) = Σ_k w_k N(m_k, L_k L_kᵀ), of fixed weights: `fit` does not train it.

    Fitted to the codes of a trained model it draws codes where the decoder knows them:
    Ghosh et al., "From Variational to Deterministic Autoencoders", 2020. `from_arrays`
    makes one of known numbers; before that it is N(0, I).

    Args:
        latent_dim: number of latent dimensions d.
        components: number of normals k.

    Raises:
        ValueError: `components` below 1.
    """

    from_noise = False

    def __init__(self, latent_dim, components, **kwargs):
        if not isinstance(components, int) or components < 1:
            raise ValueError(
                "`components` must be an integer of at least 1. "
                f"Received: components={components!r}"
            )
        super().__init__(latent_dim, **kwargs)
        self.components = components

        def weight(name, shape, value):
            return self.add_weight(
                shape=shape, initializer=lambda shape, dtype: ops.zeros(shape, dtype) + value,
                trainable=False, name=name,
            )  # fmt: skip

        identity = np.eye(latent_dim, dtype="float32")
        self.log_weights = weight("log_weights", (components,), -float(np.log(components)))
        self.means = weight("means", (components, latent_dim), 0.0)
        self.factors = weight("factors", (components, latent_dim, latent_dim), identity)

    @classmethod
    def from_arrays(cls, weights, means, factors, **kwargs):
        """A prior of known numbers.

        Args:
            weights: `(k,)`, above 0; they are divided by their sum.
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
        return Mixture(*tensors)

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
