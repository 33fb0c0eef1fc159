"""Categorical posteriors, relaxed and hard."""

import math

import numpy as np
import pytest
from keras import ops

from keras_vae import distributions, models, posteriors, priors
from keras_vae.schedules import Exponential
from tests.support import SHAPE, array, reference, tensor
from tests.support.posteriors import N, monte_carlo

pytestmark = pytest.mark.turns


class TestCategorical:
    def test_kl_is_q_log_c_q_and_the_monte_carlo_mean(self, rng):
        logits = rng.normal(size=(2, 6)) * 2
        q = distributions.Categorical(tensor(logits), 3)
        probs = np.exp(logits.reshape(2, 2, 3))
        probs /= probs.sum(-1, keepdims=True)
        expected = (probs * np.log(3 * probs)).sum((1, 2))
        p = priors.UniformCategorical(2, 3)
        np.testing.assert_allclose(array(q.kl(p)), expected, rtol=1e-4)
        np.testing.assert_allclose(array(q.mean), probs.reshape(2, 6), rtol=1e-5)
        found, error = monte_carlo(q, p.distribution())
        assert (np.abs(found - expected) < 5 * error).all()
        np.testing.assert_allclose(
            array(q.entropy()), -(probs * np.log(probs)).sum((1, 2)), rtol=1e-4
        )

    def test_hard_samples_have_the_probabilities(self, rng):
        q = distributions.Categorical(tensor(rng.normal(size=(1, 6))), 3)
        noise = rng.standard_normal((N, 1, 6)).astype("float32")
        drawn = array(q.transform(tensor(noise)))
        assert set(np.unique(drawn)) == {0.0, 1.0}
        np.testing.assert_array_equal(drawn.reshape(-1, 3).sum(-1), 1.0)
        np.testing.assert_allclose(drawn.mean(0), array(q.mean), atol=0.01)

    def test_gumbel_noise_has_the_moments(self, rng):
        drawn = array(distributions.gumbel(tensor(rng.standard_normal(N))))
        assert drawn.mean() == pytest.approx(np.euler_gamma, abs=0.02)
        assert drawn.var() == pytest.approx(np.pi**2 / 6, rel=0.03)
        points = np.array([-4.0, -2.0, -0.3, 0.0, 0.5, 2.0, 3.0, 4.0])
        phi = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in points])
        found = array(distributions.gumbel(tensor(points)))
        np.testing.assert_allclose(found, -np.log(-np.log(phi)), atol=0.005)
        far = array(distributions.gumbel(tensor([-40.0, 40.0])))
        assert np.isfinite(far).all()

    def test_relaxed_samples_harden_as_the_temperature_falls(self, rng):
        logits = tensor(rng.normal(size=(1, 4)))
        noise = tensor(rng.standard_normal((500, 1, 4)))
        hard = array(distributions.Categorical(logits, 4).transform(noise))
        apart = []
        for temperature in (5.0, 0.5, 0.01):
            relaxed = array(distributions.Categorical(logits, 4, temperature).transform(noise))
            np.testing.assert_allclose(relaxed.sum(-1), 1.0, rtol=1e-5)
            apart.append(np.abs(relaxed - hard).mean())
        assert apart[0] > apart[1] > apart[2] and apart[2] < 0.02

    def test_training_is_relaxed_and_all_else_hard(self, images):
        model = models.categorical_vae(SHAPE, 2, units=(8,), classes=3, seed=0)
        x = ops.convert_to_tensor(images[:4])
        assert set(np.unique(array(model.evidence(x).z))) == {0.0, 1.0}
        relaxed = array(model.evidence(x, training=True).z)
        assert ((relaxed > 0) & (relaxed < 1)).mean() > 0.9
        codes = model.encode(images[:4])
        probabilities = model.posterior(images[:4]).mean
        assert codes.reshape(-1, 3).sum(-1).tolist() == [1.0] * 8
        np.testing.assert_array_equal(
            codes.reshape(-1, 3).argmax(-1), probabilities.reshape(-1, 3).argmax(-1)
        )

    def test_the_temperature_is_the_paper_s(self):
        layer = models.categorical_vae(SHAPE, 2, units=(4,)).posterior_layer
        assert layer.temperature == Exponential(1.0, 0.5, 3e-5)
        for step in (0, 10_000, 50_000):
            q = layer.training_distribution(ops.convert_to_tensor(step), ops.zeros((1, 20)))
            expected = max(0.5, np.exp(-3e-5 * step))
            assert array(q.temperature) == pytest.approx(expected, rel=1e-5)

    def test_its_bound_is_that_of_the_sum_over_all_codes(self, images):
        """One variable of three classes: log Σ_c p(x|c)/3, exactly."""
        model = models.categorical_vae(SHAPE, 1, units=(8,), classes=3, seed=0)
        x = images[:2]
        each = np.stack([model.log_px(x, np.repeat(np.eye(3)[c : c + 1], 2, 0)) for c in range(3)])
        expected = reference.logmeanexp(each.astype("float64"))
        bound = model.log_likelihood(x, 5000, verbose=False)
        np.testing.assert_allclose(bound, expected, atol=0.02)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="classes=1"):
            posteriors.Categorical(2, 1)
        with pytest.raises(ValueError, match="temperature=0"):
            posteriors.Categorical(2, 2, temperature=0)
