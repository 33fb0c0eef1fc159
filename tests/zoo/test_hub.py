"""Presets of the Hugging Face Hub, from a server on this machine that speaks its protocol."""

import json

import pytest

pytest.importorskip("huggingface_hub")

from keras_vae import zoo
from keras_vae.zoo import hub as hub_module
from tests.support import hub_server  # noqa: E402
from tests.support.presets import same_weights, tiny

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
        ["hf://", "hf://a", "hf://a/b/c", "hf://../b", "hf://a/..", "hf://a/b@../c", "hf://a/b c"],
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
