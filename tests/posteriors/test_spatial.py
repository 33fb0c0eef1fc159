import numpy as np
import pytest
from keras import ops

from keras_vae import posteriors
from tests.support import array, tensor


def test_mean_and_clipped_log_variance_are_a_convolution(rng):
    layer = posteriors.SpatialNormal(2, log_var_bounds=(-1.0, 2.0), seed=0)
    features = rng.standard_normal((3, 4, 5, 6)).astype("float32") * 3
    mean, log_var = map(array, layer(tensor(features)))
    kernel, bias = (array(w) for w in layer.projection.weights)
    expected = features @ kernel[0, 0] + bias
    np.testing.assert_allclose(mean, expected[..., :2], atol=1e-5)
    np.testing.assert_allclose(log_var, np.clip(expected[..., 2:], -1, 2), atol=1e-5)
    q = layer.distribution(*layer(tensor(features)))
    z, log_qz = q.sample_and_log_prob(4, 0)
    assert tuple(z.shape) == (4, 3, 4, 5, 2) and tuple(log_qz.shape) == (4, 3)


def test_without_projection_the_features_are_the_parameters(rng):
    features = rng.standard_normal((3, 4, 5, 6)).astype("float32")
    mean, log_var = posteriors.SpatialNormal(3, project=False)(tensor(features))
    np.testing.assert_array_equal(array(mean), features[..., :3])
    np.testing.assert_array_equal(array(log_var), features[..., 3:])
    (code,) = posteriors.SpatialPoint(6, project=False)(tensor(features))
    np.testing.assert_array_equal(array(code), features)
    q = posteriors.SpatialPoint(6).distribution(code)
    assert q.event_ndim == 3 and q.sample(2, 0).shape == (2, *features.shape)


@pytest.mark.once
@pytest.mark.parametrize("shape", [(None, 12), (None, 4, 4, 5)])
def test_features_that_do_not_fit(shape):
    with pytest.raises(ValueError, match="models.SpatialVAE"):
        posteriors.SpatialNormal(3, project=False).build(shape)


@pytest.mark.once
@pytest.mark.parametrize("bounds", [(1.0, 1.0), (0.0, float("inf")), (1.0,)])
def test_bounds_that_are_no_range(bounds):
    with pytest.raises(ValueError, match="log_var_bounds"):
        posteriors.SpatialNormal(3, log_var_bounds=bounds)


def test_configuration():
    layer = posteriors.SpatialNormal(3, project=False, log_var_bounds=(-1, 1), seed=4)
    again = posteriors.SpatialNormal.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert ops.shape(again(ops.zeros((1, 2, 2, 6)))[0]) == (1, 2, 2, 3)
