"""Shared by the tests of autoencoders."""

import numpy as np
from keras import ops

from tests.support import array, make_images


def pictures(n=6, seed=0):
    return make_images(np.random.default_rng(seed), n)


def losses(model, x, training=False):
    """Loss and terms of each example; there is no noise in the codes."""
    found = model.evidence(ops.convert_to_tensor(x), training=training)
    loss, terms = model.objective(found)
    return array(loss), {name: array(value) for name, value in terms.items()}


def cross_entropy(x, p):
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2, 3))
