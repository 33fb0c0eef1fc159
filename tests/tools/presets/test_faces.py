"""Recipes of face presets, in small: a critic, a fitted prior, and no photograph kept."""

import json
import types

import keras
import numpy as np
import pytest

from keras_vae import datasets, priors, zoo
from tools.judges import attributes
from tools.presets import edits, evaluate, faces
from tools.presets import train as training

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.once

NAMES = datasets.CELEBA_ATTRIBUTES
SHAPE = (16, 16, 3)
RECIPE = {
    "description": "A small VAE of faces.",
    "model": {
        "function": "cvae",
        "arguments": {
            "input_shape": SHAPE,
            "latent_dim": 3,
            "network": "conv",
            "units": [4, 8],
            "hidden": 0,
            "stages": "strided",
            "film": True,
            "output_activation": "sigmoid",
            "likelihood": "optimal_normal",
            "condition_dim": 40,
            "condition_names": NAMES,
            "seed": 0,
        },
    },
    "data": "celeb_a_64",
    "data_terms": "not to be given away",
    "paper": "A paper",
    "licence": "Non-commercial research only",
    "training": {
        "backend": "any",
        "epochs": 2,
        "batch_size": 50,
        "learning_rate": 0.002,
        "weight_average": 0.9,
        "mirror": True,
        "fitted_prior": True,
        "verbose": 0,
        "critic": {"attributes": ["Smiling", "Male"], "others_share": 0.1, "width": 4},
    },
    "evaluation": {"samples": 3},
}


def photographs(split, n):
    rng = np.random.default_rng([7, datasets.SPLITS.index(split)])
    x = rng.random((n, *SHAPE), dtype="float32")
    return x, (rng.random((n, 40)) < 0.4).astype("float32")


@pytest.fixture
def offline(monkeypatch):
    def load(name, split="train", *, limit=None, **kwargs):
        x, y = photographs(split, 120)
        return datasets.Data(x[:limit], y[:limit])

    def classifier(name, data=None):
        keras.utils.set_random_seed(len(name))
        layers = keras.layers
        return keras.Sequential(
            [keras.Input(SHAPE), layers.Flatten(), layers.Dense(16), layers.Dense(40)]
        )

    monkeypatch.setattr(datasets, "load", load)
    monkeypatch.setattr(attributes, "classifier", classifier)


def written(tmp_path, recipe):
    path = tmp_path / "celeba_small"
    path.mkdir()
    (path / "recipe.json").write_text(json.dumps(recipe))
    return training.train(path)


@pytest.mark.filterwarnings("ignore:.*Fréchet distance is biased")
def test_a_taught_model_is_trained_measured_and_saved_without_photographs(tmp_path, offline):
    path = written(tmp_path, RECIPE)
    model, info = zoo.load(path), zoo.info(path)
    assert type(model).__name__ == "VAE" and isinstance(model.prior, priors.LinearNormal)
    assert np.abs(keras.ops.convert_to_numpy(model.prior.slope)).max() > 0
    assert info["training"]["epochs"] == 2
    assert not any("classifier" in w.path or "critic" in w.path for w in model.weights)
    with np.load(path / "golden.npz") as golden:
        np.testing.assert_array_equal(golden["condition"], faces.attributes(8))
        drawn = model.sample(8, condition=faces.attributes(8), seed=0)
        assert np.abs(golden["x"] - drawn).max() <= 0.5 / 255 + 1e-6
        for split in datasets.SPLITS:
            distance = np.abs(golden["x"][:, None] - photographs(split, 120)[0]).mean((2, 3, 4))
            assert distance.min() > 0.05
    card = (path / "README.md").read_text()
    assert "attributes.jpg" in card and "strengths.jpg" in card and "reconstructions" not in card
    found = {m["title"]: m["value"] for m in evaluate.evaluate(path)}
    assert 0 <= found["asked attribute read, mean of both directions"] <= 100
    assert {f"{name} read when switched on" for name in faces.SWITCHED} <= set(found)
    assert found["PSNR of the border"] > 0
    mean, least = (v for t, v in found.items() if t.startswith("effect size of edits"))
    assert mean == found["effect size of edits, mean of attributes"] and least < mean
    assert found["Fréchet distance of edits"] > found["Fréchet distance of the validation split"]
    # Of half as many pictures it is further, as they are the same noise.
    halves = found["Fréchet distance of two halves of the real faces"]
    assert found["Fréchet distance of the validation split"] < halves
    # Both splits are the same noise; what was hardly trained draws something else.
    nearest = found["Fréchet distance of the validation split"]
    assert 0 <= nearest < found["Fréchet distance of samples"]
    assert "Smiling read when switched on" in (path / "README.md").read_text()


@pytest.mark.filterwarnings("ignore:.*Fréchet distance is biased")
def test_a_model_of_maps_is_taught_by_a_critic_and_gets_a_prior(tmp_path, offline):
    recipe = json.loads(json.dumps(RECIPE))
    recipe["model"]["arguments"] |= {
        "latent_dim": 2,
        "network": "residual",
        "maps": True,
        "prior": keras.saving.serialize_keras_object(
            priors.FlowMatching((4, 4, 2), 40, width=8, depth=1, heads=2, steps=2, seed=0)
        ),
    }
    del recipe["training"]["fitted_prior"]
    recipe["training"] |= {
        "last": True,
        "precision": "mixed_bfloat16",
        "prior": {"epochs": 2, "learning_rate": 0.01, "last": False, "mirrored": True},
        "critic": {"width": 4, "weights": {"control": 0.0}},
    }
    # What takes long is measured of the first examples, or on request.
    recipe["evaluation"] |= {"measures": ["reconstruction", "attributes", "pictures"], "edited": 70}
    path = written(tmp_path, recipe)
    model, info = zoo.load(path), zoo.info(path)
    assert type(model).__name__ == "SpatialVAE" and isinstance(model.prior, priors.FlowMatching)
    # Trained in half precision, and kept in single.
    assert model.encoder.layers[-1].compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    assert np.abs(keras.ops.convert_to_numpy(model.prior.mean)).max() > 0
    assert info["training"]["epochs"] == 2 and info["training"]["last"]
    assert info["training"]["prior"]["epochs"] == 2
    assert not any("critic" in w.path for w in model.weights)
    with np.load(path / "golden.npz") as golden:
        drawn = model.sample(8, condition=faces.attributes(8), seed=0)
        assert np.abs(golden["x"] - drawn).max() <= 0.5 / 255 + 1e-6
    card = (path / "README.md").read_text()
    assert "attributes.jpg" in card and "strengths.jpg" in card and "reconstructions" not in card
    assert "prior_training.png" in card and "squared error a map" in card
    found = {m["title"]: m for m in evaluate.evaluate(path)}
    asked = found["asked attribute read, mean of both directions"]
    assert 0 <= asked["value"] <= 100 and asked["n"] == 70 and "test, n = 70, one" in asked["how"]
    assert found["active units of 32"]["value"] <= 32
    assert found["reconstruction MSE"]["n"] == 120 and not any("NLL" in t for t in found)
    for name, n in (("edits", 70), ("samples", 120)):
        distance = found[f"Fréchet distance of {name}"]
        assert distance["n"] == 120 and f"{n} images" in distance["how"]


@pytest.mark.filterwarnings("ignore:.*Fréchet distance is biased")
def test_the_twins_have_directions_and_the_autoencoder_no_bound(tmp_path, offline):
    recipe = json.loads(json.dumps(RECIPE))
    del recipe["training"]["critic"]
    recipe["training"]["directions"] = NAMES
    for name in ("film", "condition_dim", "condition_names"):
        del recipe["model"]["arguments"][name]
    recipe["model"]["function"] = "autoencoder"
    path = written(tmp_path, recipe)
    model = zoo.load(path)
    x, y = photographs("train", 120)
    smiles = y[:, NAMES.index("Smiling")] > 0.5
    codes = model.encode(x)
    expected = codes[smiles].mean(0) - codes[~smiles].mean(0)
    np.testing.assert_allclose(model.directions.vector("Smiling"), expected, atol=1e-5)
    assert model.sample(3, seed=0).shape == (3, *SHAPE)
    titles = [m["title"] for m in evaluate.evaluate(path)]
    assert "reconstruction MSE" in titles and not any("ELBO" in t for t in titles)


class TestEdits:
    """Measures of a model whose edits are known: pixel k holds attribute k."""

    NAMES = (*faces.SWITCHED, "Bald")

    @pytest.fixture
    def model(self):
        def edit(x, y, **changes):
            edited = x.copy()
            for name, value in changes.items():
                edited[:, self.NAMES.index(name)] = value
            return edited

        return types.SimpleNamespace(
            condition=types.SimpleNamespace(names=self.NAMES, index=self.NAMES.index),
            edit=edit,
            reconstruct=lambda x, y: x,
            takes_attributes=True,
        )

    def test_each_face_has_one_attribute_switched_in_turn(self, model, rng):
        y = (rng.random((23, 11)) < 0.5).astype("float32")
        switched = edits.switched(model, y, y)
        where = np.argwhere(switched != y)
        np.testing.assert_array_equal(where, [(i, i % 10) for i in range(23)])

    def test_smiles_are_counted_each_way(self, model, monkeypatch):
        # The judge is right but for two faces, which smile for ever and never.
        y = np.zeros((10, 11), "float32")
        y[6:, 0] = 1.0

        def read(pictures):
            score = pictures[:, 0] - 0.5
            score[0], score[9] = 1.0, -1.0
            return score

        monkeypatch.setattr(edits.detector, "detector", lambda data: read)
        entries = {}

        def entry(title, value, how, **kwargs):
            entries[title] = value, how

        case = types.SimpleNamespace(model=model, x=y, y=y, recipe={"data": "any"}, entry=entry)
        edits.smiles(case)
        on, off = (
            entries[f"smile detector: asked {what}"] for what in ("to smile", "not to smile")
        )
        assert on[0] == 100 and off[0] == 100
        # 5 of 6 and 3 of 4 are right as they are.
        real = 100 * (5 / 6 + 3 / 4) / 2
        assert f"{real:.1f} % right" in on[1] and "6 faces, 16.7 % read so unedited" in on[1]
        assert "4 faces, 25.0 % read so unedited" in off[1]
        model.edit = lambda x, y, **changes: x
        edits.smiles(case)
        assert entries["smile detector: asked to smile"][0] == pytest.approx(100 / 6)
        assert entries["smile detector: asked not to smile"][0] == 25

    def test_smiles_of_a_model_without_them(self, model):
        model.condition.names = ("Bald",)
        assert edits.smiles(types.SimpleNamespace(model=model, x=None, y=None)) == []


def test_people_are_written_with_known_attributes():
    y = faces.attributes(20)
    assert y.shape == (20, 40) and set(np.unique(y)) == {0, 1}
    np.testing.assert_array_equal(y[8:16], y[:8])
    assert len(np.unique(y[:8], axis=0)) == 8
    assert y[1, NAMES.index("Male")] == 1 and y[0, NAMES.index("Smiling")] == 1
    assert set(faces.SWITCHED) <= set(NAMES)
    # Nobody both has a beard and has none.
    bearded = y[:, [NAMES.index(n) for n in ("Goatee", "Mustache", "Sideburns")]].any(1)
    assert not (bearded & (y[:, NAMES.index("No_Beard")] > 0)).any()


def test_mirrored_batches_hold_every_picture_once_and_half_of_them_turned():
    x, y = photographs("train", 101)
    source = training.Mirrored(x, y, 20, seed=3)
    turned = 0
    for _ in range(2):
        seen = np.zeros(101, int)
        for i in range(len(source)):
            for picture, own in zip(*source[i], strict=True):
                row = int(np.flatnonzero((y == own).all(1))[0])
                straight = np.array_equal(picture, x[row])
                assert straight or np.array_equal(picture, x[row][:, ::-1])
                turned += not straight
                seen[row] += 1
        assert (seen == 1).all()
        source.on_epoch_end()
    assert 70 < turned < 132
    np.testing.assert_array_equal(x, photographs("train", 101)[0])


def test_balanced_accuracy_counts_both_kinds_alike():
    y = np.array([[1], [1], [1], [0]], "float32")
    scores = np.array([[1.0], [-1.0], [2.0], [-3.0]])
    assert attributes.balanced_accuracy(scores, y)[0] == pytest.approx((2 / 3 + 1) / 2)


def test_calibration_finds_the_threshold_between_two_groups(rng):
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(inputs))
    y = (rng.random((4000, 1)) < 0.05).astype("float32")
    x = (np.where(y > 0, 1.0, -3.0) + rng.normal(size=y.shape)).astype("float32")
    attributes._calibrate(model, x, y)
    # Both groups have a standard deviation of 1: the best threshold lies between them.
    assert -model.layers[-1].get_weights()[1][0] == pytest.approx(-1.0, abs=0.3)
