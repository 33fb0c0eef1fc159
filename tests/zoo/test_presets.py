"""Presets: saved and loaded whole, by name, or refused."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_vae import layers, likelihoods, models, posteriors, schedules, zoo
from keras_vae.zoo import presets
from tests.support import ROOT, SHAPE
from tests.support.presets import IMAGES, LABELS, VARIANTS, rewrite, same_weights, sha256, tiny


def step_of(model):
    return int(keras.ops.convert_to_numpy(model.step))


def condition_of(model):
    return None if model.condition is None else LABELS


def config_of(model):
    """The whole configuration as JSON, but how it was compiled: what a preset must keep."""
    return json.loads(
        json.dumps(keras.saving.serialize_keras_object(model)),
        object_hook=lambda value: {k: v for k, v in value.items() if k != "compile_config"},
    )


class TestRoundTrip:
    @pytest.mark.turns
    @pytest.mark.parametrize("likelihood", VARIANTS)
    @pytest.mark.parametrize("network", ["dense", "conv", "residual"])
    @pytest.mark.parametrize("kind", ["vae", "cvae"])
    def test_it_gives_the_same_model_back(self, kind, network, likelihood, tmp_path):
        model = tiny(kind, network, likelihood)
        y = condition_of(model)
        path = zoo.save(model, tmp_path / "preset")
        assert sorted(p.name for p in path.iterdir()) == [
            "config.json",
            "metadata.json",
            "model.weights.h5",
        ]
        loaded = zoo.load(path)
        same_weights(model.get_weights(), loaded.get_weights())
        assert config_of(loaded) == config_of(model)
        z = np.random.default_rng(3).standard_normal((6, 2), "float32")
        np.testing.assert_array_equal(loaded.decode(z, y), model.decode(z, y))
        np.testing.assert_array_equal(loaded.reconstruct(IMAGES, y), model.reconstruct(IMAGES, y))

    def test_its_weights_are_a_file_of_keras_deflated(self, tmp_path):
        model = models.vae((8, 8, 1), 2, units=(2048,), seed=0)
        model.set_weights([np.float16(w).astype("float32") for w in model.get_weights()])
        path = zoo.save(model, tmp_path / "preset") / "model.weights.h5"
        assert path.stat().st_size < 0.65 * 4 * model.count_params()
        other = models.vae((8, 8, 1), 2, units=(2048,), seed=1)
        other.load_weights(path)
        same_weights(model.get_weights(), other.get_weights())

    @pytest.mark.turns
    @pytest.mark.parametrize("kind, network", [("vae", "dense"), ("cvae", "conv")])
    def test_a_trained_model_leaves_its_optimizer_behind(self, kind, network, tmp_path):
        model = tiny(kind, network)
        y = condition_of(model)
        model.compile(optimizer=keras.optimizers.Adam(0.02))
        # A part that somebody has compiled carries slots of its own.
        model.encoder.compile("adam", "mse")
        model.encoder.optimizer.build(model.encoder.trainable_variables)
        model.fit(IMAGES, y, epochs=2, batch_size=3, verbose=0)
        before = model.get_weights()
        path = zoo.save(model, tmp_path / "preset")

        same_weights(before, model.get_weights())
        assert int(model.optimizer.iterations) == 4 and step_of(model) == 7 + 4
        text = (path / "config.json").read_text()
        assert "compile" not in text and "ptimizer" not in text
        with h5py.File(path / "model.weights.h5") as file:
            sizes = {}
            file.visititems(lambda n, v: sizes.update({n: getattr(v, "size", 0)}))
        assert not [name for name in sizes if "optimizer" in name]
        assert sum(sizes.values()) == model.count_params() + 2  # the generator's state

        loaded = zoo.load(path)
        same_weights(before, loaded.get_weights())
        assert not loaded.encoder.compiled
        assert type(loaded.optimizer).__name__ == "Adam" and not loaded.optimizer.built
        assert float(loaded.optimizer.learning_rate) == pytest.approx(1e-3)
        loss = loaded.fit(IMAGES, y, batch_size=3, verbose=0).history["loss"][0]
        expected = model.evaluate(IMAGES, y, verbose=0, return_dict=True)["loss"]
        assert loss == pytest.approx(expected, rel=0.1)
        assert step_of(loaded) == 7 + 6 and int(loaded.optimizer.iterations) == 2
        changed = [np.abs(a - b).max() for a, b in zip(before, loaded.get_weights()) if a.ndim]
        assert 0.0015 < max(changed) < 0.0025  # two steps of Adam at 0.001

    @pytest.mark.parametrize("seed", [0, None])
    def test_without_weights_it_is_the_same_architecture_fresh(self, seed, tmp_path):
        model = tiny(seed=seed)
        preset = zoo.save(model, tmp_path / "preset")
        (preset / "model.weights.h5").unlink()
        fresh, again = zoo.load(preset, weights=None), zoo.load(preset, weights=None)
        assert config_of(fresh) == json.loads((preset / "config.json").read_text())
        assert [w.shape for w in fresh.get_weights()] == [w.shape for w in model.get_weights()]
        kernels = [[w for w in m.get_weights() if w.ndim == 2] for m in (fresh, again, model)]
        for a, b, c in zip(*kernels):
            assert np.abs(a - c).max() > 1e-3
            # A seed is part of the architecture; without one each is another draw.
            assert (np.abs(a - b).max() > 1e-3) == (seed is None)
        assert fresh.compiled and step_of(fresh) == 0

    def test_it_compiles_only_when_asked(self, preset):
        model = zoo.load(preset, compile=False)
        assert not model.compiled
        same_weights(model.get_weights(), tiny().get_weights())
        with pytest.raises(ValueError, match="'pretrained' or None. Received: weights='mnist'"):
            zoo.load(preset, weights="mnist")

    def test_layers_with_random_state_of_their_own(self, tmp_path):
        plain = tiny()
        encoder = keras.Sequential(
            [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dropout(0.5, seed=3)]
            + [keras.layers.Dense(4), keras.layers.BatchNormalization()]
        )
        model = models.VAE(encoder, plain.decoder, plain.posterior_layer)
        model.fit(IMAGES, verbose=0)
        loaded = zoo.load(zoo.save(model, tmp_path / "preset"))
        same_weights(model.get_weights(), loaded.get_weights())
        np.testing.assert_array_equal(loaded.encode(IMAGES), model.encode(IMAGES))

    @pytest.mark.parametrize("thing", [None, "mnist_conv", keras.layers.Dense(2), VARIANTS])
    def test_what_is_no_vae_is_refused(self, thing, tmp_path):
        with pytest.raises(TypeError, match=f"Received: {type(thing).__name__}"):
            zoo.save(thing, tmp_path / "preset")
        network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        with pytest.raises(TypeError, match="keras_vae VAE .*Received: Sequential"):
            zoo.save(network, tmp_path / "preset")
        assert not list(tmp_path.iterdir())

    def test_a_model_with_foreign_layers_is_refused_when_saved(self, tmp_path):
        @keras.saving.register_keras_serializable("mine")
        class Thing(keras.layers.Flatten):
            pass

        plain = tiny()
        encoder = keras.Sequential([keras.Input(SHAPE), Thing(), keras.layers.Dense(4)])
        model = models.VAE(encoder, plain.decoder, plain.posterior_layer)
        with pytest.raises(ValueError, match="classes of keras and keras_vae only.*Thing"):
            zoo.save(model, tmp_path / "preset")
        assert not list(tmp_path.iterdir())


@pytest.mark.once
class TestNames:
    def test_list_models(self, packaged):
        assert zoo.list_models() == ["celeba_conv", "mnist_conv", "mnist_dense"]
        assert zoo.list_models("mnist_*") == ["mnist_conv", "mnist_dense"]
        assert zoo.list_models("*_conv") == ["celeba_conv", "mnist_conv"]
        assert zoo.list_models("mnist_con?") == zoo.list_models("mnist_conv") == ["mnist_conv"]
        assert zoo.list_models("[!m]*") == ["celeba_conv"]
        assert zoo.list_models("mnist") == []

    def test_unknown_names_suggest_near_ones(self, packaged, monkeypatch):
        for use in (zoo.load, zoo.info):
            with pytest.raises(ValueError, match="Did you mean 'mnist_conv'") as caught:
                use("mnist_cnv")
            assert "There are: celeba_conv, mnist_conv, mnist_dense" in str(caught.value)
        with pytest.raises(ValueError, match="No preset of that name") as caught:
            zoo.load("qqq")
        assert "Did you mean" not in str(caught.value)
        monkeypatch.setattr(presets, "_FOLDERS", ())
        with pytest.raises(ValueError, match="There are: none"):
            zoo.load("mnist_conv")

    def test_a_name_wins_over_a_folder_and_a_path_does_not(self, packaged, tmp_path, monkeypatch):
        here = tmp_path / "here"
        for name in ("mnist_conv", "my_own"):
            zoo.save(tiny(units=(5,)), here / name, {"description": "Local."})
        monkeypatch.chdir(here)
        packaged_codes = tiny().encode(IMAGES)
        local_codes = tiny(units=(5,)).encode(IMAGES)
        np.testing.assert_array_equal(zoo.load("mnist_conv").encode(IMAGES), packaged_codes)
        assert zoo.info("mnist_conv")["description"] != "Local."
        for path in ("./mnist_conv", Path("mnist_conv"), "my_own", str(here / "mnist_conv")):
            np.testing.assert_array_equal(zoo.load(path).encode(IMAGES), local_codes)
            assert zoo.info(path)["description"] == "Local."
        monkeypatch.chdir(here / "my_own")
        assert zoo.info(".")["description"] == zoo.info("../mnist_conv")["description"] == "Local."
        with pytest.raises(ValueError, match="holds no metadata.json, so it is not a preset"):
            zoo.info("..")

    def test_info(self, tmp_path):
        given = {
            "description": "Blobs.",
            "version": 3,
            "data": "made up",
            "paper": "none",
            "licence": "MIT",
            "metrics": [
                {
                    "title": "Bound",
                    "value": -81.256,
                    "standard_error": 0.126,
                    "unit": "nats",
                    "how": "5000 samples",
                },
                {"title": "Active units", "value": 2, "digits": 0, "how": "by hand"},
            ],
            # What the model itself says cannot be overruled.
            "parameters": 1,
            "latent_dim": 99,
        }
        path = zoo.save(tiny("cvae", likelihood="learned"), tmp_path / "blobs", given)
        info = zoo.info(path)
        size = (path / "model.weights.h5").stat().st_size
        assert info["format"] == 1 and info["name"] == "blobs" and info["version"] == 3
        assert info["input"] == {"shape": [8, 8, 1], "dtype": "float32", "range": [0.0, 1.0]}
        assert info["latent_dim"] == 2 and info["condition"] == "labels (3)"
        # (64 + 3) * 4 + 4, 4 * 4 + 4, (2 + 3) * 4 + 4, 4 * 64 + 64 and the variance.
        assert info["parameters"] == 272 + 20 + 24 + 320 + 1
        assert info["bytes"] == size
        assert info["sha256"] == {f: sha256(path / f) for f in ("config.json", "model.weights.h5")}
        assert info["metrics"] == given["metrics"]
        assert str(info).splitlines() == [
            "blobs (version 3): Blobs.",
            "  input      8×8×1, float32 in [0, 1]",
            "  latent     2 dimensions",
            f"  size       637 parameters, {size / 1e6:.1f} MB",
            "  condition  labels (3)",
            "  data       made up",
            "  paper      none",
            "  licence    MIT",
            "  measured   Bound: -81.26 ± 0.13 nats (5000 samples)",
            "  measured   Active units: 2 (by hand)",
            f"  sha256     {sha256(path / 'model.weights.h5')}",
        ]

    def test_info_of_a_model_of_any_numbers(self, tmp_path):
        model = models.vae((5,), 2, units=(), likelihood=likelihoods.Normal(1.0, data_range=None))
        info = zoo.info(zoo.save(model, tmp_path / "plain"))
        assert info["input"] == {"shape": [5], "dtype": "float32", "range": None}
        assert info["condition"] is None
        assert str(info).splitlines()[1:4] == [
            "  input      5, float32",
            "  latent     2 dimensions",
            f"  size       39 parameters, {info['bytes'] / 1e6:.1f} MB",
        ]


def check_golden(model, path):
    """What a model says about its golden inputs, against what was written down."""
    with np.load(path) as file:
        golden = dict(file)
    x, z, y = golden["x"], golden["z"], golden.get("condition")
    assert float(golden["tolerance"]) == pytest.approx(1e-5)
    if model.codes_are_integers:
        return check_golden_codes(model, golden)
    assert len(x) == len(z) > 0 and z.std() > 0.3
    q = model.posterior(x, y)
    absolute = {
        "mean": q.center,
        "decoded": model.decode(z, y),
        "reconstructed": model.reconstruct(x, y),
    }
    relative = {
        "log_px": model.log_px(x, z, y),
    }
    diagonal = isinstance(
        model.posterior_layer, (posteriors.DiagonalNormal, posteriors.SpatialNormal)
    )
    assert hasattr(q, "log_var") == diagonal
    if hasattr(q, "log_var"):
        absolute["log_var"] = q.log_var
    if getattr(model.prior, "fitted_alone", False):
        absolute["drawn"] = model.sample(len(x), condition=y, seed=0)
    elif model.has_bound:
        relative["log_likelihood"] = model.log_likelihood(x, 10, y, seed=0, verbose=False)
    names = {"x", "z", "tolerance", *absolute, *relative}
    assert set(golden) == names | (set() if y is None else {"condition"})
    for name, found in absolute.items():
        np.testing.assert_allclose(found, golden[name], rtol=0, atol=1e-5, err_msg=name)
    for name, found in relative.items():
        np.testing.assert_allclose(found, golden[name], rtol=1e-5, atol=0, err_msg=name)


def check_golden_codes(model, golden):
    """The same of a model whose codes are integers: those must be equal."""
    x, z, y = golden["x"], golden["z"], golden.get("condition")
    assert len(x) == len(z) > 0 and len(np.unique(z)) > 1 and z.dtype == np.int32
    np.testing.assert_array_equal(model.encode(x), golden["codes"])
    absolute = {"decoded": model.decode(z), "reconstructed": model.reconstruct(x)}
    relative = {
        "log_px": model.log_px(x, z),
        "code_log_prob": model.code_log_prob(z, y),
        "log_likelihood": model.log_likelihood(x, condition=y, seed=0),
    }
    names = {"x", "z", "codes", "tolerance", *absolute, *relative}
    assert set(golden) == names | (set() if y is None else {"condition"})
    for name, found in absolute.items():
        np.testing.assert_allclose(found, golden[name], rtol=0, atol=1e-5, err_msg=name)
    for name, found in relative.items():
        np.testing.assert_allclose(found, golden[name], rtol=1e-5, atol=0, err_msg=name)


class TestGolden:
    def test_codes_are_kept_as_integers(self, tmp_path):
        model = models.vq_vae(
            SHAPE, 4, "conv", (4, 8), num_codes=8, num_classes=3, prior_depth=1, seed=0
        )
        model.fit(IMAGES, LABELS, epochs=2, verbose=0)
        path = zoo.save(model, tmp_path / "preset", golden=(IMAGES, LABELS))
        check_golden(zoo.load(path), path / "golden.npz")
        other = zoo.load(path)
        other.quantizer.vectors.assign(-model.quantizer.lookup(np.arange(8)))
        with pytest.raises(AssertionError):
            check_golden(other, path / "golden.npz")

    @pytest.mark.turns
    @pytest.mark.parametrize("likelihood", ["dynamic", "optimal"])
    @pytest.mark.parametrize("kind", ["vae", "cvae"])
    def test_a_preset_reproduces_its_golden_values(self, kind, likelihood, tmp_path):
        model = tiny(kind, "conv", likelihood)
        inputs = (IMAGES,) if kind == "vae" else (IMAGES, LABELS)
        path = zoo.save(model, tmp_path / "preset", golden=inputs)
        with np.load(path / "golden.npz") as golden:
            np.testing.assert_array_equal(golden["x"], IMAGES)
            np.testing.assert_array_equal(golden["mean"], model.encode(*inputs))
        check_golden(zoo.load(path), path / "golden.npz")

    def test_it_notices_a_small_change_of_one_weight(self, tmp_path):
        model = tiny()
        path = zoo.save(model, tmp_path / "preset", golden=(IMAGES,))
        for i, weight in enumerate(model.get_weights()):
            if model.weights[i] is model.step:
                continue
            changed = model.get_weights()
            changed[i] = weight + 1e-3
            other = zoo.load(path)
            other.set_weights(changed)
            with pytest.raises(AssertionError):
                check_golden(other, path / "golden.npz")


@pytest.mark.once
def test_all_presets_together_are_small():
    folders = map(zoo.folder, zoo.list_models())
    assert sum(f.stat().st_size for folder in folders for f in folder.iterdir()) <= 60e6


@pytest.mark.parametrize("name", zoo.list_models())
class TestPackaged:
    # In test_backends what the three backends make of each preset agrees as closely.
    @pytest.mark.turns
    def test_it_reproduces_its_golden_values_on_this_backend(self, name):
        check_golden(zoo.load(name), zoo.folder(name) / "golden.npz")

    @pytest.mark.once
    def test_its_folder_is_complete_and_small(self, name):
        folder = zoo.folder(name)
        files = {p.name: p for p in folder.iterdir()}
        assert {
            "config.json",
            "metadata.json",
            "recipe.json",
            "model.weights.h5",
            "golden.npz",
            "README.md",
        } <= set(files)
        card = files["README.md"].read_text(encoding="utf-8")
        pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", card)
        assert card.startswith(f"# {name}\n") and pictures
        assert set(pictures) <= set(files)
        for picture in pictures:
            head = {".png": b"\x89PNG\r\n", ".jpg": b"\xff\xd8\xff"}[Path(picture).suffix]
            assert files[picture].read_bytes().startswith(head)
        sizes = {file: path.stat().st_size for file, path in files.items()}
        assert sizes.pop("model.weights.h5") <= (12e6 if name.startswith("celeba") else 3e6)
        # Pictures of faces have no empty background.
        assert sum(sizes.values()) <= (3e6 if name.startswith("celeba") else 1e6)

    @pytest.mark.once
    def test_its_metadata_is_right(self, name):
        folder, info = zoo.folder(name), zoo.info(name)
        assert info["name"] == name and info["version"] >= 1
        assert info["licence"] and info["data"] and info["paper"]
        for file in ("config.json", "model.weights.h5"):
            assert info["sha256"][file] == sha256(folder / file)
        assert info["bytes"] == (folder / "model.weights.h5").stat().st_size
        assert json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        model = zoo.load(name)
        # All but the count of training steps.
        assert info["parameters"] == model.count_params() - 1
        assert info["latent_dim"] == model.latent_dim
        assert tuple(info["input"]["shape"]) == model.data_shape
        assert (info["condition"] is None) == (model.condition is None)
        assert model.compiled and "compile_config" not in (folder / "config.json").read_text()
        assert info["sha256"]["model.weights.h5"] in str(info)


def half(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.once
class TestDamaged:
    @pytest.fixture(autouse=True)
    def unchanged(self):
        """Refusing a preset leaves alone what the caller has."""
        model = tiny()
        before, names = model.get_weights(), set(keras.saving.get_custom_objects())
        modules, policy = set(sys.modules), keras.config.dtype_policy().name
        yield
        same_weights(before, model.get_weights())
        assert set(keras.saving.get_custom_objects()) == names
        assert not {m for m in set(sys.modules) - modules if "canary" in m or "evil" in m}
        assert keras.config.dtype_policy().name == policy

    @pytest.mark.parametrize("damage", [half, flipped, lambda content: b""])
    @pytest.mark.parametrize("file", ["config.json", "model.weights.h5"])
    def test_changed_bytes(self, preset, file, damage):
        (preset / file).write_bytes(damage((preset / file).read_bytes()))
        with pytest.raises(ValueError, match=f"^{file} is damaged or was changed") as caught:
            zoo.load(preset)
        assert sha256(preset / file) in str(caught.value)

    @pytest.mark.parametrize("file", ["config.json", "metadata.json", "model.weights.h5"])
    def test_a_missing_file(self, preset, file):
        (preset / file).unlink()
        with pytest.raises(ValueError, match=f"(lacks|holds no) {file}"):
            zoo.load(preset)

    @pytest.mark.parametrize("file", ["config.json", "model.weights.h5"])
    @pytest.mark.parametrize("expected", [None, "0" * 64])
    def test_a_wrong_hash(self, preset, file, expected):
        metadata = json.loads((preset / "metadata.json").read_text())
        metadata["sha256"][file] = expected
        (preset / "metadata.json").write_text(json.dumps(metadata))
        with pytest.raises(ValueError, match=f"{file} is damaged.*Expected: {expected}"):
            zoo.load(preset)

    @pytest.mark.parametrize("content", [b"", b"{", b"not json", b"\xff\xfe", b"[]", b"3", b"null"])
    @pytest.mark.parametrize("file", ["metadata.json", "config.json"])
    def test_what_is_no_json_of_a_dict(self, preset, file, content):
        if file == "config.json":
            rewrite(preset, file, content)
        else:
            (preset / file).write_bytes(content)
        with pytest.raises(ValueError, match=f"preset's {file} (cannot be read|must hold a dict)"):
            zoo.load(preset)

    @pytest.mark.parametrize("key", ["sha256", "input", "parameters", "name"])
    def test_incomplete_metadata(self, preset, key):
        metadata = json.loads((preset / "metadata.json").read_text())
        (preset / "metadata.json").write_text(json.dumps({**metadata, "sha256": "abc"}))
        with pytest.raises(ValueError, match="incomplete. Received: no sha256"):
            zoo.load(preset)
        del metadata[key]
        (preset / "metadata.json").write_text(json.dumps(metadata))
        for use in (zoo.info, zoo.load):
            with pytest.raises(ValueError, match=f"incomplete. Received: no {key} in"):
                use(preset)

    def test_a_format_of_the_future(self, preset):
        metadata = json.loads((preset / "metadata.json").read_text())
        (preset / "metadata.json").write_text(json.dumps({**metadata, "format": 2}))
        with pytest.raises(ValueError, match="update it. Expected: 1. Received: 2"):
            zoo.load(preset)

    @pytest.mark.parametrize("damage", [half, lambda content: b"", lambda content: b"not HDF5"])
    def test_damaged_weights_with_the_right_hash(self, preset, damage):
        content = (preset / "model.weights.h5").read_bytes()
        rewrite(preset, "model.weights.h5", damage(content))
        with pytest.raises(ValueError, match="weights do not fit .* or the file is damaged"):
            zoo.load(preset)
        assert zoo.load(preset, weights=None).encode(IMAGES).shape == (6, 2)

    @pytest.mark.filterwarnings("ignore:Skipping nested container")
    @pytest.mark.parametrize(
        "own, other",
        [
            ({}, {"units": (5,)}),
            ({}, {"units": (4, 4)}),
            ({"units": (4, 4)}, {}),
            ({}, {"kind": "cvae"}),
            # Keras takes from these files what it finds and leaves the rest: no error.
            ({}, {"likelihood": "learned"}),
            ({"network": "conv"}, {"network": "residual"}),
        ],
    )
    def test_the_weights_of_another_model(self, own, other, tmp_path):
        path = zoo.save(tiny(**own), tmp_path / "own")
        foreign = zoo.save(tiny(**other), tmp_path / "other")
        rewrite(path, "model.weights.h5", (foreign / "model.weights.h5").read_bytes())
        with pytest.raises(ValueError, match="The weights do not fit the configuration"):
            zoo.load(path)

    @pytest.mark.parametrize(
        "change",
        [
            lambda config: config["config"].pop("decoder"),
            lambda config: config["config"].update(prior=None, posterior=3),
            lambda config: config["config"].update(latent=2),
            lambda config: config["config"]["likelihood"]["config"].update(dynamic={"a": []}, b=1),
            lambda config: config.update(config["config"]["encoder"]),
            lambda config: config.clear(),
        ],
    )
    def test_a_configuration_of_no_vae(self, preset, change):
        config = json.loads((preset / "config.json").read_text())
        change(config)
        rewrite(preset, "config.json", json.dumps(config))
        with pytest.raises(ValueError, match="The configuration describes no (model|VAE)"):
            zoo.load(preset)


def full_disk(*args, **kwargs):
    raise OSError("No space left on device")


@pytest.mark.once
class TestAtomic:
    @pytest.mark.parametrize(
        "target",
        [
            "numpy.savez_compressed",
            "pathlib.Path.write_text",
            "pathlib.Path.write_bytes",
            "os.mkdir",
            "keras.Model.save_weights",
            "tempfile.mkdtemp",
        ],
    )
    @pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
    def test_a_full_disk_keeps_the_previous_preset(self, preset, target, error, monkeypatch):
        before = {p.name: p.read_bytes() for p in preset.iterdir()}

        def fail(*args, **kwargs):
            raise error("No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(target, fail)
            with pytest.raises(error, match="No space left"):
                zoo.save(tiny(units=(5,)), preset, golden=(IMAGES,), files={"note": "text"})
        assert {p.name: p.read_bytes() for p in preset.iterdir()} == before
        assert [p.name for p in preset.parent.iterdir()] == [preset.name]
        np.testing.assert_array_equal(zoo.load(preset).encode(IMAGES), tiny().encode(IMAGES))
        # And the next one succeeds.
        path = zoo.save(tiny(units=(5,)), preset, golden=(IMAGES,), files={"note": "text"})
        assert path == preset and (path / "note").read_text() == "text"
        np.testing.assert_array_equal(
            zoo.load(preset).encode(IMAGES), tiny(units=(5,)).encode(IMAGES)
        )
        assert [p.name for p in preset.parent.iterdir()] == [preset.name]

    def test_a_new_preset_appears_whole_or_not_at_all(self, tmp_path, monkeypatch):
        monkeypatch.setattr(np, "savez_compressed", full_disk)
        with pytest.raises(OSError, match="No space left"):
            zoo.save(tiny(), tmp_path / "new", golden=(IMAGES,))
        assert not list(tmp_path.iterdir())

    def test_an_interruption_between_the_renames_is_recovered(self, preset, monkeypatch):
        replace = os.replace

        def interrupted(source, target):
            if Path(target) == preset:
                raise OSError("No space left on device")
            replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", interrupted)
            with pytest.raises(OSError, match="No space left"):
                zoo.save(tiny(units=(5,)), preset)
        assert [p.name for p in preset.parent.iterdir()] == [".preset.previous"]
        assert zoo.info(preset)["name"] == "tiny"
        np.testing.assert_array_equal(zoo.load(preset).encode(IMAGES), tiny().encode(IMAGES))
        # Reading renames nothing; the next save does.
        assert [p.name for p in preset.parent.iterdir()] == [".preset.previous"]
        zoo.save(tiny(units=(5,)), preset)
        assert [p.name for p in preset.parent.iterdir()] == ["preset"]

    def test_a_packaged_preset_is_recovered_by_its_name(self, packaged):
        (packaged / "mnist_conv").rename(packaged / ".mnist_conv.previous")
        assert "mnist_conv" not in zoo.list_models()
        np.testing.assert_array_equal(zoo.load("mnist_conv").encode(IMAGES), tiny().encode(IMAGES))
        zoo.save(tiny(), packaged / "mnist_conv")
        assert "mnist_conv" in zoo.list_models()

    def test_an_old_copy_beside_a_new_one_is_removed(self, preset):
        shutil.copytree(preset, preset.with_name(".preset.previous"))
        (preset.with_name(".preset.previous") / "metadata.json").write_text("{}")
        assert zoo.info(preset)["name"] == "tiny"
        assert sorted(p.name for p in preset.parent.iterdir()) == [".preset.previous", "preset"]
        zoo.save(tiny(), preset)
        assert [p.name for p in preset.parent.iterdir()] == ["preset"]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_read_only_folder(self, preset):
        preset.parent.chmod(0o555)
        try:
            with pytest.raises(OSError):
                zoo.save(tiny(units=(5,)), preset)
            with pytest.raises(OSError):
                zoo.save(tiny(), preset.parent / "new")
        finally:
            preset.parent.chmod(0o755)
        np.testing.assert_array_equal(zoo.load(preset).encode(IMAGES), tiny().encode(IMAGES))

    def test_a_folder_that_is_no_preset_is_never_replaced(self, tmp_path, monkeypatch):
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
        (tmp_path / "file").write_text("a file")
        monkeypatch.chdir(tmp_path / "thesis")
        for path in (".", "../thesis", tmp_path / "thesis", tmp_path / "file", tmp_path):
            with pytest.raises(FileExistsError, match="delete what is there"):
                zoo.save(tiny(), path)
        assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
        assert (tmp_path / "file").read_text() == "a file"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "thesis"]

    def test_an_empty_folder_or_one_with_a_recipe_is_filled(self, tmp_path):
        for name in ("empty", "planned"):
            (tmp_path / name).mkdir()
        (tmp_path / "planned" / "recipe.json").write_text("{}")
        for name in ("empty", "planned", "deep/er"):
            path = zoo.save(tiny(), tmp_path / name)
            np.testing.assert_array_equal(zoo.load(path).encode(IMAGES), tiny().encode(IMAGES))


def child(code, *arguments):
    """Standard output of code in a fresh process with this backend."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": keras.backend.backend(),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
class TestFreshProcess:
    def test_importing_it_costs_little_beside_keras(self):
        code = (
            "import time, keras; start = time.process_time(); import keras_vae;"
            "print(time.process_time() - start)"
        )
        # Of the processor's time, and the best of up to nine: waiting for a core that another
        # process has is no cost of the package.
        times = []
        while len(times) < 9 and min(times, default=1.0) >= 0.3:
            times.append(float(child(code)))
        assert min(times) < 0.3

    def test_importing_it_registers_every_class(self, tmp_path):
        wanted = {
            f"keras_vae>{name}"
            for file in (ROOT / "keras_vae").rglob("*.py")
            for name in re.findall(r"^@register\nclass (\w+)", file.read_text(), re.MULTILINE)
        }
        assert {"keras_vae>VAE", "keras_vae>Linear", "keras_vae>Sampling"} <= wanted
        mean = keras.Input((2,))
        sampling = keras.Model(mean, layers.Sampling(seed=1)((mean, mean)))
        made = {
            "linear": tiny(beta=schedules.Linear(0.0, 1.0, 10)),
            "cyclical": tiny(
                network="conv", likelihood="optimal", beta=schedules.Cyclical(0.0, 1.0, 10)
            ),
            "labels": tiny("cvae", "residual"),
            "attributes": models.cvae(SHAPE, 2, units=(4,), condition_dim=2, seed=0),
            "sampling": sampling,
        }
        for name, model in made.items():
            model.save(tmp_path / f"{name}.keras")
        code = (
            "import json, sys, pathlib, numpy, keras_vae, keras;"
            "folder = pathlib.Path(sys.argv[1]);"
            "loaded = {p.stem: keras.saving.load_model(p) for p in folder.glob('*.keras')};"
            "numpy.savez(folder / 'w.npz', **{f'{n} {i}': w for n, m in loaded.items()"
            " for i, w in enumerate(m.get_weights())});"
            "print(json.dumps([list(keras.saving.get_custom_objects()),"
            " {n: type(m).__module__ for n, m in loaded.items()}]))"
        )
        registered, classes = json.loads(child(code, tmp_path).splitlines()[-1])
        assert wanted <= set(registered)
        assert classes.pop("sampling").startswith("keras.")
        assert classes == dict.fromkeys(set(made) - {"sampling"}, "keras_vae.models.vae")
        with np.load(tmp_path / "w.npz") as found:
            for name, model in made.items():
                for i, weight in enumerate(model.get_weights()):
                    np.testing.assert_array_equal(found[f"{name} {i}"], weight)
