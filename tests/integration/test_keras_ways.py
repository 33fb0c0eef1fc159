"""Keras' own ways with a model: export, HDF5, shapes, and its networks as Keras models."""

import keras
import numpy as np
import pytest

from keras_vae import models

X = np.random.default_rng(0).random((5, 6)).astype("float32")


def model_of(paper=models.vae, **options):
    return paper((6,), 2, units=(4,), likelihood="normal", seed=0, **options)


CONDITIONAL = {
    "labels": ({"num_classes": 3}, np.array([0, 1, 2, 0, 1], "int32")),
    "attributes": ({"condition_dim": 2}, np.ones((5, 2), "float32")),
}


@pytest.mark.once
@pytest.mark.parametrize("name", ["m.h5", "m.hdf5", "folder/m", "m.weights.h5"])
def test_only_what_loads_is_saved(name, tmp_path):
    model = model_of()
    with pytest.raises(ValueError, match=r"ends in `\.keras`.*Received.*" + name.split("/")[-1]):
        model.save(tmp_path / name)
    if not name.endswith(".h5"):
        return
    callback = keras.callbacks.ModelCheckpoint(str(tmp_path / name))
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"ends in `\.keras`"):
        model.fit(X, callbacks=[callback], verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_checkpoints_that_load(tmp_path):
    model = model_of()
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(tmp_path / "m.keras")),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "m.weights.h5"), save_weights_only=True),
    ]
    model.fit(X, callbacks=callbacks, verbose=0)
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.reconstruct(X), model.reconstruct(X))
    with pytest.raises(ValueError, match=r"must end in `\.weights\.h5`.*Received.*/w\.h5"):
        model.save_weights(tmp_path / "w.h5")


class TestShapes:
    def test_unconditional(self):
        model = model_of()
        assert model.input_shape == model.output_shape == (None, 6)
        assert tuple(model.input.shape) == tuple(model.output.shape) == (None, 6)
        graph = keras.Model(model.input, 2 * model.output)
        np.testing.assert_allclose(graph.predict(X, verbose=0), 2 * model.reconstruct(X), rtol=1e-5)

    @pytest.mark.parametrize("kind", CONDITIONAL)
    def test_conditional(self, kind):
        options, y = CONDITIONAL[kind]
        model = model_of(models.cvae, **options)
        assert model.input_shape == [(None, 6), (None, *y.shape[1:])]
        graph = keras.Model(model.input, model.output)
        found = graph.predict([X, y], verbose=0)
        np.testing.assert_allclose(found, model.reconstruct(X, y), rtol=1e-5, atol=1e-6)

    @pytest.mark.once
    def test_summary(self, capsys):
        model = model_of()
        lines = []
        model.summary(print_fn=lambda text, **_: lines.append(text))
        assert "(None, 6)" in "".join(lines)
        assert f"{model.count_params():,}" in "".join(lines)


class TestNetworks:
    @pytest.mark.parametrize(
        "paper",
        [models.vae, models.iaf_vae, models.autoencoder, models.vq_vae],
        ids=lambda p: p.__name__,
    )
    def test_codes_and_means(self, paper, tmp_path):
        if paper is models.vq_vae:
            model = paper((8, 8, 1), 4, units=(4, 4), num_codes=8, seed=0)
            x = np.random.default_rng(0).random((3, 8, 8, 1)).astype("float32")
        elif paper is models.autoencoder:
            model, x = paper((6,), 2, units=(4,), seed=0), X
        else:
            model, x = model_of(paper), X
        encoder, decoder = model.encoder_model(), model.decoder_model()
        codes = model.encode(x)
        np.testing.assert_allclose(encoder.predict(x, verbose=0), codes, atol=1e-5)
        means = decoder.predict(codes, verbose=0)
        np.testing.assert_allclose(means, model.decode(codes), atol=1e-5)
        for network, inputs in ((encoder, x), (decoder, codes)):
            network.save(tmp_path / "n.keras")
            loaded = keras.models.load_model(tmp_path / "n.keras")
            one, other = (n.predict(inputs, verbose=0) for n in (network, loaded))
            np.testing.assert_array_equal(one, other)

    def test_they_share_the_weights(self):
        model = model_of()
        encoder = model.encoder_model()
        model.fit(X, epochs=2, verbose=0)
        np.testing.assert_allclose(encoder.predict(X, verbose=0), model.encode(X), atol=1e-5)

    @pytest.mark.parametrize("kind", CONDITIONAL)
    def test_conditional(self, kind):
        options, y = CONDITIONAL[kind]
        model = model_of(models.cvae, **options)
        codes = model.encode(X, y)
        found = model.encoder_model().predict([X, y], verbose=0)
        np.testing.assert_allclose(found, codes, atol=1e-5)
        means = model.decoder_model().predict([codes, y], verbose=0)
        np.testing.assert_allclose(means, model.decode(codes, y), atol=1e-5)

    @pytest.mark.once
    @pytest.mark.parametrize("paper", [models.structured_vae, models.auxiliary_vae])
    def test_models_of_more_parts_say_so(self, paper):
        model = paper((6,), 2, units=(4,), seed=0)
        for make in (model.encoder_model, model.decoder_model):
            with pytest.raises(ValueError, match="use `encode` and `decode`.*Received"):
                make()


class TestExport:
    def test_saved_model(self, tmp_path):
        model = model_of()
        model.fit(X, verbose=0)
        if keras.backend.backend() == "torch":
            with pytest.raises(ValueError, match="keras_vae.export.saved_model"):
                model.export(tmp_path / "saved", verbose=False)
            return
        import tensorflow as tf

        model.export(tmp_path / "saved", verbose=False)
        loaded = tf.saved_model.load(tmp_path / "saved")
        found = loaded.serve(tf.constant(X)).numpy()
        np.testing.assert_allclose(found, model.reconstruct(X), atol=1e-5)

    @pytest.mark.once
    def test_an_unknown_format(self, tmp_path):
        with pytest.raises(ValueError, match="keras_vae.export.*Received: format='core_ml'"):
            model_of().export(tmp_path / "m", format="core_ml")

    @pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's converter")
    def test_the_converter_of_tensorflow(self):
        import tensorflow as tf

        model = model_of()
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
        interpreter = tf.lite.Interpreter(model_content=content)
        (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(given["index"], X.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], X)
        interpreter.invoke()
        found = interpreter.get_tensor(result["index"])
        np.testing.assert_allclose(found, model.reconstruct(X), atol=1e-5)
