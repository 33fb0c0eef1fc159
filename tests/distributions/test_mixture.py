"""Mixtures of normals against NumPy."""

import numpy as np
import pytest
from keras import ops

from keras_vae import distributions, priors
from tests.support import array, reference, tensor
from tests.support.learned_priors import joint
from tests.support.mixtures import log_density, some

N = 100_000


def made_up(rng, k=4, d=3):
    """A mixture with numbers of its own, and these in NumPy."""
    weights = rng.dirichlet(np.full(k, 2.0))
    mean, log_var = 2 * rng.normal(size=(k, d)), 0.5 * rng.normal(size=(k, d))
    mixture = distributions.Mixture(tensor(np.log(weights)), tensor(mean), tensor(log_var))
    return mixture, weights, mean, log_var


@pytest.mark.turns
class TestMixture:
    def test_density_and_mean_are_numpy_s(self, rng):
        mixture, *parts = made_up(rng)
        z = 2 * rng.normal(size=(2, 5, 3))
        expected = joint(z, *parts)
        np.testing.assert_allclose(array(mixture.log_prob_joint(tensor(z))), expected, rtol=1e-4)
        np.testing.assert_allclose(
            array(mixture.log_prob(tensor(z))), np.logaddexp.reduce(expected, axis=-1), rtol=1e-5
        )
        np.testing.assert_allclose(array(mixture.mean), parts[0] @ parts[1], rtol=1e-5, atol=1e-6)

    def test_a_code_far_from_all_components_has_a_finite_density(self, rng):
        mixture, *parts = made_up(rng)
        z = np.full((1, 3), 60.0)
        expected = np.logaddexp.reduce(joint(z, *parts), axis=-1)
        np.testing.assert_allclose(array(mixture.log_prob(tensor(z))), expected, rtol=1e-5)

    def test_samples_have_the_weights_and_the_moments(self, rng):
        mixture, weights, mean, log_var = made_up(rng)
        noise = rng.standard_normal((N, 4)).astype("float32")
        drawn = array(mixture.transform(tensor(noise)))
        first = weights @ mean
        second = weights @ (mean**2 + np.exp(log_var))
        error = 5 * drawn.std(0) / N**0.5
        assert (np.abs(drawn.mean(0) - first) < error).all()
        np.testing.assert_allclose((drawn**2).mean(0), second, rtol=0.02)
        # Exactly one component made each: without noise there are but K codes.
        noise[:, :-1] = 0
        codes, counts = np.unique(array(mixture.transform(tensor(noise))), axis=0, return_counts=1)
        order = np.argsort(mean[:, 0])
        np.testing.assert_allclose(codes, mean[order], rtol=1e-5)
        np.testing.assert_allclose(counts / N, weights[order], atol=0.01)

    def test_the_normal_distribution_function(self):
        from math import erf

        points = np.array([-9.0, -3.0, -0.5, 0.0, 0.1, 1.0, 4.0, 9.0])
        expected = [0.5 * (1 + erf(v / 2**0.5)) for v in points]
        np.testing.assert_allclose(
            array(distributions.normal_cdf(tensor(points))), expected, atol=3e-7
        )

    def test_noise_of_another_width_is_refused(self, rng):
        with pytest.raises(ValueError, match=r"\(\.\.\., 4\). Received: shape \(7, 3\)"):
            made_up(rng)[0].transform(ops.zeros((7, 3)))

    def test_responsibilities_and_the_joint_kl_are_numpy_s(self, rng):
        mixture, weights, mean, log_var = made_up(rng)
        own_mean, own_log_var = rng.normal(size=(5, 3)), 0.3 * rng.normal(size=(5, 3))
        q = distributions.Normal(tensor(own_mean), tensor(own_log_var))
        apart = reference.normal_kl(own_mean[:, None], own_log_var[:, None], mean, log_var).sum(-1)
        r = weights * np.exp(-apart)
        r /= r.sum(-1, keepdims=True)
        np.testing.assert_allclose(array(mixture.responsibilities(q)), r, rtol=1e-4, atol=1e-7)
        # Σ_k r (log r - log w + KL_k) at its least.
        expected = (r * (np.log(r) - np.log(weights) + apart)).sum(-1)
        np.testing.assert_allclose(array(mixture.joint_kl(q)), expected, rtol=1e-5)
        for _ in range(20):
            other = rng.dirichlet(np.ones(4), size=5)
            assert ((other * (np.log(other) - np.log(weights) + apart)).sum(-1) > expected).all()
        noise = rng.standard_normal((N, 5, 3)).astype("float32")
        z, log_qz = q.transform_and_log_prob(tensor(noise))
        exact = (array(log_qz) - array(mixture.log_prob(z))).mean(0)
        assert (exact < expected + 0.01).all()


@pytest.mark.turns
class TestMultivariateMixture:
    def test_log_prob_is_the_numpy_reference(self, rng):
        parts = some(rng, 4, 3)
        found = distributions.MultivariateMixture(*map(tensor, (np.log(parts[0]), *parts[1:])))
        x = 2 * rng.normal(size=(5, 20, 3))
        expected = np.stack([log_density(each, *parts) for each in x])
        np.testing.assert_allclose(array(found.log_prob(tensor(x))), expected, rtol=2e-5, atol=1e-5)
        one = array(found.log_prob(tensor(x[0])))
        np.testing.assert_allclose(one, expected[0], rtol=2e-5, atol=1e-5)
        np.testing.assert_allclose(array(found.mean), parts[0] @ parts[1], atol=1e-5)

    def test_it_integrates_to_one(self, rng):
        parts = some(rng, 3, 1)
        found = distributions.MultivariateMixture(*map(tensor, (np.log(parts[0]), *parts[1:])))
        grid = np.linspace(-30, 30, 60001)
        density = np.exp(array(found.log_prob(tensor(grid[:, None]))))
        assert density.sum() * 1e-3 == pytest.approx(1.0, abs=1e-4)

    def test_one_component_is_a_normal(self, rng):
        _, means, factors = some(rng, 1, 3)
        x = tensor(rng.normal(size=(7, 3)))
        normal = distributions.MultivariateNormal(tensor(means[0]), tensor(factors[0]))
        found = distributions.MultivariateMixture(tensor([0.0]), tensor(means), tensor(factors))
        np.testing.assert_allclose(array(found.log_prob(x)), array(normal.log_prob(x)), rtol=1e-5)

    def test_it_is_not_made_of_normal_noise(self, rng):
        prior = priors.GaussianMixture(2, 3)
        with pytest.raises(ValueError, match="drawn with NumPy.*shape \\(4, 2\\)"):
            prior.distribution().transform(np.zeros((4, 2)))
