"""A fitted mixture of normals as the prior."""

import numpy as np
import pytest

from keras_vae import priors
from tests.support import array, tensor
from tests.support.mixtures import log_density, some

pytestmark = pytest.mark.turns


class TestPrior:
    def test_samples_have_the_moments(self, rng):
        weights, means, factors = some(rng, 3, 2)
        prior = priors.GaussianMixture.from_arrays(weights, means, factors)
        drawn = prior.sample(100_000, np.random.default_rng(1)).astype("float64")
        assert drawn.shape == (100_000, 2)
        mean = weights @ means
        second = sum(
            w * (f @ f.T + np.outer(m, m)) for w, m, f in zip(weights, means, factors)
        ) - np.outer(mean, mean)
        np.testing.assert_allclose(drawn.mean(0), mean, atol=0.05)
        np.testing.assert_allclose(np.cov(drawn.T), second, atol=0.1)
        # And more than moments: its density scores its own samples as an entropy does.
        scores = log_density(drawn, weights, means, factors)
        found = array(prior.distribution().log_prob(tensor(drawn[:1000])))
        np.testing.assert_allclose(found, scores[:1000], rtol=1e-4, atol=1e-4)
        again = prior.sample(5, np.random.default_rng(1))
        np.testing.assert_array_equal(again, prior.sample(5, np.random.default_rng(1)))
        assert again.dtype == np.float32

    def test_before_it_is_given_numbers_it_is_standard_normal(self, rng):
        x = tensor(rng.normal(size=(9, 3)))
        expected = array(priors.StandardNormal(3).distribution().log_prob(x))
        found = array(priors.GaussianMixture(3, 4).distribution().log_prob(x))
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    @pytest.mark.parametrize(
        "change, message",
        [
            ({0: np.ones(2)}, r"shapes.*\(2,\)"),
            ({1: np.ones(3)}, "shapes"),
            ({0: np.array([1.0, -1.0, 1.0])}, "smallest -1"),
            ({2: np.ones((3, 2, 2))}, "above the"),
            ({1: np.full((3, 2), np.inf)}, "finite: False"),
        ],
    )
    def test_bad_arrays(self, change, message):
        parts = [np.ones(3), np.ones((3, 2)), np.repeat(np.eye(2)[None], 3, axis=0)]
        with pytest.raises(ValueError, match=message):
            priors.GaussianMixture.from_arrays(*[change.get(i, p) for i, p in enumerate(parts)])

    def test_bad_components(self):
        with pytest.raises(ValueError, match="components=0"):
            priors.GaussianMixture(2, 0)
