import numpy as np
import pytest

from keras_vae import priors
from tests.support import array, tensor


def test_standard_normal_of_maps(rng):
    prior = priors.StandardNormalMap(3)
    z = rng.standard_normal((2, 4, 5, 3)).astype("float32")
    expected = -0.5 * (z.astype("float64") ** 2 + np.log(2 * np.pi)).sum((1, 2, 3))
    np.testing.assert_allclose(array(prior.distribution().log_prob(tensor(z))), expected, rtol=1e-5)
    drawn = prior.sample(500, np.random.default_rng(0), map_shape=(2, 3))
    assert drawn.shape == (500, 2, 3, 3) and drawn.dtype == "float32"
    assert abs(drawn.mean()) < 0.05 and abs(drawn.std() - 1) < 0.05
    assert priors.StandardNormalMap(3, (4, 5)).noise_shape == (4, 5, 3)


def test_uniform_codes():
    prior = priors.UniformCodes(7, (None, 3))
    codes = prior.sample(900, np.random.default_rng(0), map_shape=(2, 3))
    assert codes.shape == (900, 2, 3) and codes.dtype == "int32"
    counts = np.bincount(codes.ravel(), minlength=7) / codes.size
    np.testing.assert_allclose(counts, 1 / 7, atol=0.02)
    np.testing.assert_allclose(array(prior.log_prob(codes)), -6 * np.log(7), rtol=1e-6)
    assert prior(codes[:2]).shape == (2, 2, 3, 7) and not np.any(array(prior(codes[:2])))


@pytest.mark.once
def test_sizes_that_do_not_fit():
    rng = np.random.default_rng(0)
    for prior in (priors.UniformCodes(7, (None, 3)), priors.StandardNormalMap(2, (None, 3))):
        with pytest.raises(ValueError, match="must be given"):
            prior.sample(1, rng)
        for shape in ((2, 4), (None, 3), (2,), (0, 3)):
            with pytest.raises(ValueError, match="map_shape"):
                prior.sample(1, rng, map_shape=shape)
        assert type(prior).from_config(prior.get_config()).map_shape == (None, 3)
    for shape in ((2,), (0, 1), (2.5, 1)):
        with pytest.raises(ValueError, match="map_shape"):
            priors.StandardNormalMap(2, shape)
