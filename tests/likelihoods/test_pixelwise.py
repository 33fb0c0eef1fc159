"""Likelihoods of single pixels against NumPy."""

import keras
import numpy as np
import pytest

from keras_vae import (
    likelihoods,
)
from tests.support import array, make_images, reference, tensor


class TestLikelihoods:
    def setup_method(self):
        rng = np.random.default_rng(0)
        self.x = make_images(rng, 4)
        self.outputs = rng.normal(size=(3, 4, 8, 8, 1)).astype("float32")

    def score(self, likelihood, **kwargs):
        return array(likelihood.log_prob(tensor(self.x), tensor(self.outputs), **kwargs))

    def test_bernoulli_sums_over_pixels(self):
        expected = reference.bernoulli_log_prob(self.x, self.outputs).sum((-3, -2, -1))
        np.testing.assert_allclose(self.score(likelihoods.Bernoulli()), expected, rtol=1e-5)

    def test_a_log_likelihood_of_binary_data_is_negative_and_falls_with_error(self):
        sure = tensor(np.full((1, 1, 2, 2, 1), 5.0, "float32"))
        right, wrong = (tensor(np.full((1, 2, 2, 1), v, "float32")) for v in (1.0, 0.0))
        log_prob = likelihoods.Bernoulli().log_prob
        good, bad = (array(log_prob(x, sure)).item() for x in (right, wrong))
        assert good == pytest.approx(-4 * np.log1p(np.exp(-5)), rel=1e-4)
        assert bad == pytest.approx(-4 * np.log1p(np.exp(5)), rel=1e-4)

    @pytest.mark.parametrize("variance", [0.25, 2])
    def test_normal_with_fixed_variance(self, variance):
        each = reference.normal_log_prob(self.x, self.outputs, np.log(variance))
        score = self.score(likelihoods.Normal(variance))
        np.testing.assert_allclose(score, each.sum((-3, -2, -1)), rtol=1e-5)

    def test_normal_with_learned_variance_starts_at_one_and_is_trainable(self):
        likelihood = likelihoods.Normal("learned")
        assert len(likelihood.trainable_variables) == 1
        each = reference.normal_log_prob(self.x, self.outputs, 0.0)
        np.testing.assert_allclose(self.score(likelihood), each.sum((-3, -2, -1)), rtol=1e-5)

    def test_optimal_variance_is_the_best_there_is(self):
        """The batch's mean squared error maximises its likelihood (σ-VAE)."""
        error = np.mean((self.x - self.outputs) ** 2)
        likelihood = likelihoods.Normal("optimal")
        best = self.score(likelihood, training=True)
        each = reference.normal_log_prob(self.x, self.outputs, np.log(error))
        np.testing.assert_allclose(best, each.sum((-3, -2, -1)), rtol=1e-5)
        for factor in (0.9, 1.1):
            assert self.score(likelihoods.Normal(float(error * factor))).mean() < best.mean()
        # Evaluation uses what training found, whatever the batch.
        assert array(likelihood.log_var()) == pytest.approx(np.log(error), rel=1e-5)
        np.testing.assert_allclose(self.score(likelihood), best, rtol=1e-5)

    def test_optimal_variance_is_averaged_and_bounded_below(self):
        likelihood = likelihoods.Normal("optimal")
        x = tensor(np.zeros((1, 2), "float32"))
        for value in (1.0, 3.0):
            outputs = tensor(np.full((1, 1, 2), value, "float32"))
            likelihood.log_prob(x, outputs, training=True)
        assert array(likelihood.average) == pytest.approx((1 + 9) / 2)
        exact = likelihoods.Normal("optimal")
        exact.log_prob(x, tensor(np.zeros((1, 1, 2), "float32")), training=True)
        assert array(exact.average) == pytest.approx((0.5 / 255) ** 2)

    def test_dynamic_binarisation_draws_the_pixels(self):
        likelihood = likelihoods.Bernoulli(dynamic=True)
        x = np.full((20_000, 2), [0.2, 0.7], "float32")
        seed = keras.random.SeedGenerator(0)
        first, second = (array(likelihood.observe(tensor(x), seed)) for _ in range(2))
        assert set(np.unique(first)) == {0.0, 1.0}
        np.testing.assert_allclose(first.mean(0), [0.2, 0.7], atol=0.02)
        assert (first != second).mean() == pytest.approx((0.32 + 0.42) / 2, abs=0.02)
        drawn = likelihood.observe_numpy(x, np.random.default_rng(0))
        np.testing.assert_allclose(drawn.mean(0), [0.2, 0.7], atol=0.02)
        binary = np.array([[0.0, 1.0]], "float32")
        np.testing.assert_array_equal(array(likelihood.observe(tensor(binary), seed)), binary)

    @pytest.mark.parametrize("variance", [0, -1.0, float("nan"), "best", True, None])
    def test_bad_variance_is_refused(self, variance):
        with pytest.raises(ValueError, match="`variance` must be"):
            likelihoods.Normal(variance)

    def test_unknown_name_is_refused(self):
        with pytest.raises(ValueError, match="'normal'.*Received: likelihood='gauss'"):
            likelihoods.get("gauss")
