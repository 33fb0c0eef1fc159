"""Normal posteriors: diagonal, and with a full covariance."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import (
    distributions,
    layers,
    posteriors,
)
from tests.support import array, reference, tensor
from tests.support.posteriors import N, monte_carlo, parameters, standard


class TestPosterior:
    def test_parameters_are_the_projection(self, rng):
        layer = posteriors.DiagonalNormal(3)
        features = rng.normal(size=(5, 7)).astype("float32")
        mean, log_var = layer(tensor(features))
        kernel, bias = (array(w) for w in layer.get_weights())
        both = features @ kernel + bias
        np.testing.assert_allclose(array(mean), both[:, :3], atol=1e-5)
        np.testing.assert_allclose(array(log_var), 10 * np.tanh(both[:, 3:] / 10), atol=1e-5)

    def test_log_variances_are_bounded_and_keep_a_gradient_near_the_identity(self):
        raw = np.array([-1e6, -1.0, 0.0, 1.0, 1e6], "float32")
        bounded = array(layers.bounded(tensor(raw), 10.0))
        assert np.abs(bounded).max() <= 10.0
        np.testing.assert_allclose(bounded[1:4], [-1.0, 0.0, 1.0], atol=0.004)

    def test_is_float32_under_mixed_precision(self):
        layer = posteriors.DiagonalNormal(2)
        mean, log_var = layer(ops.ones((1, 4), "float16"))
        assert keras.backend.standardize_dtype(mean.dtype) == "float32"
        assert keras.backend.standardize_dtype(log_var.dtype) == "float32"


@pytest.mark.turns
class TestFullCovariance:
    def setup_method(self):
        self.rng = np.random.default_rng(0)
        self.layer = posteriors.FullCovariance(3)
        values = parameters(self.layer, self.rng, scale=0.4)
        self.mean, self.log_var, self.lower = values
        self.q = self.layer.distribution(*values)
        below = np.tril(array(self.lower).reshape(-1, 3, 3), -1) / 3**0.5
        self.cholesky = (np.eye(3) + below) * np.exp(array(self.log_var) / 2)[:, :, None]

    def test_the_factor_is_the_mask_and_the_diagonal(self):
        np.testing.assert_allclose(array(self.q.factor), self.cholesky, rtol=1e-5, atol=1e-6)

    def test_kl_is_the_closed_form_and_the_monte_carlo_mean(self):
        squared = np.square(self.cholesky).sum((1, 2)) + np.square(array(self.mean)).sum(1)
        logs = np.log(np.diagonal(self.cholesky, axis1=1, axis2=2)).sum(1)
        expected = 0.5 * (squared - 3 - 2 * logs)
        np.testing.assert_allclose(array(self.q.kl(standard(3))), expected, rtol=1e-5)
        found, error = monte_carlo(self.q, standard(3))
        assert (np.abs(found - expected) < 5 * error).all()

    def test_kl_of_each_coordinate_is_that_of_its_marginal(self):
        variance = np.square(self.cholesky).sum(-1)
        expected = reference.normal_kl(array(self.mean), np.log(variance), 0.0, 0.0)
        found = array(self.q.kl_each(standard(3)))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert (found.sum(-1) <= array(self.q.kl(standard(3)))).all()

    def test_kl_to_another_normal(self):
        p = distributions.Normal(tensor([0.3, -1.0, 2.0]), tensor([0.5, 0.0, -0.7]))
        found, error = monte_carlo(self.q, p)
        assert (np.abs(found - array(self.q.kl(p))) < 5 * error).all()

    def test_density_of_samples_and_of_other_points(self):
        noise = self.rng.normal(size=(4, 2, 3))
        z, log_prob = self.q.transform_and_log_prob(tensor(noise))
        np.testing.assert_allclose(array(self.q.log_prob(z)), array(log_prob), rtol=1e-4)
        points = self.rng.normal(size=(2, 3))
        for i, point in enumerate(points):
            covariance = self.cholesky[i] @ self.cholesky[i].T
            apart = point - array(self.mean)[i]
            expected = -0.5 * (
                apart @ np.linalg.solve(covariance, apart)
                + np.linalg.slogdet(covariance)[1]
                + 3 * np.log(2 * np.pi)
            )
            assert array(self.q.log_prob(tensor(points)))[i] == pytest.approx(expected, rel=1e-4)

    def test_samples_have_the_covariance(self):
        noise = self.rng.standard_normal((N, 2, 3)).astype("float32")
        drawn = array(self.q.transform(tensor(noise)))
        for i in range(2):
            expected = self.cholesky[i] @ self.cholesky[i].T
            np.testing.assert_allclose(np.cov(drawn[:, i].T), expected, rtol=0.05, atol=0.05)
        np.testing.assert_allclose(array(self.q.variance), (self.cholesky**2).sum(-1), rtol=1e-5)

    def test_entropy(self):
        noise = np.random.default_rng(1).standard_normal((N, 2, 3), "float32")
        values = -array(self.q.transform_and_log_prob(tensor(noise))[1])
        error = 5 * values.std(0) / N**0.5
        assert (np.abs(values.mean(0) - array(self.q.entropy())) < error).all()
