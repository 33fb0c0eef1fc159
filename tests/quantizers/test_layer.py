"""`Quantize` in a Keras model of one's own, and a training loop by hand."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import initializers, quantizers
from tests.support import SHAPE, array
from tests.support.quantizers import TINY


def autoencoder(quantizer):
    glorot = initializers.GlorotUniform
    inputs = keras.Input(SHAPE)
    x = keras.layers.Conv2D(quantizer.latent_dim, 4, 4, kernel_initializer=glorot(1))(inputs)
    x = quantizers.Quantize(quantizer, seed=0)(x)
    outputs = keras.layers.Conv2DTranspose(
        1, 4, 4, activation="sigmoid", kernel_initializer=glorot(2)
    )(x)
    return keras.Model(inputs, outputs)


@pytest.mark.turns
@pytest.mark.parametrize("name", TINY)
def test_it_trains_in_anybodys_model(images, name, tmp_path):
    quantizer = TINY[name]()
    model = autoencoder(quantizer)
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    before = [w.copy() for w in quantizer.get_weights()]
    history = model.fit(images, images, epochs=8, batch_size=16, verbose=0).history["loss"]
    assert np.isfinite(history).all() and history[-1] < history[0]
    # The codebook too, also where no gradient trains it.
    changed = [(a != b).any() for a, b in zip(before, quantizer.get_weights())]
    assert any(changed) or not before
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(loaded.predict(images, verbose=0), expected, atol=1e-6)


def test_its_loss_is_the_quantizers(images):
    quantizer = TINY["lookup_free"]()
    layer = quantizers.Quantize(quantizer, commitment=2.0)
    features = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32")
    vectors = layer(features)
    found = quantizer.discretize(features)
    np.testing.assert_allclose(array(vectors), array(found.vectors), atol=1e-6)
    (loss,) = layer.losses
    assert float(loss) == pytest.approx(float(ops.mean(found.loss(2.0))), rel=1e-5)


def test_outside_training_nothing_moves(images):
    model = autoencoder(TINY["vector"]())
    before = [w.copy() for w in model.get_weights()]
    model.predict(images, verbose=0)
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
