"""Presets of strangers: whatever the files hold, nothing runs and nothing grows."""

import json
import os
import re
import shutil
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_vae import _budget, _hdf5, models, zoo
from keras_vae.zoo import allowed, bounds, description, limits
from tests.support import SHAPE
from tests.support.presets import function_code, rewrite, same_weights, tiny
from tools.checks import fuzz

pytestmark = pytest.mark.turns

MEMBERS = ("config.json", "metadata.json", "model.weights.h5")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A tiny model as a preset and as a compiled `.keras` file."""
    root = tmp_path_factory.mktemp("originals")
    model = tiny()
    zoo.save(model, root / "preset")
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    model.save(root / "model.keras")
    return root


@pytest.fixture
def preset(originals, tmp_path):
    return Path(shutil.copytree(originals / "preset", tmp_path / "preset"))


@pytest.fixture
def archive(originals, tmp_path):
    return Path(shutil.copy(originals / "model.keras", tmp_path / "model.keras"))


def repack(path, **changed):
    """Puts other content into members of an archive; None leaves one out."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members.update(changed)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            if content is not None:
                file.writestr(name, content)


class TestKerasFiles:
    def test_it_gives_the_model_back(self, archive):
        model = tiny()
        loaded = zoo.load(archive)
        same_weights(model.get_weights(), loaded.get_weights())
        assert type(loaded.optimizer).__name__ == "Adam" and not loaded.optimizer.built
        fresh = zoo.load(str(archive), weights=None, compile=False)
        assert not fresh.compiled and [w.shape for w in fresh.get_weights()] == [
            w.shape for w in model.get_weights()
        ]

    def test_a_second_optimizer_stays_behind(self, tmp_path):
        model = models.factor_vae(SHAPE, 2, units=(4,), discriminator_units=(4,), seed=0)
        model.fit(np.zeros((4, *SHAPE), "float32"), verbose=0)
        model.save(tmp_path / "m.keras")
        same_weights(model.get_weights(), zoo.load(tmp_path / "m.keras").get_weights())

    @pytest.mark.filterwarnings("ignore:Skipping nested container")
    def test_another_model_is_refused(self, tmp_path):
        other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        other.save(tmp_path / "m.keras")
        with pytest.raises(ValueError, match="describes no VAE. Received: Sequential"):
            zoo.load(tmp_path / "m.keras")

    @pytest.mark.parametrize(
        "change",
        [
            lambda path: path.write_bytes(b""),
            lambda path: path.write_bytes(path.read_bytes()[:-40]),
            lambda path: repack(path, **{"config.json": None}),
            lambda path: repack(path, **{"../outside.txt": b"x"}),
            lambda path: repack(path, **{"assets/vocabulary.txt": b"x"}),
            lambda path: zipfile.ZipFile(path, "a").writestr("config.json", b"{}"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_other_archives_are_refused(self, archive, change):
        change(archive)
        with pytest.raises(ValueError, match="not a model that Keras saved, or it is damaged"):
            zoo.load(archive)
        assert not (archive.parent / "outside.txt").exists()
        assert not (archive.parent.parent / "outside.txt").exists()

    @pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
    def test_a_bomb_is_not_unpacked(self, archive, member, monkeypatch):
        monkeypatch.setattr(_hdf5, "ROOM", 2**16)
        repack(archive, **{member: bytes(2**21)})
        assert archive.stat().st_size < 2**16
        with pytest.raises(ValueError, match="unpacks to far more than the file's size"):
            zoo.load(archive)

    def test_hdf5_models_are_refused(self, tmp_path):
        """CVE-2025-9905: Keras' safe mode did not hold for them."""
        canary = tmp_path / "canary"
        config = {"class_name": "Lambda", "config": {"function": [function_code(canary), None]}}
        for name in ("model.h5", "model.hdf5"):
            with h5py.File(tmp_path / name, "w") as file:
                file.attrs["model_config"] = json.dumps(config)
            with pytest.raises(ValueError, match="HDF5 file, which may hold code.*Received"):
                zoo.load(tmp_path / name)
        assert not canary.exists()


def gadget(function, module, inputs, **arguments):
    """A layer that calls a function of Keras' own, as the published attacks have it."""
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {
            "name": "gadget",
            "function": {
                "module": module,
                "class_name": "function",
                "config": function,
                "registered_name": "function",
            },
            "arguments": arguments,
        },
        "registered_name": None,
        "build_config": {"input_shape": [None, 8, 8, 1]},
        "name": "gadget",
        "inbound_nodes": [{"args": [], "kwargs": {"inputs": inputs}}],
    }


def lambda_layer(canary):
    value = function_code(canary)
    code = {
        "class_name": "__lambda__",
        "config": {"code": value, "defaults": None, "closure": None, "value": value},
    }
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "code", "function": code},
        "registered_name": None,
        "name": "code",
        "inbound_nodes": [],
    }


def attacks(canary):
    """The published attacks on Keras' model files, each aimed at a file `canary`."""
    touch = f"touch {canary}"
    system = {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
        "name": "call",
        "inbound_nodes": [{"args": [touch], "kwargs": {}}],
    }
    download = gadget(
        "get_file",
        "keras.utils",
        Path(canary).name,
        origin=Path(__file__).as_uri(),
        cache_dir=str(Path(canary).parent),
        cache_subdir="",
        force_download=True,
    )
    unsafe = gadget("enable_unsafe_deserialization", "keras.config", "x")
    return {
        "CVE-2024-3660: the code of a Lambda": [lambda_layer(canary)],
        "CVE-2025-1550: a function of any module as a layer": [system],
        "CVE-2025-1550: a class of any module": [
            {**system, "class_name": "Popen", "module": "subprocess", "config": {"args": touch}}
        ],
        "CVE-2025-8747: a download by Keras' own function": [download],
        "CVE-2025-8747: another file without safe mode": [
            gadget("load_model", "keras.models", str(canary), safe_mode=False)
        ],
        "CVE-2025-9906: safe mode off, then code": [unsafe, lambda_layer(canary)],
    }


class TestPublishedAttacks:
    def test_they_are_alive(self, tmp_path):
        """What is refused below would do something: the payloads work by themselves."""
        canary = tmp_path / "canary"
        before = keras.src.saving.serialization_lib.in_safe_mode()
        with keras.saving.custom_object_scope({}):
            layer = keras.saving.deserialize_keras_object(lambda_layer(canary), safe_mode=False)
        layer(np.zeros((1, 2), "float32"))
        assert canary.exists()
        canary.unlink()
        os.system(
            attacks(canary)["CVE-2025-1550: a function of any module as a layer"][0][
                "inbound_nodes"
            ][0]["args"][0]
        )
        assert canary.exists()
        assert keras.src.saving.serialization_lib.in_safe_mode() == before

    @pytest.mark.parametrize("kind", ["preset", "archive"])
    @pytest.mark.parametrize("attack", attacks("canary"))
    def test_they_are_refused_before_anything_is_made(self, kind, attack, request, tmp_path):
        path = request.getfixturevalue(kind)
        canary = tmp_path / "canary"
        source = path / "config.json" if kind == "preset" else None
        text = source.read_text() if source else zipfile.ZipFile(path).read("config.json")
        config = json.loads(text)
        config["config"]["encoder"]["config"]["layers"][1:1] = attacks(canary)[attack]
        if source:
            rewrite(path, "config.json", json.dumps(config))
        else:
            repack(path, **{"config.json": json.dumps(config)})
        for weights in ("pretrained", None):
            with pytest.raises(ValueError, match="Nothing was executed"):
                zoo.load(path, weights=weights)
        assert not canary.exists()
        assert keras.src.saving.serialization_lib.in_safe_mode() is not False

    def test_a_deserializer_is_no_class(self, preset):
        """Keras would call it with what the configuration holds."""
        for name in ("deserialize", "get", "Layer", "Wrapper", "RNN", "Pipeline"):
            config = json.loads((preset / "config.json").read_text())
            config["config"]["prior"] = {
                "module": "keras.layers",
                "class_name": name,
                "config": {},
                "registered_name": None,
            }
            with pytest.raises(ValueError, match="Nothing was executed"):
                allowed.check_config(config, preset)


HOSTILE = {
    "an external link": (
        lambda f, n: f.__setitem__(n, h5py.ExternalLink("/etc/x.h5", "/")),
        "link",
    ),
    "a soft link": (lambda f, n: f.__setitem__(n, h5py.SoftLink("/step")), "link"),
    "values in another file": (
        lambda f, n: f.create_dataset(n, (4,), "f4", external=[("/etc/hosts", 0, 16)]),
        "another file",
    ),
    "a virtual data set": (
        lambda f, n: f.create_virtual_dataset(n, h5py.VirtualLayout((4,), "f4")),
        "another file",
    ),
    "a hostile shape": (
        lambda f, n: f.create_dataset(n, (2**40,), "f4", chunks=(1024,)),
        "far more than the file holds",
    ),
    "a shape past all integers": (
        lambda f, n: f.create_dataset(n, (2**31, 2**31, 3), "f4", chunks=(1, 1, 3)),
        "far more than the file holds",
    ),
    "texts": (lambda f, n: f.create_dataset(n, data=[b"text" * 9]), "values of type"),
    "objects": (
        lambda f, n: f.create_dataset(n, (1,), h5py.special_dtype(vlen=np.uint8)),
        "values of type",
    ),
    "references": (lambda f, n: f.create_dataset(n, (1,), h5py.ref_dtype), "values of type"),
    "compounds": (lambda f, n: f.create_dataset(n, (1,), [("a", "f4")]), "values of type"),
    "an unknown filter": (
        lambda f, n: f.create_dataset(n, data=np.zeros(64, "f4"), chunks=(64,), scaleoffset=2),
        "the filters",
    ),
    "a huge chunk": (
        lambda f, n: f.create_dataset(n, (4,), "f4", chunks=(2**28,), maxshape=(None,)),
        "chunks of",
    ),
    "a name for the whole file": (lambda f, n: f.__setitem__(n, f["/"]), "two names"),
    "a long attribute": (
        lambda f, n: f.create_dataset(n, (4,), "f4").attrs.__setitem__(
            "a", np.bytes_(50000 * b"x")
        ),
        "an attribute",
    ),
}


def chunk_bomb(file, name):
    data = file.create_dataset(name, (16,), "f4", chunks=(16,), compression="gzip")
    data.id.write_direct_chunk((0,), zlib.compress(bytes(40_000), 9))


class TestWeights:
    @pytest.fixture
    def weights(self, preset):
        """The preset's weights file and the name of an array in it."""
        path, names = preset / "model.weights.h5", []
        with h5py.File(path) as file:
            file.visititems(lambda n, v: names.append(n) if isinstance(v, h5py.Dataset) else None)
        return path, names[0]

    @pytest.mark.parametrize("name", HOSTILE)
    def test_arrays_of_numbers_only(self, weights, name):
        path, array = weights
        change, message = HOSTILE[name]
        with h5py.File(path, "r+") as file:
            del file[array]
            change(file, array)
        rewrite(path.parent, path.name, path.read_bytes())
        assert path.stat().st_size < 2**20
        with pytest.raises(ValueError, match=f"do not fit the configuration.*{message}"):
            zoo.load(path.parent)

    def test_a_chunk_that_unpacks_to_more_than_its_values(self, weights):
        path, array = weights
        with h5py.File(path, "r+") as file:
            del file[array]
            chunk_bomb(file, array)
        rewrite(path.parent, path.name, path.read_bytes())
        with pytest.raises(ValueError, match="a chunk that unpacks to more"):
            zoo.load(path.parent)

    def test_what_it_counts(self, weights):
        path, _ = weights
        assert _hdf5.check_weights(path) == tiny().count_params()


class TestSizes:
    @pytest.mark.parametrize("units", [2**24, 2**31])
    @pytest.mark.parametrize("weights", ["pretrained", None])
    def test_a_layer_of_a_petabyte(self, preset, units, weights):
        config = json.loads((preset / "config.json").read_text())
        config["config"]["encoder"]["config"]["layers"][-1]["config"]["units"] = units
        rewrite(preset, "config.json", json.dumps(config))
        most = f"{2 * tiny().count_params() + 2**16:,}" if weights else "268,500,992"
        with pytest.raises(ValueError, match=f"Exhausted: .* more than {most} numbers"):
            zoo.load(preset, weights=weights)

    @pytest.mark.parametrize(
        "change",
        [
            lambda config: config["config"].update(seed=2**65),
            lambda config: config["config"]["posterior"]["config"].update(latent_dim=2**31),
            lambda config: config["config"]["encoder"]["config"].update(trainable=10**30),
            lambda config: config.update(deep=_deep(80)),
            lambda config: config.update(
                many=[{"class_name": "__tuple__", "config": {}}] * (limits.MOST_CLASSES + 1)
            ),
        ],
    )
    def test_numbers_past_all_use(self, preset, change):
        config = json.loads((preset / "config.json").read_text())
        change(config)
        rewrite(preset, "config.json", json.dumps(config))
        with pytest.raises(ValueError, match="more than any model needs. Nothing was executed"):
            zoo.load(preset)

    @pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": -Infinity}', "[" * 100_000])
    def test_what_is_no_json(self, preset, text):
        rewrite(preset, "config.json", text)
        with pytest.raises(ValueError, match="config.json cannot be read"):
            zoo.load(preset)

    def test_a_configuration_of_gigabytes(self, preset):
        os.truncate(preset / "config.json", 2**25)
        rewritten = json.loads((preset / "metadata.json").read_text())
        rewritten["sha256"]["config.json"] = description.sha256(preset / "config.json")
        (preset / "metadata.json").write_text(json.dumps(rewritten))
        with pytest.raises(ValueError, match="33,554,432 bytes, of at most 16,777,216"):
            zoo.load(preset)

    def test_the_budget_ends_with_its_block(self):
        original = keras.layers.Layer.add_weight
        with pytest.raises(_budget.Exhausted), bounds.budget(10):
            models.vae(SHAPE, 2, units=(4,))
        assert keras.layers.Layer.add_weight is original
        models.vae(SHAPE, 2, units=(4,))


def _deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.once
def test_nothing_unpickles_or_evaluates():
    """Nor is a file of a whole model read by Keras' own loader, which trusts more."""
    root = Path(zoo.__file__).parents[1]
    for path in [*root.rglob("*.py"), *(root.parent / "tools").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        code = re.findall(r"\b(allow_pickle|pickle\.load\w*|eval\(|exec\(|load_model\()", text)
        # A classifier of our own making, and what `check_model` has just saved.
        assert not code or path.name in ("classifier.py", "testing.py"), (path, code)


@pytest.mark.once
class TestFiles:
    @pytest.mark.parametrize("name", MEMBERS)
    def test_links_are_not_followed(self, preset, name):
        content = preset / name
        elsewhere = preset.parent / f"elsewhere_{name}"
        content.rename(elsewhere)
        content.symlink_to(elsewhere)
        with pytest.raises(ValueError, match="no symbolic links.*Received"):
            zoo.load(preset)

    @pytest.mark.parametrize("name", MEMBERS)
    def test_other_things_than_files(self, preset, name):
        (preset / name).unlink()
        os.mkfifo(preset / name)
        with pytest.raises(ValueError, match="plain files only|holds no metadata.json"):
            zoo.load(preset)
        (preset / name).unlink()
        (preset / name).mkdir()
        with pytest.raises(ValueError, match=f"no {name}|plain files"):
            zoo.load(preset)

    def test_a_link_to_the_folder_is_the_users_own(self, preset, tmp_path):
        (tmp_path / "link").symlink_to(preset)
        assert zoo.info(tmp_path / "link")["name"] == "preset"

    @pytest.mark.parametrize(
        "changed", [{"version": []}, {"input": 3}, {"bytes": "many"}, {"metrics": [{}]}]
    )
    def test_metadata_of_other_types(self, preset, changed):
        metadata = json.loads((preset / "metadata.json").read_text())
        (preset / "metadata.json").write_text(json.dumps({**metadata, **changed}))
        with pytest.raises(ValueError, match="incomplete|another type than it should.*Received"):
            zoo.info(preset)

    def test_changed_at_random(self):
        """A few dozen cases of the fuzzer, whose long run is `python -m tools.checks.fuzz`."""
        counts, bad = fuzz.run(80, seed=1)
        assert not bad
        assert sum(counts.values()) == 80 and counts["ValueError"] > 10 and counts["loaded"] > 2
