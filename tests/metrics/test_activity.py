"""Shares of active units."""

import numpy as np
import pytest

from keras_vae import metrics
from keras_vae import models as m
from tests.support import SHAPE
from tests.support.autoencoders import pictures

pytestmark = pytest.mark.turns


def test_active_share_counts_units_beside_the_largest(rng):
    x = pictures(2)
    model = m.autoencoder(SHAPE, 4, units=(), seed=0)
    code = np.array([[10.0, 2.0, -0.5, 0.0], [-1.0, 0.5, 0.2, 0.3]])
    model.encode = lambda x, condition=None: code
    np.testing.assert_allclose(metrics.active_share(model, x), [0.5, 1.0])
    np.testing.assert_allclose(metrics.active_share(model, x, threshold=0.25), [0.25, 0.75])
    np.testing.assert_allclose(metrics.active_share(model, x, threshold=0.0), [0.75, 1.0])
    with pytest.raises(ValueError, match="threshold=2"):
        metrics.active_share(model, x, threshold=2)
