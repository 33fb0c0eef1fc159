"""KerasHub's names on the class: the same as the functions of `zoo`."""

import pytest

from keras_vae import models, zoo
from keras_vae.zoo import presets
from tests.support.presets import same_weights, tiny

pytestmark = pytest.mark.once


@pytest.fixture
def preset(tmp_path):
    return tiny().save_to_preset(tmp_path / "tiny")


def test_saved_and_loaded(preset):
    model = models.VAE.from_preset(preset)
    same_weights(model.get_weights(), tiny().get_weights())
    assert model.compiled and not models.VAE.from_preset(preset, compile=False).compiled
    fresh = models.VAE.from_preset(str(preset), load_weights=False)
    assert [w.shape for w in fresh.get_weights()] == [w.shape for w in model.get_weights()]
    assert abs(fresh.get_weights()[0] - model.get_weights()[0]).max() > 1e-3


def test_another_class_is_named(preset):
    with pytest.raises(ValueError, match="`VAE.from_preset`.*Expected: VQVAE. Received: VAE in"):
        models.VQVAE.from_preset(preset)


def test_presets(preset, monkeypatch):
    monkeypatch.setattr(presets, "_FOLDERS", (preset.parent,))
    assert models.VAE.presets == {"tiny": zoo.info("tiny")}
    assert models.VQVAE.presets == {} and len(models.VQVAE.presets) == 0
    assert repr(models.VAE.presets) == "<presets of VAE: tiny>"
    with pytest.raises(KeyError, match="other"):
        models.VAE.presets["other"]


def test_saving_reads_no_presets(tmp_path, monkeypatch):
    """Keras looks at each attribute of what it saves."""
    model = tiny()
    assert model.presets.keys() == models.VAE.presets.keys()

    def fail(*_):
        raise AssertionError("read")

    monkeypatch.setattr(presets, "info", fail)
    monkeypatch.setattr(presets, "list_models", fail)
    model.save_weights(tmp_path / "x.weights.h5")
    model.load_weights(tmp_path / "x.weights.h5")


def test_upload(preset, monkeypatch):
    seen = []
    monkeypatch.setattr(presets, "push", lambda *given: seen.append(given) or "hf://a/b@c")
    assert models.VAE.upload_preset("hf://a/b", preset) == "hf://a/b@c"
    assert seen == [(preset, "hf://a/b")]
    with pytest.raises(TypeError, match="zoo.push.*Received: VAE"):
        models.VAE.upload_preset("hf://a/b", tiny())
