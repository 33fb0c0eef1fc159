"""Bits per dimension and mutual information."""

import numpy as np
import pytest

from keras_vae.metrics import information
from tests.support import SHAPE
from tests.support.linear import with_posterior

pytestmark = pytest.mark.turns


@pytest.mark.once
class TestBits:
    def test_a_fair_coin_is_a_bit(self):
        assert information.bits_per_dimension(10 * np.log(0.5), 10) == pytest.approx(1.0)

    def test_a_uniform_density_is_as_many_bits_as_levels_have(self):
        bits = information.bits_per_dimension(np.zeros(3), 12, levels=256)
        np.testing.assert_allclose(bits, [8.0, 8.0, 8.0])
        with pytest.raises(ValueError, match="Received: dimensions=0"):
            information.bits_per_dimension(0.0, 0)


class TestInformation:
    """q(z|x) = N(x, s²) of codes far apart, near and equal: known by hand or by quadrature."""

    def model(self, scale):
        from keras_vae import likelihoods, models

        likelihood = likelihoods.Normal(1.0, data_range=None)
        model = models.vae((1,), 1, units=(), likelihood=likelihood, seed=0)
        return with_posterior(model, np.ones((1, 1)), 0.0, 2 * np.log(scale))

    def test_codes_far_apart_say_which_example_it_was(self):
        x = 100.0 * np.arange(8, dtype="float32")[:, None]
        found = information.mutual_information(self.model(1.0), x, samples=3)
        assert found.mean == pytest.approx(np.log(8), rel=1e-5)
        assert (found.n, found.samples) == (8, 3)

    def test_equal_codes_say_nothing(self):
        x = np.ones((8, 1), "float32")
        found = information.mutual_information(self.model(1.0), x)
        assert found.mean == pytest.approx(0.0, abs=1e-5)

    def test_in_between_it_is_that_of_the_mixture(self):
        x = np.array([[0.0], [1.0]], "float32")
        z = np.linspace(-6, 7, 4001)
        each = np.exp(-0.5 * (z - x) ** 2) / np.sqrt(2 * np.pi)
        log_ratio = np.log(each) - np.log(each.mean(0))
        expected = (each * log_ratio).sum(1).mean() * (z[1] - z[0])
        found = information.mutual_information(self.model(1.0), x, samples=4000)
        assert found.mean == pytest.approx(expected, abs=0.01)

    def test_full_covariances_and_what_has_no_density(self, images):

        from keras_vae import models

        full = models.full_covariance_vae(SHAPE, 3, units=(8,), seed=0)
        plain = models.vae(SHAPE, 3, units=(8,), seed=0)
        for model in (full, plain):
            found = information.mutual_information(model, images[:20], samples=20)
            # Never more than the mean KL, of which it is a part.
            kl = np.mean(np.asarray(model.posterior(images[:20]).kl(model.prior)))
            assert 0 < found.mean < kl
        for model in (
            models.autoencoder(SHAPE, 3, units=(8,), seed=0),
            models.flow_vae(SHAPE, 3, units=(8,), flows=1, seed=0),
        ):
            with pytest.raises(ValueError, match="another example's.*Received: "):
                information.mutual_information(model, images[:4])
