"""Formulas in plain NumPy, float64: what the library is compared with."""

import numpy as np


def normal_log_prob(x, mean, log_var):
    return -0.5 * (np.log(2 * np.pi) + log_var + (x - mean) ** 2 / np.exp(log_var))


def normal_kl(mean_q, log_var_q, mean_p, log_var_p):
    ratio = np.exp(log_var_q - log_var_p)
    squared = (mean_q - mean_p) ** 2 / np.exp(log_var_p)
    return 0.5 * (ratio + squared - 1 - (log_var_q - log_var_p))


def bernoulli_log_prob(x, logits):
    p = 1 / (1 + np.exp(-logits))
    return x * np.log(p) + (1 - x) * np.log(1 - p)


def logmeanexp(values, axis=0):
    top = values.max(axis=axis, keepdims=True)
    return (top + np.log(np.exp(values - top).mean(axis=axis, keepdims=True))).squeeze(axis)


def linear_gaussian(x, weights, bias, variance):
    """log N(x; bias, W W^T + variance I): the likelihood of probabilistic PCA."""
    d = weights.shape[0]
    covariance = weights @ weights.T + variance * np.eye(d)
    _, log_det = np.linalg.slogdet(covariance)
    centred = x - bias
    squared = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
    return -0.5 * (d * np.log(2 * np.pi) + log_det + squared)


def linear_gaussian_posterior(x, weights, bias, variance):
    """Mean `(n, k)` and covariance `(k, k)` of the exact p(z|x)."""
    k = weights.shape[1]
    precision = np.eye(k) + weights.T @ weights / variance
    covariance = np.linalg.inv(precision)
    return (x - bias) @ weights @ covariance / variance, covariance
