"""The standard normal prior."""

import numpy as np

from keras_vae import (
    priors,
)
from tests.support import array, reference


class TestPrior:
    def test_standard_normal_density_and_samples(self, rng):
        prior = priors.StandardNormal(3)
        z = rng.normal(size=(4, 3))
        expected = reference.normal_log_prob(z, 0.0, 0.0).sum(-1)
        np.testing.assert_allclose(array(prior.distribution().log_prob(z)), expected, rtol=1e-5)
        drawn = prior.sample(50_000, np.random.default_rng(1))
        np.testing.assert_allclose(np.cov(drawn.T), np.eye(3), atol=0.03)
        np.testing.assert_allclose(drawn.mean(0), 0.0, atol=0.03)

    def test_samples_are_those_of_numpy_on_every_backend(self):
        drawn = priors.StandardNormal(2).sample(3, np.random.default_rng(7))
        expected = np.random.default_rng(7).standard_normal((3, 2), "float32")
        np.testing.assert_array_equal(drawn, expected)
