"""Shared by the tests of learned priors."""

import numpy as np

from tests.support import reference


def joint(z, weights, mean, log_var):
    """log w_k + log N(z; k), `(..., K)`, float64."""
    each = reference.normal_log_prob(z[..., None, :], mean, log_var).sum(-1)
    return np.log(weights) + each


def randomised(prior, rng, scale=0.5):
    prior.set_weights([scale * rng.normal(size=w.shape) for w in prior.get_weights()])
    return prior
