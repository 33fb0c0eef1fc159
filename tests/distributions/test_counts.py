"""Log-masses of counts against scipy, also where sums of log Γ would lose their digits."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae.distributions import counts, special
from tests.support import array
from tests.support.autodiff import gradient

stats = pytest.importorskip("scipy.stats")
scipy_special = pytest.importorskip("scipy.special")

# JAX has no float64 here.
DTYPES = ["float32"] if keras.backend.backend() == "jax" else ["float32", "float64"]
X = np.array([0, 1, 2, 5, 17, 100, 1000, 1e4, 1e6])
MEANS = np.logspace(-3, 6, 10)
THETAS = np.logspace(-3, 4, 8)


def close(found, expected, dtype):
    """To 1e-6 of the value, or of 1 where that is smaller: 1e-9 in float64."""
    tolerance = 1e-6 if dtype == "float32" else 1e-9
    assert np.isfinite(expected).all()
    np.testing.assert_array_less(np.abs(found - expected), tolerance * (1 + np.abs(expected)))


def parameters(dtype):
    """Grids of x, log μ and log θ as tensors, and μ and θ as they are in that dtype."""
    x, mean, theta = np.meshgrid(X, MEANS, THETAS, indexing="ij")
    logs = [np.log(a).astype(dtype) for a in (mean, theta)]
    tensors = [ops.convert_to_tensor(a, dtype) for a in (x, *logs)]
    return x, tensors, [np.exp(a.astype("float64")) for a in logs]


@pytest.mark.parametrize("dtype", DTYPES)
class TestAgainstScipy:
    def test_stirling_error(self, dtype):
        a = np.logspace(-6, 2, 60).astype(dtype).astype("float64")
        half = 0.5 * np.log(2 * np.pi)
        expected = scipy_special.gammaln(a) - ((a - 0.5) * np.log(a) - a + half)
        close(array(special.stirling_error(ops.convert_to_tensor(a, dtype))), expected, dtype)

    def test_log_gamma_step(self, dtype):
        a = np.array([0.5, 1.0, 2.5, 40.0, 1e3]).astype(dtype).astype("float64")
        expected = scipy_special.gammaln(a + 0.5) - scipy_special.gammaln(a)
        close(array(special.log_gamma_step(ops.convert_to_tensor(a, dtype))), expected, dtype)

    def test_poisson(self, dtype):
        x, (count, log_mean, _), (mean, _) = parameters(dtype)
        close(array(counts.poisson(count, log_mean)), stats.poisson.logpmf(x, mean), dtype)

    def test_negative_binomial(self, dtype):
        x, tensors, (mean, theta) = parameters(dtype)
        expected = stats.nbinom.logpmf(x, theta, theta / (theta + mean))
        close(array(counts.negative_binomial(*tensors)), expected, dtype)


def test_gradients_are_exact_and_finite_at_extremes():
    """Of log μ: x - μ under Poisson's mass and θ (x - μ) / (θ + μ) under the other."""
    x, (count, log_mean, log_theta), (mean, theta) = parameters("float32")
    means, thetas = (array(a).astype("float32") for a in (log_mean, log_theta))
    slope = gradient(lambda p: ops.sum(counts.poisson(count, p)), means)
    within(slope, x - mean, 1 + x + mean)
    slope = gradient(lambda p: ops.sum(counts.negative_binomial(count, p, log_theta)), means)
    share = theta / (theta + mean)
    within(slope, share * (x - mean), 1 + share * (x + mean))
    slope = gradient(lambda p: ops.sum(counts.negative_binomial(count, log_mean, p)), thetas)
    steps = scipy_special.digamma(x + theta) - scipy_special.digamma(theta)
    expected = theta * (steps - np.log1p(mean / theta) + 1 - (theta + x) / (theta + mean))
    within(slope, expected, 1 + theta + share * x)


def within(found, expected, scale):
    np.testing.assert_array_less(np.abs(found - expected), 1e-5 * scale)


def test_zeros_are_added_with_their_probability():
    """As scvi-tools writes it, with the logit π of a zero."""
    x = np.array([0.0, 1.0, 7.0], "float32")
    for dropout in (-60.0, -1.5, 0.0, 2.0, 60.0):
        nb = counts.negative_binomial(*map(ops.convert_to_tensor, (x, x + 0.5, x - 1.0)))
        found = array(counts.zero_inflated(ops.convert_to_tensor(x), nb, dropout))
        mass, pi = np.exp(array(nb).astype("float64")), scipy_special.expit(dropout)
        expected = (1 - pi) * mass + pi * (x == 0)
        np.testing.assert_allclose(np.exp(found[0]), expected[0], rtol=1e-6)
        kept = scipy_special.log_expit(-dropout)
        np.testing.assert_allclose(found[1:], array(nb)[1:] + kept, rtol=1e-6)
