"""Loading a preset executes nothing from it."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_vae import zoo
from tests.support.presets import IMAGES, rewrite, tiny
from tests.support.zoo import evil

PLACES = {
    "model": lambda config, bad: (config.clear(), config.update(bad)),
    "prior": lambda config, bad: config["config"].update(prior=bad),
    "layer": lambda config, bad: config["config"]["encoder"]["config"]["layers"][1].update(
        {"module": None, "registered_name": None, **bad}
    ),
    "initializer": lambda config, bad: config["config"]["decoder"]["config"]["layers"][1][
        "config"
    ].update(kernel_initializer=bad),
    "a part that nothing reads": lambda config, bad: config.update(extra=[{"deep": (bad,)}]),
}


@pytest.mark.once
class TestSafety:
    @pytest.fixture
    def canary(self, tmp_path, monkeypatch):
        """A file that running something would create."""
        canary = tmp_path / "canary"
        folder = tmp_path / "path"
        folder.mkdir()
        touch = f"open({str(canary)!r}, 'w').close()\n"
        (folder / "canary_module.py").write_text(f"{touch}class Evil:\n    pass\n")
        monkeypatch.syspath_prepend(str(folder))

        @keras.saving.register_keras_serializable("mine")
        class Thing(keras.layers.Layer):
            def __init__(self, path, **kwargs):
                super().__init__(**kwargs)
                Path(path).touch()

        yield canary
        del keras.saving.get_custom_objects()["mine>Thing"]

    def test_the_canaries_sing(self, canary):
        """Without our check these would have run, so the tests below can fail."""
        unsafe = {"safe_mode": False}
        bad = evil(canary)
        keras.saving.deserialize_keras_object(bad["Lambda"], **unsafe)(np.zeros((1, 2), "float32"))
        assert canary.exists()
        canary.unlink()
        keras.saving.deserialize_keras_object(bad["registered by the caller"])
        assert canary.exists()
        canary.unlink()
        __import__("canary_module")
        assert canary.exists() and sys.modules.pop("canary_module")

    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("name", evil("canary"))
    def test_only_classes_that_compute(self, preset, canary, name, place):
        from keras.src.saving.serialization_lib import SafeModeScope

        config = json.loads((preset / "config.json").read_text())
        PLACES[place](config, evil(canary)[name])
        rewrite(preset, "config.json", json.dumps(config))
        modules = set(sys.modules)
        for weights in ("pretrained", None):
            # Keras' own safe mode is off: the refusal is ours.
            with SafeModeScope(False), pytest.raises(ValueError, match="Nothing was executed"):
                zoo.load(preset, weights=weights)
        assert not canary.exists()
        assert not [m for m in set(sys.modules) - modules if "canary" in m or "evil" in m]

    def test_nothing_is_unpickled(self, preset):
        """Golden values are for comparison only: loading does not open them."""
        (preset / "golden.npz").write_bytes(b"\x80\x04cos\nsystem\n.")
        np.testing.assert_array_equal(zoo.load(preset).encode(IMAGES), tiny().encode(IMAGES))
