"""Densities, entropies and divergences against formulas and Monte Carlo."""

from statistics import NormalDist

import autodiff
import keras
import numpy as np
import pytest
import reference
from conftest import array
from keras import ops

from keras_vae import distributions
from keras_vae.training import kernels, noise

N = 200_000


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


def test_event_axes_are_summed(rng):
    x = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    p = distributions.Normal(ops.zeros((3, 4, 5)), ops.zeros((3, 4, 5)), event_ndim=3)
    expected = reference.normal_log_prob(x, 0.0, 0.0).sum((1, 2, 3))
    np.testing.assert_allclose(array(p.log_prob(x)), expected, rtol=1e-5)


def test_bernoulli_is_the_formula(rng):
    logits = rng.normal(size=(3, 4)) * 2
    x = (rng.random((3, 4)) < 0.5).astype("float32")
    p = distributions.Bernoulli(ops.convert_to_tensor(logits, "float32"))
    expected = reference.bernoulli_log_prob(x, logits).sum(-1)
    np.testing.assert_allclose(array(p.log_prob(x)), expected, rtol=1e-5)


def test_bernoulli_probabilities_add_up_to_one():
    logits = ops.convert_to_tensor([[0.3, -1.2, 2.0]])
    x = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T.astype("float32")
    assert np.exp(array(distributions.Bernoulli(logits).log_prob(x))).sum() == pytest.approx(
        1.0, rel=1e-5
    )


def test_softplus_and_its_slope_are_the_formulas():
    x = np.array([-80.0, -20.0, -1.0, 0.0, 1e-3, 1.0, 20.0, 200.0], "float32")
    np.testing.assert_allclose(
        array(kernels.softplus(ops.convert_to_tensor(x))), np.logaddexp(x, 0), rtol=1e-5
    )
    slope = autodiff.gradient(lambda v: ops.sum(kernels.softplus(v)), x)
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(-x.astype("float64"))), rtol=1e-5)


def test_bernoulli_stays_finite_at_extreme_logits():
    p = distributions.Bernoulli(ops.convert_to_tensor([[-200.0, 200.0]]))
    assert array(p.log_prob(np.array([[0.0, 1.0]], "float32")))[0] == 0.0
    assert array(p.log_prob(np.array([[1.0, 0.0]], "float32")))[0] == -400.0
    assert array(p.entropy())[0] == 0.0


def test_bernoulli_moments_entropy_and_kl(rng):
    a, b = (ops.convert_to_tensor(rng.normal(size=(1, 3)), "float32") for _ in "ab")
    q, p = distributions.Bernoulli(a), distributions.Bernoulli(b)
    x = q.sample(N, seed=5)
    assert set(np.unique(array(x))) == {0.0, 1.0}
    np.testing.assert_allclose(array(x).mean(0), array(q.mean), atol=5 * 0.5 / N**0.5)
    log_q, log_p = array(q.log_prob(x)), array(p.log_prob(x))
    error = 5 * log_q.std() / N**0.5
    assert -log_q.mean() == pytest.approx(array(q.entropy())[0], abs=error)
    error = 5 * (log_q - log_p).std() / N**0.5
    assert (log_q - log_p).mean() == pytest.approx(array(q.kl(p))[0], abs=error)


def test_no_closed_form_is_said():
    q = distributions.Normal(ops.zeros((1, 2)), ops.zeros((1, 2)))
    with pytest.raises(NotImplementedError, match=r"KL\(Normal \|\| Bernoulli\)"):
        q.kl(distributions.Bernoulli(ops.zeros((1, 2))))
    with pytest.raises(NotImplementedError, match=r"KL\(Bernoulli \|\| Normal\)"):
        distributions.Bernoulli(ops.zeros((1, 2))).kl(q)


@pytest.mark.parametrize("seed", [3, None, "generator"])
def test_noise_has_its_distribution(seed):
    """Quantiles within five standard errors, and no draw twice but from one number."""
    if seed == "generator":
        seed = keras.random.SeedGenerator(3)
    n, p = 200_000, np.array([0.001, 0.1, 0.5, 0.9, 0.999])
    error = 5 * np.sqrt(p * (1 - p) / n)
    quantiles = np.array([NormalDist().inv_cdf(one) for one in p])
    for draw, at in ((noise.uniform, p), (noise.normal, quantiles)):
        one, two = (array(draw((n // 100, 100), seed)) for _ in range(2))
        assert one.shape == (n // 100, 100) and np.isfinite(one).all()
        assert (np.abs((one.reshape(-1, 1) < at).mean(0) - p) < error).all()
        assert (one == two).all() == isinstance(seed, int)
        # Neighbours have nothing to do with each other.
        correlation = np.corrcoef(one[:, :-1].ravel(), one[:, 1:].ravel())[0, 1]
        assert abs(correlation) < 5 / np.sqrt(n)
    whole = array(noise.uniform((n,), 1))
    assert whole.min() >= 0.0 and whole.max() < 1.0
