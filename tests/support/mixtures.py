"""Shared by the tests of mixtures."""

import numpy as np


def some(rng, k=3, d=2):
    """Weights, means and factors."""
    factors = np.tril(rng.normal(size=(k, d, d)), -1) + np.eye(d) * rng.uniform(0.3, 2, (k, d, 1))
    return rng.dirichlet(np.ones(k)), 2 * rng.normal(size=(k, d)), factors


def log_density(x, weights, means, factors):
    """Of points `(n, d)`, by determinants and inverses of the covariances."""
    total = 0.0
    for weight, mean, factor in zip(weights, means, factors):
        covariance = factor @ factor.T
        squared = np.einsum("ni,ij,nj->n", x - mean, np.linalg.inv(covariance), x - mean)
        scale = np.sqrt(np.linalg.det(2 * np.pi * covariance))
        total = total + weight * np.exp(-0.5 * squared) / scale
    return np.log(total)


def points(rng, n, weights, means, factors):
    chosen = rng.choice(len(weights), n, p=weights)
    noise = rng.normal(size=(n, means.shape[1]))
    return means[chosen] + np.einsum("nij,nj->ni", factors[chosen], noise)
