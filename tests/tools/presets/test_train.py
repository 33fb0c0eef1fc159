"""`train`: whole presets from tiny recipes."""

import csv
import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vae import datasets, zoo
from tests.support.recipes import RECIPE
from tools.presets import card, evaluate, recipes
from tools.presets import train as training

pytestmark = pytest.mark.once


PICTURES = {
    "samples.png",
    "reconstructions.png",
    "interpolation.png",
    "manifold.png",
    "latent.png",
    "training.png",
}


@pytest.mark.slow
class TestTrain:
    def test_it_writes_a_whole_preset(self, folder):
        training.train(folder)
        files = {path.name for path in folder.iterdir()}
        assert files == PICTURES | {
            "config.json",
            "metadata.json",
            "model.weights.h5",
            "golden.npz",
            "recipe.json",
            "log.csv",
            "README.md",
        }
        info = zoo.info(folder)
        assert info["version"] == 1 and info["training"]["epochs"] == 3
        assert recipes.read(folder) == RECIPE
        text = (folder / "README.md").read_text()
        assert text.startswith("# small\n\nA small VAE.")
        assert all(f"({picture})" in text for picture in PICTURES)
        model = zoo.load(folder)
        golden = np.load(folder / "golden.npz")
        np.testing.assert_allclose(model.encode(golden["x"]), golden["mean"], atol=1e-5)
        # The warm-up of one epoch is 16 steps of 50 digits.
        assert model.objective.beta.steps == 16 and model.objective.beta.final == 1.0
        assert not (folder.parent / ".runs" / "small").exists()

    def test_again_is_the_next_version(self, folder):
        training.train(folder, epochs=1)
        training.train(folder, epochs=1)
        assert zoo.info(folder)["version"] == 2

    def test_it_keeps_the_best_epoch(self, folder, monkeypatch):
        """A validation loss that rises at the end: the epoch before it is kept."""
        seen = {}
        original = training.KeepBest.on_epoch_end

        def on_epoch_end(self, epoch, logs=None):
            seen[epoch] = [w.copy() for w in self.model.get_weights()]
            original(self, epoch, {**logs, "val_loss": [9.0, 5.0, 7.0][epoch]})

        monkeypatch.setattr(training.KeepBest, "on_epoch_end", on_epoch_end)
        training.train(folder)
        assert zoo.info(folder)["training"]["best_epoch"] == 2
        for kept, epoch_2, last in zip(zoo.load(folder).get_weights(), seen[1], seen[2]):
            np.testing.assert_array_equal(kept, training.rounded(epoch_2))
            assert kept.size == 1 or (kept != last).any()

    def test_it_stops_when_validation_has_not_improved(self, folder, monkeypatch):
        recipe = {**RECIPE, "training": {**RECIPE["training"], "epochs": 20, "patience": 2}}
        (folder / "recipe.json").write_text(json.dumps(recipe))
        original = training.KeepBest.on_epoch_end
        monkeypatch.setattr(
            training.KeepBest,
            "on_epoch_end",
            lambda self, e, logs: original(self, e, {**logs, "val_loss": 5.0 + e}),
        )
        training.train(folder)
        assert len(list(csv.DictReader((folder / "log.csv").open()))) == 3

    def test_an_interrupted_run_goes_on(self, folder, tmp_path, monkeypatch):
        """To the preset of a run without interruption; the epoch it was in is done again."""
        original = training.KeepBest.on_epoch_end
        whole = zoo.load(training.train(folder, out=tmp_path / "whole"))

        def interrupted(self, epoch, logs=None):
            original(self, epoch, logs)
            if epoch == 1:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training.KeepBest, "on_epoch_end", interrupted)
            training.train(folder)
        assert not (folder / "metadata.json").exists()
        seen = []
        monkeypatch.setattr(
            training.KeepBest,
            "on_epoch_end",
            lambda self, e, logs: (seen.append(e), original(self, e, logs)),
        )
        training.train(folder)
        assert seen == [1, 2]
        found = zoo.load(folder)
        assert int(keras.ops.convert_to_numpy(found.step)) in (16, 32, 48)
        for mine, its in zip(whole.get_weights(), found.get_weights()):
            np.testing.assert_allclose(mine, its, rtol=0, atol=1e-6)
        for name in ("best_epoch", "validation_loss"):
            assert (
                zoo.info(folder)["training"][name] == zoo.info(tmp_path / "whole")["training"][name]
            )
        logs = [(root / "log.csv").read_text() for root in (folder, tmp_path / "whole")]
        assert logs[0].splitlines()[0] == logs[1].splitlines()[0]
        assert [line.split(",")[0] for line in logs[0].splitlines()] == ["epoch", "0", "1", "2"]

    def test_a_missing_recipe_is_said(self, tmp_path):
        with pytest.raises(ValueError, match="No preset of that name"):
            training.train("nothing_like_it")
        with pytest.raises(ValueError, match="There is no recipe to train from"):
            recipes.read(tmp_path)


VQ_RECIPE = {
    **RECIPE,
    "model": {
        "function": "vq_vae",
        "arguments": {
            "input_shape": [28, 28, 1],
            "latent_dim": 4,
            "network": "conv",
            "stages": "blocks",
            "units": [4, 8],
            "num_codes": 16,
            "num_classes": 10,
            "prior_channels": 4,
            "prior_depth": 1,
            "likelihood": "bernoulli",
            "seed": 0,
        },
    },
    "training": {
        **RECIPE["training"],
        "epochs": 2,
        "warmup_epochs": 0,
        "prior": {"epochs": 3, "learning_rate": 0.01},
    },
    "evaluation": {"samples": 1},
}


@pytest.mark.slow
class TestQuantized:
    @pytest.fixture
    def codes_folder(self, folder):
        (folder / "recipe.json").write_text(json.dumps(VQ_RECIPE))
        return folder

    def test_both_phases_are_trained_and_shown(self, codes_folder):
        training.train(codes_folder)
        info = zoo.info(codes_folder)
        assert info["codes"] == {"shape": [7, 7], "number": 16}
        assert info["training"]["prior"]["epochs"] == 3
        rows = list(csv.DictReader((codes_folder / "prior_log.csv").open()))
        assert len(rows) == 3 and set(rows[0]) == {"epoch", "loss", "val_loss"}
        losses = [float(row["val_loss"]) for row in rows]
        assert losses[-1] < losses[0]
        assert min(losses) == pytest.approx(info["training"]["prior"]["validation_loss"], abs=1e-3)
        text = (codes_folder / "README.md").read_text()
        pictures = ("samples", "reconstructions", "codes", "training", "prior_training")
        assert all(f"({name}.png)" in text for name in pictures)
        assert "- Codes: 7×7 codes of 16, each of 4 dimensions" in text
        assert "then 3 of the prior alone" in text
        model = zoo.load(codes_folder)
        with np.load(codes_folder / "golden.npz") as golden:
            np.testing.assert_array_equal(model.encode(golden["x"]), golden["codes"])

    def test_the_prior_goes_on_where_it_was_interrupted(self, codes_folder, monkeypatch):
        original = training.KeepBest.on_epoch_end

        def interrupted(self, epoch, logs=None):
            original(self, epoch, logs)
            if self.weights.parent.name == "prior" and epoch == 1:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training.KeepBest, "on_epoch_end", interrupted)
            training.train(codes_folder)
        seen = []
        monkeypatch.setattr(
            training.KeepBest,
            "on_epoch_end",
            lambda self, e, logs: (
                seen.append((self.weights.parent.name, e)),
                original(self, e, logs),
            ),
        )
        training.train(codes_folder)
        assert seen == [("prior", 1), ("prior", 2)]

    def test_a_prior_alone_leaves_the_rest_as_it_is(self, codes_folder):
        """The first phase without it ends at the same codes; the second is in half precision."""
        recipe = json.loads(json.dumps(VQ_RECIPE))
        recipe["training"]["prior"]["epochs"] = 1
        del recipe["model"]["arguments"]["num_classes"]
        models, logs = [], []
        for more in ({}, {"alone": True, "precision": "mixed_bfloat16"}):
            recipe["training"]["prior"] |= more
            (codes_folder / "recipe.json").write_text(json.dumps(recipe))
            training.train(codes_folder, epochs=1)
            models.append(zoo.load(codes_folder))
            logs.append(next(csv.DictReader((codes_folder / "log.csv").open())))
        for part in ("encoder", "decoder", "quantizer"):
            pairs = (getattr(model, part).get_weights() for model in models)
            for with_it, without in zip(*pairs, strict=True):
                np.testing.assert_allclose(without, with_it, rtol=0, atol=1e-6)
        assert float(logs[1]["prior_loss"]) == pytest.approx(49 * np.log(16), rel=1e-5)
        assert float(logs[0]["prior_loss"]) < float(logs[1]["prior_loss"])
        prior = models[1].prior
        assert type(prior).__name__ == "GatedPixelCNN" and prior.compute_dtype == "float32"
        fresh = recipes.build(recipe).prior
        pairs = zip(prior.get_weights(), fresh.get_weights(), strict=True)
        assert min(np.abs(a - b).max() for a, b in pairs) > 1e-3
        codes = np.random.default_rng(0).integers(0, 16, (20, 7, 7))
        assert np.isfinite(models[1].code_log_prob(codes)).all()

    def test_its_figures_are_those_of_the_model(self, codes_folder, offline):
        training.train(codes_folder, epochs=1)
        judge = offline
        evaluate.evaluate(codes_folder)
        model, (x, y) = zoo.load(codes_folder), datasets.load("mnist", "test")
        found = {m["title"]: m["value"] for m in zoo.info(codes_folder)["metrics"]}
        mse = np.mean((model.reconstruct(x) - x) ** 2)
        assert found["reconstruction MSE"] == pytest.approx(mse, rel=1e-5)
        bits = -model.code_log_prob(x, y).mean() / np.log(2)
        assert found["codes under the prior"] == pytest.approx(bits / 784, rel=1e-5)
        assert 1 <= found["perplexity of 16 codes"] <= 16
        drawn = model.sample(100, condition=np.arange(100) % 10, seed=0)
        read = judge.predict(drawn, verbose=0)
        sure = found["samples called one class with 90 % confidence"]
        assert sure == pytest.approx(100 * (read.max(-1) >= 0.9).mean())
        agreed = (read.argmax(-1) == np.arange(100) % 10).mean()
        assert found["asked label read by a classifier"] == pytest.approx(100 * agreed)
        assert found["Fréchet distance of samples"] > 0
        bound = -model.log_likelihood(x, condition=y).mean()
        assert found["-log p(pixels, given codes) - log p(codes)"] == pytest.approx(bound, rel=1e-5)


def test_pictures_of_greys_have_one_channel(rng, tmp_path):
    grey = np.repeat(rng.integers(0, 256, (20, 30, 1)), 3, axis=-1).astype("uint8")
    colour = rng.integers(0, 256, (20, 30, 3)).astype("uint8")
    for name, pixels, mode in (("grey", grey, "L"), ("colour", colour, "RGB")):
        path = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(path)
        card.in_grey(path)
        with Image.open(path) as found:
            assert found.mode == mode
            np.testing.assert_array_equal(np.asarray(found.convert("RGB")), pixels)


def test_weights_are_kept_to_so_many_bits(rng):
    values = (rng.standard_normal(10_000) * 10.0 ** rng.integers(-6, 6, 10_000)).astype("float32")
    kept = training.rounded(values)
    assert kept.dtype == "float32"
    for found, bits in ((kept, 9), (training.rounded(values, 6), 6)):
        assert 2 ** (-bits - 0.2) < np.abs(found / values - 1).max() <= 2.0**-bits
    # What nine bits hold stays as it is.
    np.testing.assert_array_equal(training.rounded(kept), kept)
    np.testing.assert_array_equal(training.rounded(np.float32([0, 1, -3, 511])), [0, 1, -3, 511])
    assert training.rounded(np.arange(3)).dtype == "int64"
