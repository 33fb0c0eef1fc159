"""The normal distribution against NumPy."""

import numpy as np
import pytest
from keras import ops

from keras_vae import distributions
from tests.support import array, reference
from tests.support.distributions import N


@pytest.fixture
def pair(rng):
    def parameters():
        return rng.normal(size=(3, 4)), rng.normal(size=(3, 4)) * 0.5

    def tensors(values):
        return [ops.convert_to_tensor(v, "float32") for v in values]

    a, b = parameters(), parameters()
    return a, b, distributions.Normal(*tensors(a)), distributions.Normal(*tensors(b))


def test_normal_log_prob_is_the_formula(pair, rng):
    (mean, log_var), _, q, _ = pair
    x = rng.normal(size=(5, 3, 4)).astype("float32")
    expected = reference.normal_log_prob(x, mean, log_var).sum(-1)
    np.testing.assert_allclose(array(q.log_prob(x)), expected, rtol=1e-5)


def test_normal_density_integrates_to_one():
    q = distributions.Normal(ops.convert_to_tensor([0.7]), ops.convert_to_tensor([-1.0]))
    x = np.linspace(-8, 8, 4001, dtype="float32")[:, None]
    total = np.exp(array(q.log_prob(x))).sum() * (x[1, 0] - x[0, 0])
    assert total == pytest.approx(1.0, abs=1e-4)


def test_normal_kl_is_the_closed_form_and_the_monte_carlo_mean(pair):
    a, b, q, p = pair
    expected = reference.normal_kl(*a, *b).sum(-1)
    np.testing.assert_allclose(array(q.kl(p)), expected, rtol=1e-5)
    z = q.sample(N, seed=1)
    ratio = array(q.log_prob(z) - p.log_prob(z))
    error = ratio.std(0) / N**0.5
    assert (np.abs(ratio.mean(0) - expected) < 5 * error).all()


def test_normal_kl_to_the_standard_normal_has_its_half_and_its_log_variance():
    # KL(N(1, e) || N(0, 1)) = (e + 1 - 1 - 1) / 2: the slides' form gives another value.
    q = distributions.Normal(ops.ones((1, 1)), ops.ones((1, 1)))
    p = distributions.Normal(ops.zeros((1,)), ops.zeros((1,)))
    assert array(q.kl(p))[0] == pytest.approx((np.e - 1) / 2, rel=1e-6)
    assert array(p.kl(p)) == 0.0


def test_normal_entropy_is_minus_the_mean_log_prob(pair):
    _, _, q, _ = pair
    values = -array(q.log_prob(q.sample(N, seed=2)))
    error = values.std(0) / N**0.5
    assert (np.abs(values.mean(0) - array(q.entropy())) < 5 * error).all()


def test_normal_samples_have_the_moments(pair):
    (mean, log_var), _, q, _ = pair
    z = array(q.sample(N, seed=3))
    scale = np.exp(log_var / 2)
    assert z.shape == (N, 3, 4)
    np.testing.assert_allclose(z.mean(0), mean, atol=5 * scale.max() / N**0.5)
    np.testing.assert_allclose(z.std(0), scale, rtol=0.02)


def test_same_seed_same_sample(pair):
    q = pair[2]
    np.testing.assert_array_equal(array(q.sample(2, seed=4)), array(q.sample(2, seed=4)))
    assert np.abs(array(q.sample(2, seed=4)) - array(q.sample(2, seed=5))).min() > 0
