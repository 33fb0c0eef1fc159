"""Corruptions of the data."""

import keras
import numpy as np
import pytest

from keras_vae import corruption
from keras_vae import models as m
from tests.support import SHAPE, array, tensor

pytestmark = pytest.mark.turns


class TestCorruption:
    N = 200_000

    def test_gaussian_has_its_mean_and_deviation(self, rng):
        x = rng.random(self.N).astype("float32")
        change = corruption.Gaussian(0.4).corrupt(x, seed=1) - x
        assert abs(change.mean()) < 5 * 0.4 / self.N**0.5
        assert change.std() == pytest.approx(0.4, rel=0.01)
        assert abs(np.corrcoef(change, x)[0, 1]) < 5 / self.N**0.5

    def test_masking_puts_0_at_its_rate_and_leaves_the_rest(self, rng):
        x = 0.5 + rng.random(self.N).astype("float32")
        found = corruption.Masking(0.3).corrupt(x, seed=1)
        masked = found == 0
        assert masked.mean() == pytest.approx(0.3, abs=5 * 0.5 / self.N**0.5)
        np.testing.assert_array_equal(found[~masked], x[~masked])

    def test_salt_and_pepper_puts_both_equally_often(self, rng):
        x = 0.2 + 0.6 * rng.random(self.N).astype("float32")
        found = corruption.SaltAndPepper(0.3, low=-1.0, high=2.0).corrupt(x, seed=1)
        for value in (-1.0, 2.0):
            assert (found == value).mean() == pytest.approx(0.15, abs=5 * 0.5 / self.N**0.5)
        rest = (found != -1) & (found != 2)
        np.testing.assert_array_equal(found[rest], x[rest])

    @pytest.mark.parametrize("name", ["gaussian", "masking", "salt_and_pepper"])
    def test_in_a_step_it_is_the_same_with_other_noise(self, name):
        found = corruption.get(name)
        x = np.random.default_rng(0).random((50, *SHAPE), "float32")
        seed = keras.random.SeedGenerator(0)
        first, second = (array(found(tensor(x), seed)) for _ in range(2))
        assert (first != second).any()
        by_numpy = found.corrupt(x, seed=5)
        assert first.std() == pytest.approx(by_numpy.std(), rel=0.05)
        changed = (first != x).mean()
        assert changed == pytest.approx((by_numpy != x).mean(), abs=0.05)
        np.testing.assert_array_equal(by_numpy, found.corrupt(x, seed=5))
        assert (by_numpy != found.corrupt(x, seed=1)).any()
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(found))
        np.testing.assert_array_equal(again.corrupt(x, 3), found.corrupt(x, 3))

    def test_none_of_it_is_the_data(self):
        x = np.random.default_rng(0).random((3, 4), "float32")
        for nothing in (
            corruption.Gaussian(0.0),
            corruption.Masking(0.0),
            corruption.SaltAndPepper(0.0),
        ):
            np.testing.assert_array_equal(nothing.corrupt(x), x)
        np.testing.assert_array_equal(corruption.Masking(1.0).corrupt(x), 0 * x)

    def test_bad_arguments(self):
        for make, message in (
            (lambda: corruption.Gaussian(-1), "stddev=-1"),
            (lambda: corruption.Masking(1.5), "rate=1.5"),
            (lambda: corruption.SaltAndPepper(rate=-0.1), "rate=-0.1"),
            (lambda: corruption.SaltAndPepper(low=1.0), "low=1.0, high=1.0"),
            (lambda: corruption.get("blur"), "corruption='blur'"),
            (lambda: m.denoising_autoencoder(corruption="blur"), "corruption='blur'"),
        ):
            with pytest.raises(ValueError, match=message):
                make()
