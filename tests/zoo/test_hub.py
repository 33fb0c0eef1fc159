"""Presets of the Hugging Face Hub, from a server on this machine that speaks its protocol."""

import json
import shutil

import keras
import pytest

huggingface_hub = pytest.importorskip("huggingface_hub")

from keras_vae import zoo  # noqa: E402
from keras_vae.zoo import hub as hub_module  # noqa: E402
from keras_vae.zoo import presets  # noqa: E402
from tests.support import diffusers_folders, hub_server  # noqa: E402
from tests.support.diffusers_folders import same_arrays  # noqa: E402
from tests.support.presets import same_weights, tiny  # noqa: E402
from tools.checks import fuzz_diffusers  # noqa: E402

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def server():
    with hub_server.serve() as found:
        yield found


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    """The server's repositories and requests, with an empty cache of our own."""
    address, repositories, requests = server
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    repositories.clear()
    requests.clear()
    return repositories, requests


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return zoo.save(tiny(), tmp_path_factory.mktemp("presets") / "tiny")


def files_of(preset):
    return {path.name: path.read_bytes() for path in preset.iterdir()}


def test_pushed_and_loaded(hub):
    repositories, requests = hub
    model = tiny()
    name = zoo.push(model, "hf://me/blobs", {"description": "Blobs.", "licence": "MIT"})
    assert set(repositories["me/blobs"][-1][1]) == {
        *("README.md", "config.json", "metadata.json", "model.weights.h5")
    }
    assert name == f"hf://me/blobs@{repositories['me/blobs'][-1][0]}"
    for source in ("hf://me/blobs", name):
        same_weights(model.get_weights(), zoo.load(source).get_weights())
    assert zoo.info("hf://me/blobs")["description"] == "Blobs."
    # Fetched once: a commit is the same for ever.
    fetched = [path for method, path in requests if method == "GET" and "/resolve/" in path]
    assert len(fetched) == 4
    folder = zoo.folder("hf://me/blobs")
    assert hub_module.cache() in folder.parents and folder.name == name.split("@")[1]
    assert [p.name for p in folder.parent.iterdir() if p.name.startswith(".")] == []


def test_a_folder_is_pushed_as_it_is(hub, preset):
    repositories, _ = hub
    zoo.push(preset, "hf://me/folder")
    assert {**files_of(preset)}.items() <= repositories["me/folder"][-1][1].items()
    with pytest.raises(ValueError, match="hf://user/repo.*Received: 'me/folder'"):
        zoo.push(preset, "me/folder")


def test_a_newer_commit_is_fetched_and_the_older_one_stays(hub, preset):
    first = zoo.push(preset, "hf://me/two")
    second = zoo.push(tiny(units=(5,)), "hf://me/two")
    widths = [zoo.load(n).posterior_layer.get_weights()[0].shape[0] for n in ("hf://me/two", first)]
    assert widths == [5, 4]
    assert first != second


class TestOffline:
    def test_the_cache_alone(self, hub, preset, monkeypatch):
        _, requests = hub
        name = zoo.push(preset, "hf://me/kept")
        zoo.load("hf://me/kept")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        requests.clear()
        same_weights(zoo.load("hf://me/kept").get_weights(), zoo.load(name).get_weights())
        assert not requests
        with pytest.raises(OSError, match="HF_HUB_OFFLINE is set. Received: 'hf://me/never'"):
            zoo.load("hf://me/never")

    def test_no_connection(self, hub, preset, monkeypatch):
        zoo.push(preset, "hf://me/kept")
        zoo.load("hf://me/kept")
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        assert zoo.info("hf://me/kept")["name"] == "tiny"
        with pytest.raises(OSError, match="cannot be fetched, and the cache.*has no copy"):
            zoo.load("hf://me/never")

    def test_without_the_library(self, hub, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
        with pytest.raises(ImportError, match=r"keras-vae\[hub\]"):
            zoo.load("hf://me/any")


class TestRefused:
    @pytest.mark.parametrize(
        "name",
        [
            *("hf://", "hf://a", "hf://a/b//c", "hf://a/b/../c", "hf://a/b/c/d/e", "hf://../b"),
            *(
                "hf://a/..",
                "hf://a/b@../c",
                "hf://a/b c",
                "hf://a--b/c",
                "hf://a/b/.c",
                "hf://a/b/",
            ),
        ],
    )
    def test_other_names(self, hub, name):
        with pytest.raises(ValueError, match="is named hf://user/repo"):
            zoo.load(name)
        assert not hub[1] and not hub_module.cache().exists()

    def test_a_repository_that_is_not_there(self, hub):
        with pytest.raises(ValueError, match="no such repository.*Received: 'hf://me/none'"):
            zoo.load("hf://me/none")

    def test_a_repository_without_a_preset(self, hub):
        hub[0]["me/other"] = [("a" * 40, {"README.md": b"x"})]
        with pytest.raises(ValueError, match="no preset: no config.json, metadata.json"):
            zoo.load("hf://me/other")

    def test_a_changed_file_never_enters_the_cache(self, hub, preset):
        files = files_of(preset)
        files["model.weights.h5"] = files["model.weights.h5"][:-1] + b"x"
        hub[0]["me/changed"] = [("b" * 40, files)]
        with pytest.raises(ValueError, match="model.weights.h5 is damaged or was changed"):
            zoo.load("hf://me/changed")
        assert not list(hub_module.cache().rglob("*.h5"))

    def test_a_stranger_executes_nothing(self, hub, preset):
        files = files_of(preset)
        config = json.loads(files["config.json"])
        config["config"]["prior"] = {"module": "os", "class_name": "system", "config": "false"}
        files["config.json"] = json.dumps(config).encode()
        metadata = json.loads(files["metadata.json"])
        metadata["sha256"]["config.json"] = (
            __import__("hashlib").sha256(files["config.json"]).hexdigest()
        )
        files["metadata.json"] = json.dumps(metadata).encode()
        hub[0]["me/evil"] = [("c" * 40, files)]
        with pytest.raises(ValueError, match="Nothing was executed"):
            zoo.load("hf://me/evil")

    def test_a_preset_of_terabytes(self, hub, preset, monkeypatch):
        monkeypatch.setattr(hub_module, "MOST_BYTES", 1000)
        zoo.push(preset, "hf://me/large")
        with pytest.raises(ValueError, match="larger than 1,000 bytes"):
            zoo.load("hf://me/large")


def fetched(requests):
    """The files that were downloaded."""
    return [
        path.split("/resolve/")[1].split("/", 1)[1]
        for method, path in requests
        if method == "GET" and "/resolve/" in path
    ]


class TestDiffusers:
    @pytest.fixture
    def files(self, tmp_path):
        return files_of(diffusers_folders.folder(tmp_path / "theirs"))

    def loads(self, name):
        same_arrays(zoo.diffusers.tensors_of(zoo.load(name)), diffusers_folders.tensors())

    def test_only_what_is_needed_is_fetched(self, hub, files):
        weights = files["diffusion_pytorch_model.safetensors"]
        more = {
            f"diffusion_pytorch_model.{end}": weights
            for end in ("bin", "fp16.safetensors", "fp16.bin", "bf16.safetensors", "ckpt")
        }
        hub[0]["me/kl"] = [("a" * 40, {**files, **more, "README.md": b"x", "big/x.bin": b"y"})]
        self.loads("hf://me/kl")
        assert sorted(set(fetched(hub[1]))) == sorted(files)
        hub[1].clear()
        self.loads("hf://me/kl@" + "a" * 40)
        assert not fetched(hub[1])
        assert zoo.info("hf://me/kl")["name"] == "hf://me/kl"

    def test_parts_and_a_variant(self, hub, tmp_path):
        fuzz_diffusers.base(tmp_path)
        parts = files_of(tmp_path / "parts")
        beside = {"diffusion_pytorch_model-00001-of-00009.safetensors": b"other"}
        hub[0]["me/parts"] = [("a" * 40, {**parts, **beside})]
        self.loads("hf://me/parts")
        assert sorted(set(fetched(hub[1]))) == sorted(parts)

    def test_a_pipeline_and_its_folder(self, hub, files, monkeypatch):
        nested = {f"vae/{name}": content for name, content in files.items()}
        other = {"model_index.json": b"{}", "unet/config.json": b"{}", "unet/x.safetensors": b"x"}
        hub[0]["me/pipe"] = [("a" * 40, {**nested, **other})]
        self.loads("hf://me/pipe")
        assert sorted(set(fetched(hub[1]))) == sorted(nested)
        self.loads("hf://me/pipe/vae")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        hub[1].clear()
        for name in ("hf://me/pipe", "hf://me/pipe/vae", "hf://me/pipe/vae@" + "a" * 40):
            self.loads(name)
        assert not hub[1]
        with pytest.raises(OSError, match="HF_HUB_OFFLINE is set. Received: 'hf://me/pipe/unet'"):
            zoo.load("hf://me/pipe/unet")

    def test_pipelines_in_pipelines(self, hub):
        deep = {"vae/" * i + "model_index.json": b"{}" for i in range(2000)}
        hub[0]["me/deep"] = [("a" * 40, deep)]
        with pytest.raises(ValueError, match="holds no preset.*Received: 'model_index.json'"):
            zoo.load("hf://me/deep")

    def test_each_folder_has_a_reference_of_its_own(self, hub, files, monkeypatch):
        first = {f"{part}/{name}": files[name] for part in ("a", "b") for name in files}
        hub[0]["me/two"] = [("a" * 40, first)]
        self.loads("hf://me/two/a")
        hub[0]["me/two"].append(("b" * 40, first))
        self.loads("hf://me/two/b")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert zoo.folder("hf://me/two/a").name == "a" * 40 + "@a"
        assert zoo.folder("hf://me/two/b").name == "b" * 40 + "@b"

    def test_refused_before_the_weights_are_fetched(self, hub, files, monkeypatch):
        config = json.loads(files["config.json"])
        wan = json.dumps({**config, "_class_name": "AutoencoderKLWan"}).encode()
        hub[0]["me/wan"] = [("a" * 40, {**files, "config.json": wan})]
        with pytest.raises(ValueError, match="AutoencoderKL, AutoencoderTiny, VQModel. Received"):
            zoo.load("hf://me/wan")
        assert set(fetched(hub[1])) == {"config.json"}
        pickled = {"config.json": files["config.json"], "diffusion_pytorch_model.bin": b"x"}
        hub[0]["me/pickle"] = [("a" * 40, pickled)]
        hub[1].clear()
        with pytest.raises(ValueError, match="A pickle can execute code"):
            zoo.load("hf://me/pickle")
        assert not fetched(hub[1])
        hub[0]["me/kl"] = [("a" * 40, files)]
        monkeypatch.setattr(hub_module, "MOST_BYTES", 1000)
        with pytest.raises(ValueError, match="larger than 1,000 bytes"):
            zoo.load("hf://me/kl")
        assert set(fetched(hub[1])) == {"config.json"}

    def test_a_damaged_file_never_enters_the_cache(self, hub, files):
        name = "diffusion_pytorch_model.safetensors"
        hub[0]["me/cut"] = [("a" * 40, {**files, name: files[name][:-4]})]
        with pytest.raises(ValueError, match="not one of safetensors, or it is damaged"):
            zoo.load("hf://me/cut")
        assert not list(hub_module.cache().rglob("*.safetensors"))

    def test_pushed_as_a_folder_of_diffusers(self, hub, files, tmp_path):
        source = diffusers_folders.folder(tmp_path / "kl")
        (source / "diffusion_pytorch_model.bin").write_bytes(b"x")
        name = zoo.push(source, "hf://me/kl/vae")
        assert name == f"hf://me/kl/vae@{hub[0]['me/kl'][-1][0]}"
        pushed = hub[0]["me/kl"][-1][1]
        assert sorted(pushed) == sorted(f"vae/{file}" for file in (*files, "README.md"))
        self.loads("hf://me/kl/vae")
        zoo.push(zoo.load(source), "hf://me/again", {"licence": "MIT"}, format="diffusers")
        self.loads("hf://me/again")
        head = huggingface_hub.ModelCard(hub[0]["me/again"][-1][1]["README.md"].decode()).data
        assert (head.library_name, head.license) == ("diffusers", "mit")


class TestCards:
    def test_a_pushed_card_has_a_head(self, hub):
        metrics = [{"title": "NLL", "value": 83.2, "unit": "nats", "how": "test", "digits": 2}]
        data = {"data": "MNIST (LeCun), CC", "licence": "MIT", "metrics": metrics}
        zoo.push(tiny(), "hf://me/blobs", data)
        card = huggingface_hub.ModelCard(hub[0]["me/blobs"][-1][1]["README.md"].decode())
        assert card.data.library_name == "keras" and card.data.license == "mit"
        assert card.data.pipeline_tag == "unconditional-image-generation"
        assert card.data.datasets == ["ylecun/mnist"] and card.data.model_name == "blobs"
        (result,) = card.data.eval_results
        assert (result.metric_type, result.metric_value) == ("nll", 83.2)
        assert "zoo.load('hf://me/blobs')" in card.text

    def test_a_head_that_is_there_stays(self, hub, preset, tmp_path):
        source = shutil.copytree(preset, tmp_path / "mine")
        (source / "README.md").write_text("---\nlicense: gpl-3.0\n---\n\n# Mine\n")
        zoo.push(source, "hf://me/mine")
        assert hub[0]["me/mine"][-1][1]["README.md"] == (source / "README.md").read_bytes()
        (source / "README.md").write_text("# Mine\n")
        zoo.push(source, "hf://me/mine")
        text = hub[0]["me/mine"][-1][1]["README.md"].decode()
        assert text.startswith("---\nlibrary_name") and text.endswith("---\n\n# Mine\n")
        assert (source / "README.md").read_text() == "# Mine\n"

    def test_exports_beside(self, hub, monkeypatch):
        def export(model, folder):
            (folder / "model.tflite").write_bytes(f"{model.latent_dim}".encode())

        monkeypatch.setitem(presets.exporters, "tflite", export)
        zoo.push(tiny(), "hf://me/phone", exports=("tflite",))
        assert hub[0]["me/phone"][-1][1]["model.tflite"] == b"2"
        with pytest.raises(ValueError, match="tflite, onnx, saved_model. Received: 'coreml'"):
            zoo.push(tiny(), "hf://me/phone", exports=("coreml",))

    def test_keras_loads_a_preset_of_the_hub_as_its_card_says(self, hub, preset, monkeypatch):
        """`library_name: keras` has the hub show `keras.saving.load_model("hf://...")`."""
        zoo.push(preset, "hf://me/blobs")
        monkeypatch.setattr(
            huggingface_hub, "snapshot_download", lambda *_, **__: str(zoo.folder("hf://me/blobs"))
        )
        model = keras.saving.load_model("hf://me/blobs")
        same_weights(model.get_weights(), tiny().get_weights())


@pytest.mark.once
class TestPlaces:
    """No two folders of the hub share one in the cache, also where case makes no difference."""

    NAMES = (
        "hf://a/b",
        "hf://a/b/c",
        "hf://a/b/c/d",
        "hf://a/b/C",
        "hf://a/b@c",
        "hf://a/b@C",
        "hf://a/b@main.ref",
        "hf://a/b/main.ref",
        "hf://a-b/c",
        "hf://a/b-c",
        "hf://a_/b",
    )

    def test_they_are_apart(self):
        places = set()
        for name in self.NAMES:
            repository, inner, revision = hub_module.parse(name)
            root = hub_module.cache() / repository
            places.add(str(hub_module._place(root, "a" * 40, inner)).lower())
            places.add(str(hub_module._reference(root, revision, inner)).lower())
        # Revisions of one folder share the folder of a commit: three names of `a/b` here.
        assert len(places) == 2 * len(self.NAMES) - 3

    @pytest.mark.parametrize("name", ["hf://a--b/c", "hf://a/b--c", "hf://a/b.", "hf://a./b"])
    def test_names_that_the_hub_does_not_have(self, name):
        with pytest.raises(ValueError, match="A preset of the hub is named"):
            hub_module.parse(name)
