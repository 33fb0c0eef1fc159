"""Networks of diffusers' autoencoders; `tests/zoo/test_diffusers.py` compares their values."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import initializers, networks
from keras_vae.networks.kl import diffusers_name, layer_name

pytestmark = pytest.mark.turns


def names(network):
    return {diffusers_name(layer.name) for layer in network.layers if layer.weights}


def test_shapes_names_and_range(rng):
    encoder = networks.kl_encoder((None, None, 3), (4, 8, 8), 6, blocks=2, groups=2, seed=0)
    decoder = networks.kl_decoder((None, None, 3), (4, 8, 8), 3, blocks=2, groups=2, seed=0)
    x = rng.random((2, 16, 24, 3), dtype="float32")
    features = encoder(x)
    assert tuple(features.shape) == (2, 4, 6, 6)
    assert tuple(decoder(features[..., :3]).shape) == (2, 16, 24, 3)
    assert {
        "conv_in",
        "down_blocks.0.resnets.1.norm2",
        "down_blocks.1.resnets.0.conv_shortcut",
        "down_blocks.1.downsamplers.0.conv",
        "mid_block.attentions.0.group_norm",
        "mid_block.attentions.0",
    } <= names(encoder)
    assert "down_blocks.2.downsamplers.0.conv" not in names(encoder)
    assert {"up_blocks.0.resnets.2.conv1", "up_blocks.1.upsamplers.0.conv"} <= names(decoder)
    # Weights of 0 leave the last shift: pictures of mid-grey.
    for weight in decoder.weights:
        weight.assign(ops.zeros(weight.shape))
    np.testing.assert_allclose(ops.convert_to_numpy(decoder(features[..., :3])), 0.5)


def test_equal_seeds_give_equal_weights_and_skipped_ones_are_zeros():
    def made():
        return networks.tiny_encoder((8, 8, 3), (4, 4), 2, (1, 1), seed=3).get_weights()

    for a, b in zip(made(), made(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(made()[0]).max() > 0
    with initializers.skipped():
        assert all(not np.any(w) for w in made())
    assert np.abs(made()[0]).max() > 0


@pytest.mark.once
def test_pooled_blocks_are_those_of_the_lowest_resolution():
    encoder = networks.tiny_encoder((None, None, 3), (4, 4), 2, (1, 2), pooled=True)
    decoder = networks.tiny_decoder((None, None, 2), (4, 4), 3, (2, 1), pooled=True)
    assert sorted(n for n in names(encoder) if n.endswith("pool.1")) == [
        "layers.3.pool.1",
        "layers.4.pool.1",
    ]
    assert sorted(n for n in names(decoder) if n.endswith("pool.1")) == [
        "layers.2.pool.1",
        "layers.3.pool.1",
    ]
    assert decoder.get_layer(layer_name("layers.5")).use_bias is False


@pytest.mark.once
def test_networks_are_saved_and_loaded(tmp_path, rng):
    encoder = networks.kl_encoder((None, None, 3), (4, 8), 6, groups=2, attention=[True, False])
    encoder.save(tmp_path / "encoder.keras")
    x = rng.random((1, 8, 8, 3), dtype="float32")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(*(ops.convert_to_numpy(m(x)) for m in (encoder, loaded)))
