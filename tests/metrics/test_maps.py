"""Metrics and plots of models whose codes are maps."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import metrics, models, plots
from tests.support import array, autodiff

pytestmark = pytest.mark.turns


@pytest.fixture
def model():
    options = {"network": "conv", "units": (3, 4), "likelihood": "normal", "seed": 0}
    return models.vae((8, 8, 3), 2, maps=True, **options)


@pytest.fixture
def x(rng):
    return rng.random((5, 8, 8, 3), dtype="float32")


def test_active_share_is_of_all_numbers_of_a_map(model, x):
    sizes = np.abs(model.encode(x)).reshape(5, 8)
    expected = (sizes > 0.3 * sizes.max(1, keepdims=True)).mean(1)
    np.testing.assert_allclose(metrics.active_share(model, x, threshold=0.3), expected)
    assert 0 < expected.min() and expected.min() < expected.max()


def test_squared_jacobian_is_that_of_the_flat_code(model, x):
    def code(flat):
        picture = ops.reshape(flat, (1, 8, 8, 3))
        return ops.reshape(model.posterior_layer(model.encoder(picture))[0], (-1,))

    expected = [np.square(autodiff.jacobian(code, picture.ravel())).sum() for picture in x[:2]]
    np.testing.assert_allclose(metrics.squared_jacobian(model, x[:2]), expected, rtol=1e-4)


def test_mutual_information_is_its_formula(model, x):
    q = model.posterior(x)
    mean, variance = q.mean.reshape(5, 8), q.variance.reshape(5, 8)
    noise = np.random.default_rng(3).standard_normal((1, 5, 2, 2, 2), dtype="float32")
    z = mean + np.sqrt(variance) * noise.reshape(5, 8)
    each = -0.5 * (np.square(z[:, None] - mean) / variance + np.log(2 * np.pi * variance)).sum(-1)
    expected = np.diag(each) - np.logaddexp.reduce(each, axis=1) + np.log(5)
    found = metrics.mutual_information(model, x, seed=3)
    assert found.mean == pytest.approx(expected.mean(), abs=1e-3)


def test_what_has_no_meaning_is_refused_with_a_way_out(model, x):
    for plot, needed in ((plots.manifold, "two numbers"), (plots.traversal, "`x`, a picture")):
        with pytest.raises(ValueError, match=rf"is a map.*{needed}.*plots.interpolation.*2, 2, 2"):
            plot(model)
    y = np.zeros((5, 2), "float32")
    for measure in (metrics.attribute_control, metrics.sampled_attributes):
        given = (model, x, y, array) if measure is metrics.attribute_control else (model, y, array)
        with pytest.raises(ValueError, match="condition_names.*Received: condition=None"):
            measure(*given)
    labelled = models.cvae((8, 8, 3), 2, num_classes=2, condition_names=["a", "b"], seed=0)
    with pytest.raises(ValueError, match="Received: condition=Labels"):
        metrics.sampled_attributes(labelled, y, array)
    options = {"num_codes": 5, "prior_channels": 2, "prior_depth": 1, "seed": 0}
    quantized = models.vq_vae((8, 8, 3), 3, units=(2, 2), **options)
    with pytest.raises(ValueError, match="codebook_usage.*of 5 codes"):
        metrics.active_share(quantized, x)
    # Networks that take pictures of any size.
    encoder = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 2, 2)])
    decoder = keras.Sequential(
        [keras.Input((None, None, 2)), keras.layers.Conv2DTranspose(3, 2, 2)]
    )
    any_size = models.SpatialVAE(encoder, decoder, 2, likelihood="normal", seed=0)
    with pytest.raises(ValueError, match="map_shape.*with_input_shape.*None, None, 2"):
        plots.samples(any_size)
    assert metrics.squared_jacobian(any_size, x).shape == (5,)
