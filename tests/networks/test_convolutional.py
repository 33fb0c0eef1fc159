"""Convolutions of series and volumes, as of pictures."""

import keras
import numpy as np
import pytest

from keras_vae import initializers, layers, models, networks, testing
from tests.support import array, tensor

pytestmark = pytest.mark.turns

SHAPES = [(12, 2), (9, 1), (4, 8, 6, 1), (5, 4, 7, 2)]


class TestNetworks:
    @pytest.mark.parametrize(
        "network, stages", [("conv", "blocks"), ("conv", "compact"), ("residual", "strided")]
    )
    @pytest.mark.parametrize("shape", SHAPES)
    def test_shapes_and_seeds(self, network, stages, shape, rng):
        options = {"seed": 3, "stages": stages, "hidden": 4, "film": True}
        encoder, decoder = networks.build(network, shape, 3, (4, 6), 5, **options)
        assert [tuple(t.shape) for t in encoder.inputs] == [(None, *shape), (None, 5)]
        assert decoder.output_shape == (None, *shape)
        again, _ = networks.build(network, shape, 3, (4, 6), 5, **options)
        for a, b in zip(encoder.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        x, y = rng.random((2, *shape), "float32"), np.zeros((2, 5), "float32")
        z = array(encoder([x, y]))
        assert z.shape == (2, 4) and np.isfinite(z).all()
        assert array(decoder([rng.random((2, 3), "float32"), y])).shape == (2, *shape)

    @pytest.mark.parametrize("stages", ["blocks", "compact", "strided"])
    def test_a_series_is_a_picture_of_one_row_s_convolution(self, stages, rng):
        """The first stage of a series against sums over its kernel."""
        encoder, _ = networks.build(
            "conv", (8, 3), 2, (5,), seed=0, hidden=0, stages=stages, activation=None
        )
        x = rng.normal(size=(1, 8, 3)).astype("float32")
        (layer,) = [la for la in encoder.layers if isinstance(la, keras.layers.Conv1D)]
        kernel, _ = layer.get_weights()
        # The kernel over single steps of the series, and where it starts.
        kernel, start = (
            kernel.reshape(-1, 3, 5),
            {"blocks": -2, "compact": 0, "strided": -1}[stages],
        )
        padded = np.pad(x[0], ((4, 4), (0, 0)))
        expected = [
            np.einsum("kc,kcf->f", padded[4 + start + 2 * t :][: len(kernel)], kernel)
            for t in range(4)
        ]
        np.testing.assert_allclose(
            array(encoder(x)).reshape(4, 5), np.array(expected), rtol=1e-4, atol=1e-5
        )

    @pytest.mark.parametrize(
        "network, stages, hidden", [("conv", "compact", 0), ("residual", "blocks", 256)]
    )
    def test_the_default_stages(self, network, stages, hidden):
        default, named = (
            networks.build(network, (8, 8, 1), 2, (3, 4), seed=0, **options)
            for options in ({}, {"stages": stages, "hidden": hidden})
        )
        for one, other in zip(default, named, strict=True):
            for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
                np.testing.assert_array_equal(a, b)

    def test_the_default_depth_follows_the_size(self):
        def stages(*shape):
            encoder, _ = networks.build("conv", shape, 2, hidden=2)
            return sum(type(la).__name__ == "SpaceToDepth" for la in encoder.layers)

        assert [stages(t, 1) for t in (20, 256, 257, 1000)] == [2, 2, 3, 4]
        assert [stages(s, s, s, 1) for s in (8, 16, 32)] == [2, 2, 3]
        assert models.vae((5000, 12), network="conv").count_params() < 20e6
        assert models.vae((256, 256, 3), network="conv").count_params() < 20e6

    @pytest.mark.parametrize("shape", [(16, 2), (4, 4, 4, 1)])
    def test_a_model_keeps_what_models_promise(self, shape):
        model = models.cvae(shape, 2, "conv", units=(4, 4), hidden=4, num_classes=2, seed=0)
        checks = ("configuration", "reconstructions", "bound", "gradients", "files")
        assert testing.check_model(model, checks=checks) == checks

    def test_vectors_and_maps_of_other_axes_are_refused(self):
        with pytest.raises(ValueError, match=r"x\[..., None\].*input_shape=\(64,\)"):
            networks.build("conv", (64,), 2)
        with pytest.raises(ValueError, match=r"Maps of codes are of images.*\(16, 2\)"):
            networks.build("conv", (16, 2), 2, spatial=True)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6, 2, 3)])
def test_blocks_of_steps_and_voxels(shape, rng):
    """Each position of the smaller array holds the values of one block, and comes back."""
    x = rng.normal(size=(2, *shape)).astype("float32")
    small = layers.SpaceToDepth()(tensor(x))
    *sizes, channels = shape
    halves = [size // 2 for size in sizes]
    assert tuple(small.shape) == (2, *halves, channels * 2 ** len(sizes))
    for position in np.ndindex(*halves):
        block = x[(slice(None), *(slice(2 * i, 2 * i + 2) for i in position))]
        found = array(small)[(slice(None), *position)]
        np.testing.assert_array_equal(np.sort(found), np.sort(block.reshape(2, -1)))
    np.testing.assert_array_equal(array(layers.DepthToSpace()(small)), x)
    with pytest.raises(ValueError, match="All axes but the channels must be multiples of 5"):
        layers.SpaceToDepth(5)(tensor(x))
    with pytest.raises(ValueError, match="Channels must be a multiple of"):
        layers.DepthToSpace(7)(tensor(x))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_signals_keep_their_size_through_transposed_convolutions(axes):
    """He's limit counts the kernel's part that one output depends on: 1 / 2^axes."""
    shape = (*(4,) * axes, 3, 8)
    values = array(initializers.HeUniform(0, upsampling=2)(shape))
    limit = np.sqrt(6 / (2**axes * 8))
    assert 0.98 * limit < np.abs(values).max() <= limit
