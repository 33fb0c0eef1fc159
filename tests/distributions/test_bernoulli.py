"""The Bernoulli distribution against NumPy."""

import numpy as np
import pytest
from keras import ops

from keras_vae import distributions
from tests.support import array, reference
from tests.support.distributions import N


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
