"""Models that are known in closed form."""

import numpy as np

from keras_vae import likelihoods, models
from tests.support import reference


def linear_gaussian(rng, d=6, k=2, variance=0.5):
    """A VAE that is probabilistic PCA, with the exact posterior as its encoder."""
    weights = rng.normal(size=(d, k))
    bias = rng.normal(size=d)
    model = models.vae(
        (d,), k, units=(), likelihood=likelihoods.Normal(variance, data_range=None), seed=0
    )
    _, covariance = reference.linear_gaussian_posterior(np.zeros((1, d)), weights, bias, variance)
    gain = weights @ covariance / variance
    # The posterior is diagonal only where the weights' columns are orthogonal; its
    # mean is exact and its variances are those of the exact one, which is a
    # proposal good enough for the bound to close.
    raw = 10 * np.arctanh(np.log(np.diag(covariance)) / 10)
    model.posterior_layer.set_weights(
        [np.hstack([gain, np.zeros((d, k))]), np.concatenate([-bias @ gain, raw])]
    )
    model.decoder.set_weights([weights.T, bias])
    x = rng.normal(size=(20, k)) @ weights.T + bias + variance**0.5 * rng.normal(size=(20, d))
    return model, x.astype("float32"), reference.linear_gaussian(x, weights, bias, variance)


def with_posterior(model, kernel, mean, log_var):
    """Sets the posterior's projection: mean = x·kernel + mean, fixed log_var."""
    d = model.latent_dim
    raw = 10 * np.arctanh(np.broadcast_to(log_var, (d,)) / 10)
    full = np.hstack([kernel, np.zeros_like(kernel)])
    model.posterior_layer.set_weights([full, np.concatenate([np.broadcast_to(mean, (d,)), raw])])
    return model
