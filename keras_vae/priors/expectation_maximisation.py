"""Expectation maximisation for mixtures of normals with full covariances, in NumPy."""

from typing import NamedTuple

import numpy as np

from keras_vae._types import Array, Floats
from keras_vae.distributions.base import LOG_2PI


class Fit(NamedTuple):
    """Result of `fit`.

    Attributes:
        weights, means, factors: see `GaussianMixture.from_arrays`; float64.
        history: mean of log p(x) minus the regularisation per example, in nats, after
            each iteration; it never decreases.
    """

    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray
    history: list


def fit(
    x: Array,
    components: int = 10,
    seed: int = 0,
    iterations: int = 200,
    tolerance: float = 1e-4,
    regularization: float = 1e-3,
) -> Fit:
    """Fits a mixture of normals by expectation maximisation, Dempster et al. 1977.

    The means are initialised by k-means++ (Arthur & Vassilvitskii 2007). Each covariance
    has a prior exp(-½ ψ tr Σ⁻¹), which keeps it from becoming singular; ψ is
    `regularization` times the mean variance of the data times n / components.

    Args:
        x: points `(n, d)`, n at least `components`.
        components: number of normals.
        seed: int, of the initial means.
        iterations: largest number of iterations.
        tolerance: it stops when the objective rises by less than this, in nats.
        regularization: see above; at least 0.

    Returns:
        `Fit`.

    Raises:
        ValueError: `x` has another shape, is not finite, or has fewer rows than components.
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


def responsibilities(x: Array, mixture: Fit) -> Floats:
    """p(k|x), the probability of each component given a point, `(n, k)` float64.

    Args:
        x: points `(n, d)`.
        mixture: a `Fit`.
    """
    joint, _ = _joint(
        np.asarray(x, "float64"), mixture.weights, mixture.means, mixture.factors, 0.0
    )
    return np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])


def _start(x, components, rng):
    """Initial means by k-means++: far from each other, chosen at random."""
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
    """Weights, means and factors that maximise the objective for given shares."""
    # A component without points follows its prior.
    counts = np.maximum(shares.sum(0), 1e-3)
    means = shares.T @ x / counts[:, None]
    factors = []
    for k, count in enumerate(counts):
        centred = x - means[k]
        covariance = (shares[:, k, None] * centred).T @ centred + psi * np.eye(x.shape[1])
        factors.append(np.linalg.cholesky(covariance / count))
    return counts / counts.sum(), means, np.stack(factors)


def _joint(x, weights, means, factors, psi):
    """log w_k + log N(x; k) of each point and component, and the penalty ½ ψ Σ_k tr Σ_k⁻¹."""
    columns, penalty = [], 0.0
    for weight, mean, factor in zip(weights, means, factors, strict=True):
        inverse = np.linalg.inv(factor)
        squared = np.square((x - mean) @ inverse.T).sum(-1)
        constant = x.shape[1] * LOG_2PI + 2 * np.log(np.diag(factor)).sum()
        columns.append(np.log(weight) - 0.5 * (constant + squared))
        penalty += 0.5 * psi * np.square(inverse).sum()
    return np.stack(columns, axis=1), penalty
