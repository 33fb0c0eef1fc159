"""The networks that are made by name."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import (
    models,
    networks,
)
from tests.support import array, make_images, tensor


@pytest.mark.turns
class TestNetworks:
    @pytest.mark.parametrize("network", [n for n in networks.NETWORKS if n != "recurrent"])
    @pytest.mark.parametrize("shape", [(8, 8, 1), (10, 7, 3)])
    @pytest.mark.parametrize("condition_dim", [None, 5])
    def test_shapes(self, network, shape, condition_dim):
        encoder, decoder = networks.build(network, shape, 3, (4, 6), condition_dim)
        extra = [] if condition_dim is None else [(None, condition_dim)]
        assert [tuple(t.shape) for t in encoder.inputs] == [(None, *shape), *extra]
        assert [tuple(t.shape) for t in decoder.inputs] == [(None, 3), *extra]
        assert decoder.output_shape == (None, *shape)
        assert len(encoder.output_shape) == 2

    @pytest.mark.parametrize("network", ["conv", "residual"])
    @pytest.mark.parametrize("shape, side", [((8, 8, 1), (2, 2)), ((10, 7, 3), (3, 2))])
    def test_codes_may_be_maps(self, network, shape, side):
        options = {"seed": 0, "spatial": True, "output_activation": "sigmoid"}
        encoder, decoder = networks.build(network, shape, 3, (4, 6), **options)
        assert encoder.input_shape == decoder.output_shape == (None, *shape)
        assert encoder.output_shape == decoder.input_shape == (None, *side, 3)
        blocks = {m: sum(type(n) is keras.layers.Add for n in m.layers) for m in (encoder, decoder)}
        assert set(blocks.values()) == {2 if network == "residual" else 0}
        z = np.random.default_rng(0).normal(size=(2, *side, 3)).astype("float32")
        pictures = array(decoder(100 * z))
        assert 0 <= pictures.min() < 0.01 and 0.99 < pictures.max() <= 1
        # A code decides what is near it.
        moved = z.copy()
        moved[:, 0, 0] += 1
        changed = np.abs(array(decoder(moved)) - array(decoder(z)))
        assert changed[:, :2, :2].max() > 1e-4
        again, _ = networks.build(network, shape, 3, (4, 6), **options)
        for a, b in zip(encoder.get_weights(), again.get_weights()):
            np.testing.assert_array_equal(a, b)
        with pytest.raises(ValueError, match="need network='conv' or 'residual'"):
            networks.build("dense", input_shape=shape, latent_dim=3, spatial=True)

    @pytest.mark.parametrize("film", [False, True])
    def test_maps_of_features_and_a_condition(self, film, rng):
        encoder, decoder = networks.build(
            "residual",
            (8, 8, 3),
            2,
            (4, 6),
            5,
            seed=0,
            spatial=networks.FEATURES,
            film=film,
            blocks=(0, 1),
            decoder_blocks=(1, 2),
            stages="strided",
        )
        # The posterior makes codes of the features.
        assert encoder.output_shape == (None, 2, 2, 6)
        assert [tuple(t.shape) for t in decoder.inputs] == [(None, 2, 2, 2), (None, 5)]
        blocks = [sum(type(n) is keras.layers.Add for n in m.layers) for m in (encoder, decoder)]
        assert blocks == [1, 3]
        for network, given in ((encoder, (3, 8, 8, 3)), (decoder, (3, 2, 2, 2))):
            x = rng.random(given, dtype="float32")
            y = np.zeros((3, 5), "float32")
            before = array(network([x, y]))
            # Blocks start as the identity: whatever their first convolution is.
            for layer in network.layers:
                if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3):
                    kernel, *bias = layer.get_weights()
                    if kernel.shape[2] == kernel.shape[3] and np.abs(kernel).max() > 0:
                        layer.set_weights([2 * kernel, *bias])
            np.testing.assert_array_equal(array(network([x, y])), before)
            for layer in network.layers:
                if type(layer).__name__ == "FeatureModulation":
                    layer.set_weights([0.1 * rng.normal(size=w.shape) for w in layer.weights])
            moved = np.abs(array(network([x, y + 1])) - array(network([x, y]))).max(axis=(1, 2, 3))
            assert (moved > 1e-4).all()

    def test_the_dense_network_has_no_blocks(self):
        with pytest.raises(TypeError, match="decoder_blocks"):
            networks.build("dense", (8, 8, 1), 2, decoder_blocks=1)

    def test_compact_stages_are_strided_and_transposed_convolutions(self, rng):
        """Of 4 × 4 kernels: two pixels further down and right, and back again."""
        encoder, decoder = networks.build(
            "conv", (8, 8, 3), 4, (5,), seed=0, hidden=0, stages="compact", activation=None
        )
        down, up = (
            next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
            for network in (encoder, decoder)
        )
        x = rng.normal(size=(1, 8, 8, 3)).astype("float32")
        kernel = array(down.kernel).reshape(2, 2, 2, 2, 3, 5).transpose(0, 2, 1, 3, 4, 5)
        kernel = tensor(kernel.reshape(4, 4, 3, 5))
        padded = tensor(np.pad(x, ((0, 0), (0, 2), (0, 2), (0, 0))))
        expected = ops.conv(padded, kernel, strides=2, padding="valid")
        found = keras.Model(encoder.inputs, down.output)(tensor(x))
        np.testing.assert_allclose(array(found), array(expected), atol=1e-5)

        kernel = array(up.kernel).reshape(2, 2, 5, 2, 2, 3)[::-1, ::-1]
        kernel = kernel.transpose(0, 3, 1, 4, 2, 5).reshape(4, 4, 5, 3)
        z = tensor(rng.normal(size=(1, 4)))
        (maps,) = [layer for layer in decoder.layers if isinstance(layer, keras.layers.Reshape)]
        maps = array(keras.Model(decoder.inputs, maps.output)(z))[0]
        expected = np.zeros((10, 10, 3))
        for i, j in np.ndindex(4, 4):
            expected[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum(
                "c,hwcd->hwd", maps[i, j], kernel
            )
        np.testing.assert_allclose(array(decoder(z))[0], expected[:8, :8], atol=1e-5)

    def test_units_are_widths_from_the_data_inwards(self):
        encoder, decoder = networks.build("dense", (9,), 2, (7, 5))
        widths = [w.shape for n in (encoder, decoder) for w in n.weights if len(w.shape) == 2]
        assert [tuple(w) for w in widths] == [(9, 7), (7, 5), (2, 5), (5, 7), (7, 9)]

    def test_no_strided_nor_transposed_convolution(self):
        """Their gradients are what makes JAX slow on a CPU."""
        for model in networks.build("residual", (16, 16, 3), 4, (4, 8), 3):
            for layer in model.layers:
                assert not isinstance(layer, keras.layers.Conv2DTranspose)
                assert getattr(layer, "strides", (1, 1)) == (1, 1)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            (("transformer", (8, 8, 1), 2), "network='transformer'"),
            (("conv", (64,), 2), r"images.*\(64,\)"),
            (("dense", (), 2), r"input_shape=\(\)"),
            (("dense", (8, 0), 2), r"input_shape=\(8, 0\)"),
            (("dense", (8,), 0), "Received: 0"),
            (("dense", (8,), 2, (3, -1)), r"units=\(3, -1\)"),
            (("conv", (8, 8, 1), 2, (3, 4), None, 0, (1,)), r"each of the 2 stages"),
        ],
    )
    def test_bad_arguments_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            options = {"blocks": arguments[6]} if len(arguments) > 6 else {}
            networks.build(*arguments[:6], **options)

    def test_the_condition_reaches_both_networks(self):
        model = models.cvae((8, 8, 1), 2, "conv", units=(4,), num_classes=3, seed=0)
        x = make_images(np.random.default_rng(0), 1)
        codes = [model.encode(x, condition=[k]) for k in range(3)]
        assert np.abs(codes[0] - codes[1]).max() > 1e-4
        z = np.zeros((1, 2), "float32")
        pictures = [model.decode(z, condition=[k]) for k in range(3)]
        assert np.abs(pictures[0] - pictures[2]).max() > 1e-4
