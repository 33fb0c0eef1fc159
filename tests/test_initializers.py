"""Initial weights: the same on every backend."""

import keras
import numpy as np
import pytest

from keras_vae import (
    initializers,
    models,
)
from tests.support import array


class TestInitializers:
    def test_values_are_uniform_within_the_limit(self):
        values = array(initializers.GlorotUniform(1)((3, 3, 20, 30)))
        limit = np.sqrt(6 / (9 * 20 + 9 * 30))
        assert np.abs(values).max() <= limit
        assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
        assert values.mean() == pytest.approx(0.0, abs=0.03 * limit)

    def test_the_same_seed_gives_the_same_weights_on_every_backend(self):
        expected = np.random.default_rng(5).uniform(-1, 1, (2, 4)) * np.sqrt(6 / 6)
        np.testing.assert_allclose(
            array(initializers.GlorotUniform(5)((2, 4))), expected, rtol=1e-6
        )
        model = models.vae((8, 8, 1), 2, "conv", units=(4,), seed=3)
        sums = [np.abs(w).sum() for w in model.get_weights() if w.ndim > 1]
        # Every layer draws its own: no two kernels of one shape are alike.
        assert len({round(float(s), 4) for s in sums}) == len(sums)

    def test_without_a_seed_keras_global_seed_decides(self):
        def draw():
            return array(initializers.GlorotUniform()((2, 2)))

        keras.utils.set_random_seed(1)
        first, second = draw(), draw()
        keras.utils.set_random_seed(1)
        np.testing.assert_array_equal(draw(), first)
        assert np.abs(first - second).min() > 0

    def test_a_seeded_model_leaves_the_global_seed_alone(self):
        keras.utils.set_random_seed(1)
        expected = np.random.rand()
        keras.utils.set_random_seed(1)
        models.vae((4,), 2, units=(), seed=0)
        assert np.random.rand() == expected
