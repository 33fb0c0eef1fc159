"""The noise of a training step."""

from statistics import NormalDist

import keras
import numpy as np
import pytest

from keras_vae.training import noise
from tests.support import array


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
