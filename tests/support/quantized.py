"""Shared by the tests of quantized."""

import numpy as np

from keras_vae import models
from tests.support import SHAPE

K, D = 16, 4


def tiny(**options):
    options = {"network": "conv", "units": (4, 8), "prior_channels": 6, "prior_depth": 1, **options}
    return models.vq_vae(
        SHAPE, D, **{"num_codes": K, "seed": 0, "likelihood": "bernoulli", **options}
    )


def shaken(model, scale=0.3):
    """The model with other weights: fresh biases are zero and hide what they do."""
    rng = np.random.default_rng(5)
    values = [
        value if variable is model.step else value + scale * rng.standard_normal(value.shape)
        for variable, value in zip(model.weights, model.get_weights())
    ]
    model.set_weights(values)
    return model
