"""A convolution that sees what comes before a pixel."""

import numpy as np
import pytest

from keras_vae import layers
from tests.support import array, tensor


@pytest.mark.parametrize("size, own", [(3, True), (3, False), (5, False)])
def test_it_is_a_plain_convolution_of_a_masked_kernel(size, own, rng):
    layer = layers.MaskedConv2D(4, size, own=own, seed=0)
    x = rng.normal(size=(2, 5, 6, 3)).astype("float32")
    found = array(layer(tensor(x)))
    kernel, side = array(layer.kernel), size // 2
    # Mask A has the taps before the middle, mask B the middle too.
    assert layer.taps == len(kernel) == size * size // 2 + own
    padded = np.pad(x, ((0, 0), (side, side), (side, side), (0, 0)))
    expected = np.zeros(found.shape)
    for tap, (i, j) in zip(kernel, np.ndindex(size, size), strict=False):
        expected += padded[:, i : i + 5, j : j + 6] @ tap
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == found.shape


def test_a_row_and_a_pixel_give_the_same_as_the_whole_picture(rng):
    layer = layers.MaskedConv2D(4, 5, own=True, seed=0)
    x = rng.normal(size=(2, 6, 7, 3)).astype("float32")
    whole = array(layer(tensor(x)))
    layer.bias.assign(rng.normal(size=4))
    above = array(layer.above(tensor(x[:, 1:3])))[:, 4]
    along = array(layer.along(tensor(x[:, 3, 2:5])))
    np.testing.assert_allclose(above + along, whole[:, 3, 4] + array(layer.bias), atol=1e-5)


def test_its_configuration_and_what_is_refused():
    layer = layers.MaskedConv2D(4, 5, own=False, seed=3)
    again = layers.MaskedConv2D.from_config(layer.get_config())
    for each in (layer, again):
        each.build((None, 4, 4, 1))
    np.testing.assert_array_equal(array(layer.kernel), array(again.kernel))
    assert again.taps == 12
    for options in ({"kernel_size": 4}, {"kernel_size": 1}, {"filters": 0}):
        with pytest.raises(ValueError, match="must be an.*integer.*Received"):
            layers.MaskedConv2D(**{"filters": 2, **options})
