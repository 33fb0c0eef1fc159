"""Shared by the tests of objectives."""

import numpy as np
from keras import ops

from keras_vae import distributions, objectives
from tests.support import SHAPE, array, make_images, tensor


def evidence(rng, n=6, d=3, samples=1, mean=None, log_var=None, step=0, training=False):
    """Evidence of made-up numbers, and the same in NumPy."""
    mean = rng.normal(size=(n, d)) if mean is None else np.asarray(mean)
    log_var = 0.3 * rng.normal(size=(n, d)) if log_var is None else np.asarray(log_var)
    z = mean + np.exp(log_var / 2) * rng.normal(size=(samples, n, d))
    log_px = -20 + rng.normal(size=(samples, n))
    zeros = ops.zeros((d,))
    q = distributions.Normal(tensor(mean), tensor(log_var))
    drawn = np.random.default_rng(5)
    made = objectives.Evidence(
        x=None,
        q=q,
        p=distributions.Normal(zeros, zeros),
        z=tensor(z),
        log_qz=q.log_prob(tensor(z)),
        log_px=tensor(log_px),
        step=ops.convert_to_tensor(step),
        training=training,
        normal=lambda shape: tensor(drawn.standard_normal(tuple(map(int, shape)))),
    )
    return made, mean, log_var, z, log_px


def scored(objective, found):
    loss, terms = objective(found)
    assert tuple(terms) == objective.terms or set(terms) == set(objective.terms)
    return array(loss), {name: array(value) for name, value in terms.items()}


def losses(make, x=None, **kwargs):
    """Loss and terms of a tiny model for fixed noise."""
    model = make(SHAPE, 3, units=(8,), seed=4, likelihood="bernoulli", **kwargs)
    x = make_images(np.random.default_rng(0), 6) if x is None else x
    noise = np.random.default_rng(1).standard_normal((2, len(x), 3), "float32")
    loss, terms = model.objective(model.evidence(ops.convert_to_tensor(x), noise=noise))
    return array(loss), {name: array(value) for name, value in terms.items()}
