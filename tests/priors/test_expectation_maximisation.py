"""The fit of a mixture of normals."""

import numpy as np
import pytest

from keras_vae import priors
from tests.support import array, tensor
from tests.support.mixtures import log_density, points, some

pytestmark = pytest.mark.turns


@pytest.mark.once
class TestFit:
    @pytest.mark.parametrize("regularization", [0.0, 1e-3, 0.3])
    def test_the_objective_never_falls(self, regularization, rng):
        x = points(rng, 500, *some(rng, 4, 3))
        for seed in range(5):
            found = priors.fit(
                x, 5, seed, iterations=60, tolerance=0.0, regularization=regularization
            )
            assert len(found.history) > 5
            assert np.diff(found.history).min() > -1e-9

    def test_the_objective_is_the_log_likelihood(self, rng):
        x = points(rng, 400, *some(rng))
        found = priors.fit(x, 3, regularization=0.0, tolerance=1e-9)
        assert found.history[-1] == pytest.approx(log_density(x, *found[:3]).mean(), abs=1e-8)
        assert found.weights.sum() == pytest.approx(1.0)

    def test_one_component_is_the_mean_and_the_covariance(self, rng):
        x = points(rng, 300, *some(rng))
        found = priors.fit(x, 1, regularization=0.0)
        np.testing.assert_allclose(found.means[0], x.mean(0), rtol=1e-9)
        covariance = found.factors[0] @ found.factors[0].T
        np.testing.assert_allclose(covariance, np.cov(x.T, bias=True), rtol=1e-9)

    def test_it_recovers_a_mixture_that_is_known(self, rng):
        weights = np.array([0.5, 0.3, 0.2])
        means = np.array([[0.0, 0.0], [6.0, 1.0], [-2.0, 7.0]])
        factors = np.array([[[1, 0], [0.5, 1]], [[0.5, 0], [0, 2]], [[1, 0], [-0.8, 0.3]]])
        x = points(rng, 6000, weights, means, factors)
        found = priors.fit(x, 3, seed=0)
        order = [int(np.square(found.means - mean).sum(-1).argmin()) for mean in means]
        assert sorted(order) == [0, 1, 2]
        np.testing.assert_allclose(found.weights[order], weights, atol=0.03)
        np.testing.assert_allclose(found.means[order], means, atol=0.15)
        for k, factor in zip(order, factors):
            covariance = found.factors[k] @ found.factors[k].T
            np.testing.assert_allclose(covariance, factor @ factor.T, atol=0.25)

    def test_equal_seeds_are_equal_fits(self, rng):
        x = points(rng, 200, *some(rng))
        for a, b in zip(priors.fit(x, 3, seed=4)[:3], priors.fit(x, 3, seed=4)[:3]):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize(
        "x",
        [
            np.repeat([[1.0, 2.0], [3.0, 4.0]], 10, axis=0),
            np.ones((20, 2)),
            np.c_[np.arange(20.0), np.zeros(20)],
            1e4 * np.eye(20),
        ],
    )
    def test_points_that_lie_flat_are_survived(self, x):
        """More components than places, constant dimensions: nothing singular."""
        found = priors.fit(x, 5)
        prior = priors.GaussianMixture.from_arrays(*found[:3])
        drawn = prior.sample(100, np.random.default_rng(0))
        assert np.isfinite(drawn).all()
        assert np.isfinite(array(prior.distribution().log_prob(tensor(x)))).all()
        assert np.abs(drawn.mean(0) - x.mean(0)).max() < 5 * (x.std() + 0.01)

    def test_bad_points(self):
        for x, components in (
            (np.zeros(5), 1),
            (np.zeros((5, 2)), 6),
            (np.full((5, 2), np.nan), 2),
            (np.zeros((5, 2)), 0),
        ):
            with pytest.raises(ValueError, match="`x` must be finite points.*Received"):
                priors.fit(x, components)
