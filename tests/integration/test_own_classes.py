"""Layers that run no code of a file, and classes of one's own: saved, loaded, exported."""

import json

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_vae import export, likelihoods, models, objectives, zoo
from keras_vae.zoo import allowed

pytestmark = pytest.mark.turns

SHAPE = (6, 4)


def own(name):
    return keras.saving.register_keras_serializable("test_own", name)


@own("Doubled")
class Doubled(layers.Layer):
    def call(self, x):
        return 2.0 * x


@own("Half")
class Half(likelihoods.Normal):
    def mean(self, outputs):
        return 0.5 * super().mean(outputs)


@own("Own")
class Own(objectives.ELBO):
    pass


def decoder():
    return keras.Sequential([keras.Input((3,)), layers.Dense(24), layers.Reshape(SHAPE)])


def arithmetic():
    x = keras.Input(SHAPE)
    h = layers.LSTM(4)(ops.clip(x * 2 - 1, -0.5, 0.5)[:, 1:])
    return keras.Model(x, ops.concatenate([h, ops.tanh(h)], axis=-1))


PLAIN = {
    "LSTM": lambda: keras.Sequential([keras.Input(SHAPE), layers.LSTM(4)]),
    "GRU": lambda: keras.Sequential([keras.Input(SHAPE), layers.Bidirectional(layers.GRU(4))]),
    "augmentation": lambda: keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Reshape((6, 4, 1)),
            layers.RandomFlip(data_format="channels_last"),
            layers.RandomTranslation(0.1, 0.1, data_format="channels_last"),
            layers.Flatten(),
        ]
    ),
    "preprocessing": lambda: keras.Sequential(
        [keras.Input(SHAPE), layers.Normalization(mean=0.5, variance=0.1), layers.Flatten()]
    ),
    "x * 2 - 1": arithmetic,
}


def model_of(encoder=None, likelihood="normal", objective=None):
    encoder = encoder or keras.Sequential([keras.Input(SHAPE), layers.Flatten()])
    return models.VAE(encoder, decoder(), 3, likelihood=likelihood, objective=objective, seed=0)


X = np.random.default_rng(0).random((4, *SHAPE)).astype("float32")


@pytest.mark.parametrize("kind", PLAIN)
def test_layers_that_run_no_code_of_the_file(kind, tmp_path):
    model = model_of(PLAIN[kind]())
    zoo.save(model, tmp_path / "preset")
    model.save(tmp_path / "m.keras")
    for path in (tmp_path / "preset", tmp_path / "m.keras"):
        np.testing.assert_allclose(zoo.load(path).encode(X), model.encode(X), atol=1e-6)


def with_own_classes():
    encoder = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), Doubled()])
    return model_of(encoder, Half(), Own(beta=2.0))


@pytest.mark.once
class TestOwnClasses:
    def test_they_need_a_word(self, tmp_path):
        model = with_own_classes()
        with pytest.raises(ValueError, match="zoo.save.model, path, trusted=True"):
            zoo.save(model, tmp_path / "preset")
        zoo.save(model, tmp_path / "preset", trusted=True)
        model.save(tmp_path / "m.keras")
        classes = {"Doubled": Doubled, "Half": Half, "Own": Own}
        for path in (tmp_path / "preset", tmp_path / "m.keras"):
            with pytest.raises(ValueError, match="trusted=True.*custom_objects=.*Received"):
                zoo.load(path)
            with pytest.raises(ValueError, match="Nothing was executed"):
                zoo.load(path, custom_objects={"Doubled": Doubled})
            for word in ({"trusted": True}, {"custom_objects": classes}):
                loaded = zoo.load(path, **word)
                np.testing.assert_array_equal(loaded.reconstruct(X), model.reconstruct(X))
                assert loaded.objective.beta == 2.0 and type(loaded.objective) is Own

    def test_custom_objects_let_no_other_class_in(self, tmp_path):
        """A file's name for a class is not the caller's class of that name."""
        config = {"module": "os", "class_name": "Doubled", "registered_name": "x>Doubled"}
        with pytest.raises(ValueError, match="Nothing was executed"):
            allowed.check_config({**config, "config": {}}, tmp_path, {"Doubled": Doubled})

    def test_a_lambda_of_ones_own(self, tmp_path):
        encoder = keras.Sequential(
            [
                keras.Input(SHAPE),
                layers.Lambda(lambda x: 2 * x, output_shape=SHAPE),
                layers.Flatten(),
            ]
        )
        model = model_of(encoder)
        zoo.save(model, tmp_path / "preset", trusted=True)
        with pytest.raises(ValueError, match="Nothing was executed"):
            zoo.load(tmp_path / "preset")
        loaded = zoo.load(tmp_path / "preset", trusted=True)
        np.testing.assert_array_equal(loaded.encode(X), model.encode(X))

    def test_export(self, tmp_path):
        model = with_own_classes()
        report = export.saved_model(model, tmp_path / "saved", data=X, verbose=False)
        assert report["parity"]

    def test_export_of_layers_of_keras(self, tmp_path):
        export.saved_model(model_of(arithmetic()), tmp_path / "saved", data=X, verbose=False)

    def test_export_says_where_a_class_must_be(self, tmp_path):
        class Local(layers.Layer):
            def call(self, x):
                return x

        encoder = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), Local()])
        with pytest.raises(export.ExportError, match="top of a module.*Local"):
            export.saved_model(model_of(encoder), tmp_path / "saved", verbose=False)


@pytest.mark.once
def test_operations_on_constants_are_refused(tmp_path):
    """Keras would compute them at once: a sum of a column and a row takes their product."""
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(arithmetic())))
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "Multiply":
            layer["inbound_nodes"] = [{"args": [[[1.0]] * 1000, [[1.0] * 1000]], "kwargs": {}}]
    with pytest.raises(ValueError, match="Multiply of constants"):
        allowed.check_config(config, tmp_path)


@pytest.mark.once
@pytest.mark.parametrize("module, name", [("numpy", "Tile"), ("numpy", "Outer"), ("core", "Map")])
def test_other_operations_are_refused(module, name, tmp_path):
    config = {"module": f"keras.src.ops.{module}", "class_name": name, "registered_name": name}
    with pytest.raises(ValueError, match="Nothing was executed"):
        allowed.check_config({**config, "config": {}, "inbound_nodes": []}, tmp_path)
