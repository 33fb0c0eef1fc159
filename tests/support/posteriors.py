"""Shared by the tests of posteriors."""

import numpy as np
from keras import ops

from keras_vae import priors
from tests.support import array, tensor

N = 100_000


def standard(d):
    return priors.StandardNormal(d).distribution()


def parameters(layer, rng, n=2, scale=1.0):
    """What a layer with random weights gives for random features."""
    layer.build((None, 5))
    layer.set_weights([scale * rng.normal(size=w.shape) for w in layer.get_weights()])
    return [ops.convert_to_tensor(p) for p in layer(tensor(rng.normal(size=(n, 5))))]


def monte_carlo(q, p, seed=1):
    """KL and its standard error from samples and the densities they come with."""
    noise = np.random.default_rng(seed).standard_normal((N, *q.center.shape), "float32")
    z, log_qz = q.transform_and_log_prob(tensor(noise))
    ratio = array(log_qz) - array(p.log_prob(z))
    return ratio.mean(0), ratio.std(0) / N**0.5
