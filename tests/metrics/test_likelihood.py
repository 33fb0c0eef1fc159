"""Estimates with standard errors."""

import pytest

from keras_vae import metrics
from tests.support.linear import linear_gaussian

pytestmark = pytest.mark.turns


def test_estimate_is_mean_and_standard_error(rng):
    model, x, exact = linear_gaussian(rng)
    estimate = metrics.log_likelihood(model, x, samples=300, verbose=False)
    each = model.log_likelihood(x, samples=300, verbose=False)
    assert estimate.mean == pytest.approx(each.mean())
    assert estimate.standard_error == pytest.approx(each.std(ddof=1) / len(x) ** 0.5)
    assert (estimate.n, estimate.samples) == (20, 300)
    assert str(estimate).endswith("nats (n = 20, K = 300)")
    assert metrics.log_likelihood(model, x[:1], samples=3).standard_error == 0.0
    assert estimate.mean == pytest.approx(exact.mean(), abs=0.1)
