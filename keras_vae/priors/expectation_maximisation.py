"""Fits a mixture of normals with full covariances to points; NumPy in and out."""

from typing import NamedTuple

import numpy as np

from keras_vae.distributions.base import LOG_2PI


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
        constant = x.shape[1] * LOG_2PI + 2 * np.log(np.diag(factor)).sum()
        columns.append(np.log(weight) - 0.5 * (constant + squared))
        penalty += 0.5 * psi * np.square(inverse).sum()
    return np.stack(columns, axis=1), penalty
