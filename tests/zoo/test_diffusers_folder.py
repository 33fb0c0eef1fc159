"""Folders of diffusers: recognised, loaded, described and written, or refused."""

import json
import os
import shutil
import threading

import numpy as np
import pytest

from keras_vae import _atomic, models, zoo
from tests.support import diffusers_folders
from tests.support.diffusers_folders import CONFIG, folder, same_arrays
from tests.support.presets import tiny
from tools.checks import fuzz, fuzz_diffusers

pytestmark = pytest.mark.once

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def path(tmp_path):
    return folder(tmp_path / "theirs")


@pytest.fixture
def parts(tmp_path):
    fuzz_diffusers.base(tmp_path)
    return tmp_path / "parts"


def loads(path, arrays=None):
    model = zoo.load(path)
    assert model.compiled
    same_arrays(zoo.diffusers.tensors_of(model), arrays or diffusers_folders.tensors())


class TestForms:
    def test_one_file(self, path):
        loads(path)
        loads(str(path))

    def test_parts(self, parts):
        loads(parts)
        assert len(zoo.info(parts)["files"]) == 4

    @pytest.mark.parametrize("variant", ["fp16", "bf16"])
    def test_variants(self, variant, tmp_path):
        name = f"diffusion_pytorch_model.{variant}.safetensors"
        loads(folder(tmp_path / "theirs", name=name))
        (tmp_path / "theirs" / WEIGHTS).write_bytes(b"")
        # Whole before halves.
        with pytest.raises(ValueError, match="it is damaged"):
            zoo.load(tmp_path / "theirs")

    def test_a_variant_in_parts(self, parts):
        (parts / f"{WEIGHTS}.index.json").rename(parts / f"{WEIGHTS}.index.fp16.json")
        loads(parts)

    def test_a_pipeline(self, path, tmp_path):
        (tmp_path / "pipe").mkdir()
        (tmp_path / "pipe" / "model_index.json").write_text("{}")
        with pytest.raises(ValueError, match="the folder `vae`, and there is none"):
            zoo.load(tmp_path / "pipe")
        shutil.copytree(path, tmp_path / "pipe" / "vae")
        loads(tmp_path / "pipe")
        assert zoo.folder(tmp_path / "pipe") == tmp_path / "pipe" / "vae"
        shutil.rmtree(tmp_path / "pipe" / "vae")
        (tmp_path / "pipe" / "vae").symlink_to(path)
        with pytest.raises(ValueError, match="there is none"):
            zoo.load(tmp_path / "pipe")

    def test_two_files_without_a_configuration(self, tmp_path):
        """As the authors of the tiny autoencoder publish them: the decoder's first is no weight."""
        expected = models.autoencoder_tiny(
            encoder_block_out_channels=(4, 4),
            decoder_block_out_channels=(4, 4),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
            latent_channels=2,
            seed=0,
        )
        files = {"encoder": {}, "decoder": {}}
        for name, value in zoo.diffusers.tensors_of(expected).items():
            part, _, number, rest = name.split(".", 3)
            number = int(number) + (part == "decoder")
            files[part][f"{number}.{rest}"] = value.astype("float16")
        for part, held in files.items():
            zoo.safetensors.write(tmp_path / f"{part}.safetensors", held)
        found = zoo.load(tmp_path)
        for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other.astype("float16"))
        info = zoo.info(tmp_path)
        assert (info["class"], info["dtypes"], info["latent_channels"]) == (
            *("AutoencoderTiny", ["F16"]),
            2,
        )
        assert info["parameters"] == sum(v.size for held in files.values() for v in held.values())

    def test_without_weights(self, path):
        (path / WEIGHTS).unlink()
        fresh = zoo.load(path, weights=None)
        shapes = {name: v.shape for name, v in zoo.diffusers.tensors_of(fresh).items()}
        assert shapes == {name: v.shape for name, v in diffusers_folders.tensors().items()}
        with pytest.raises(ValueError, match=f"Expected: {WEIGHTS}. Received: 'config.json'"):
            zoo.load(path)

    def test_numbers_that_are_not_finite_load_as_they_do_from_a_preset(self, path):
        arrays = diffusers_folders.tensors()
        arrays["encoder.conv_in.bias"][:2] = np.nan, np.inf
        zoo.safetensors.write(path / WEIGHTS, arrays)
        loads(path, arrays)

    def test_info(self, path):
        info = zoo.info(path)
        assert info == {
            "name": "theirs",
            "format": "diffusers",
            "class": "AutoencoderKL",
            "description": "AutoencoderKL of diffusers",
            "input": {"shape": [None, None, 3], "dtype": "float32", "range": [0.0, 1.0]},
            "latent_channels": 2,
            "parameters": sum(v.size for v in diffusers_folders.tensors().values()),
            "bytes": sum(file.stat().st_size for file in path.iterdir()),
            "dtypes": ["F32"],
            "files": ["config.json", WEIGHTS],
        }
        text = str(info)
        assert "3 channels, float32 in [0, 1]" in text and "2 channels" in text
        assert f"{info['parameters']:,} parameters" in text


class TestSaved:
    def test_written_and_loaded(self, path, tmp_path):
        model = zoo.load(path)
        target = zoo.save(model, tmp_path / "new", {"licence": "MIT"}, format="diffusers")
        assert sorted(p.name for p in target.iterdir()) == ["README.md", "config.json", WEIGHTS]
        loads(target)
        assert json.loads((target / "config.json").read_text())["_class_name"] == "AutoencoderKL"
        card = (target / "README.md").read_text()
        assert card.startswith('---\nlibrary_name: "diffusers"') and 'license: "mit"' in card

    def test_only_such_a_folder_is_replaced(self, path, tmp_path):
        model = zoo.load(path)
        zoo.save(model, path, files={"notes.txt": "x"}, format="diffusers")
        assert (path / "notes.txt").read_text() == "x"
        for name in ("metadata.json", "config.json", "diary.txt", "model_index.json"):
            other = tmp_path / name.split(".")[0]
            other.mkdir()
            (other / name).write_text("mine")
            with pytest.raises(FileExistsError, match="no folder of diffusers"):
                zoo.save(model, other, format="diffusers")
            assert (other / name).read_text() == "mine"
        with pytest.raises(FileExistsError, match="no preset"):
            zoo.save(tiny(), path)

    def test_a_failed_save_leaves_the_older_one(self, path, monkeypatch):
        model, before = zoo.load(path), (path / WEIGHTS).read_bytes()

        def fail(*_):
            raise OSError("full")

        monkeypatch.setattr(zoo.safetensors, "write", fail)
        with pytest.raises(OSError, match="full"):
            zoo.save(model, path, format="diffusers")
        assert (path / WEIGHTS).read_bytes() == before
        assert sorted(p.name for p in path.parent.iterdir()) == ["theirs"]

    def test_arguments(self, path, tmp_path):
        with pytest.raises(ValueError, match="keras_vae, diffusers. Received: 'h5'"):
            zoo.save(tiny(), tmp_path / "x", format="h5")
        with pytest.raises(ValueError, match="diffusers has no such model.*Received: VAE"):
            zoo.save(tiny(), tmp_path / "x", format="diffusers")
        assert not (tmp_path / "x").exists()
        with pytest.raises(ValueError, match="no golden values"):
            zoo.save(zoo.load(path), tmp_path / "x", golden=(1,), format="diffusers")


def test_a_load_while_the_folder_is_replaced_is_of_one_version(path, tmp_path):
    versions = [diffusers_folders.tensors() for _ in range(2)]
    for value in versions[1].values():
        value += 1
    stop = threading.Event()

    def write():
        i = 0
        while not stop.is_set():
            i += 1
            with _atomic.folder(path, {WEIGHTS}, "folder of diffusers") as new:
                (new / "config.json").write_text(json.dumps(CONFIG))
                zoo.safetensors.write(new / WEIGHTS, versions[i % 2])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = []
        while len(seen) < 15 or (len(set(seen)) < 2 and len(seen) < 500):
            found = zoo.diffusers.tensors_of(zoo.load(path, compile=False))
            which = int(found["encoder.conv_in.bias"][0] != versions[0]["encoder.conv_in.bias"][0])
            same_arrays(found, versions[which])
            seen.append(which)
        assert set(seen) == {0, 1}
    finally:
        stop.set()
        writer.join()


def write_config(path, **changed):
    (path / "config.json").write_text(json.dumps({**CONFIG, **changed}))


class TestRefused:
    @pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.ckpt", "x.pt", "y.pth"])
    def test_pickles(self, name, path):
        (path / WEIGHTS).unlink()
        (path / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
        text = r"pickle can execute code.*safe_serialization=True.*Received: '" + name
        for target in (path, path / name):
            with pytest.raises(ValueError, match=text):
                zoo.load(target)
        (path / "config.json").unlink()
        with pytest.raises(ValueError, match=text):
            zoo.load(path)

    def test_a_file_alone(self, path):
        with pytest.raises(ValueError, match="give the folder that also holds its config.json"):
            zoo.load(path / WEIGHTS)

    @pytest.mark.parametrize("kind", ["AutoencoderKLWan", "os.system", "\x1b[31m"])
    def test_classes_that_are_not_known(self, kind, path):
        write_config(path, _class_name=kind)
        with pytest.raises(ValueError, match="Expected: AutoencoderKL, AutoencoderTiny, VQModel"):
            zoo.load(path)
        with pytest.raises(ValueError) as caught:
            zoo.load(path, weights=None)
        assert "\x1b" not in str(caught.value)

    @pytest.mark.parametrize("kind", [None, 3, ["AutoencoderKL"]])
    def test_no_class(self, kind, path):
        write_config(path, _class_name=kind)
        with pytest.raises(ValueError, match="not a preset.*not one of diffusers"):
            zoo.load(path)

    @pytest.mark.parametrize(
        "changed, message",
        [
            ({"block_out_channels": [10**9]}, "'block_out_channels' of 1000000000"),
            ({"latent_channels": 10**9}, "'latent_channels' of 1000000000"),
            ({"block_out_channels": [4] * 17}, "a list of 17"),
            ({"layers_per_block": 33}, "'layers_per_block' of 33"),
            ({"num_encoder_blocks": [32] * 4}, "129 layers, of at most 92"),
            ({"act_fn": "x" * 300}, "a text of 300"),
            ({"act_fn": "\x1b[31m"}, "a text of 5 characters for 'act_fn'"),
            ({"more": list(range(2000))}, "a list of 2,000"),
            ({"more": {"a": {"b": 2**30}}}, "'b' of"),
            ({"more": 1e999}, "Infinity is not valid JSON"),
            ({"block_out_channels": [2**20]}, "Received"),
        ],
    )
    @pytest.mark.parametrize("weights", ["pretrained", None])
    def test_configurations_that_ask_for_much(self, changed, message, weights, path):
        write_config(path, **changed)
        if weights is None:
            message = message.replace("at most 92", "at most 128")
        with pytest.raises(ValueError, match=message):
            zoo.load(path, weights=weights)

    @pytest.mark.parametrize(
        "name, content, message",
        [
            ("config.json", b"[]", "a list and not a dict"),
            ("config.json", b"{" + b" " * 2**20 + b"}", "of at most 1,048,576"),
            ("config.json", b'{"a": 1, "a": 1}', "occurs twice"),
            (WEIGHTS, b"", "it is damaged"),
        ],
    )
    def test_files_of_other_content(self, name, content, message, path):
        (path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{message}.*{name}"):
            zoo.load(path)

    @pytest.mark.parametrize("name", ["config.json", WEIGHTS])
    def test_links_and_pipes(self, name, path):
        (path / name).rename(path.parent / name)
        (path / name).symlink_to(path.parent / name)
        with pytest.raises(ValueError, match="no symbolic links"):
            zoo.load(path)
        (path / name).unlink()
        os.mkfifo(path / name)
        with pytest.raises(ValueError, match="plain files only"):
            zoo.load(path)

    @pytest.mark.parametrize(
        "places, message",
        [
            ({}, "no dict `weight_map`"),
            ([], "no dict `weight_map`"),
            ({"a": "../x.safetensors"}, "beside it"),
            ({"a": "/etc/hosts"}, "beside it"),
            ({"a": 3}, "beside it"),
            ({"a": "config.json"}, "beside it"),
            ({"a": "diffusion_pytorch_model-3.safetensors"}, "a file that is not there"),
            (
                {f"a{i}": f"diffusion_pytorch_model-{i}.safetensors" for i in range(65)},
                "at most 64",
            ),
        ],
    )
    def test_an_index_of_other_files(self, places, message, parts):
        (parts / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": places}))
        with pytest.raises(ValueError, match=f"{message}.*Received"):
            zoo.load(parts)

    def test_an_index_that_disagrees_with_the_files(self, parts):
        index = parts / f"{WEIGHTS}.index.json"
        places = json.loads(index.read_text())["weight_map"]
        name, *_ = places
        others = {**places, "more.weight": places[name]}, {**places}, {**places}
        others[1][name] = next(file for file in places.values() if file != places[name])
        del others[2][name]
        for other in others:
            index.write_text(json.dumps({"weight_map": other}))
            with pytest.raises(ValueError, match="disagree on where.*Received"):
                zoo.load(parts)

    def test_files_too_large_together(self, path):
        os.truncate(path / WEIGHTS, 2**32)
        with pytest.raises(ValueError, match="larger than 4,294,967,296 bytes"):
            zoo.load(path)

    def test_a_file_written_to_while_it_is_read(self, path, monkeypatch):
        build = zoo.diffusers.build

        def slow(config, tensors, where):
            model = build(config, tensors, where)
            os.utime(path / WEIGHTS, ns=(1, 1))
            return model

        monkeypatch.setattr(zoo.diffusers, "build", slow)
        with pytest.raises(ValueError, match="written to while it was read"):
            zoo.load(path)

    @pytest.mark.parametrize("error", [MemoryError("x"), TypeError("x"), ValueError("x")])
    def test_errors_of_building_are_value_errors(self, error, path, monkeypatch):
        def build(*_):
            raise error

        monkeypatch.setattr(zoo.diffusers, "build", build)
        with pytest.raises(ValueError, match=f"make no model. Received: {type(error).__name__}"):
            zoo.load(path)


def test_the_arrays_are_those_of_the_library():
    """The tiny folder of these tests and of the fuzzer is one that diffusers would write."""
    diffusers = pytest.importorskip("diffusers")
    model = diffusers.AutoencoderKL(**{k: v for k, v in CONFIG.items() if k[0] != "_"})
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert {name: v.shape for name, v in diffusers_folders.tensors().items()} == expected


def test_the_library_loads_what_is_written(path, tmp_path):
    diffusers = pytest.importorskip("diffusers")
    target = zoo.save(zoo.load(path), tmp_path / "new", format="diffusers")
    model = diffusers.AutoencoderKL.from_pretrained(target, low_cpu_mem_usage=False)
    found = {name: value.numpy() for name, value in model.state_dict().items()}
    same_arrays(found, diffusers_folders.tensors())


@pytest.mark.slow
def test_changed_at_random():
    """A few dozen cases; the long run is `python -m tools.checks.fuzz --kind diffusers`."""
    counts, bad = fuzz.run(80, seed=1, kind="diffusers")
    assert not bad
    assert sum(counts.values()) == 80 and counts["ValueError"] > 40 and counts["loaded"] > 4


def test_from_preset(path):
    model = models.VAE.from_preset(path)
    same_arrays(zoo.diffusers.tensors_of(model), diffusers_folders.tensors())
