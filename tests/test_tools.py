"""The commands, in this process, on the packaged digits."""

import csv
import json
import types

import keras
import numpy as np
import pytest

from keras_vae import _atomic, datasets, likelihoods, models, zoo
from tools import __main__ as cli
from tools.demo import digits
from tools.judges import classifier as judges
from tools.judges import frechet
from tools.pages import phone, readme
from tools.presets import evaluate, recipes
from tools.presets import train as training

# What the commands do around `fit` and the measures, which other files test on each backend.
pytestmark = pytest.mark.once

RECIPE = {
    "description": "A small VAE.",
    "model": {
        "function": "vae",
        "arguments": {
            "input_shape": [28, 28, 1],
            "latent_dim": 2,
            "units": [16],
            "likelihood": "dynamic_bernoulli",
            "seed": 0,
        },
    },
    "data": "mnist",
    "data_terms": "MNIST",
    "paper": "A paper",
    "licence": "MIT",
    "training": {
        "backend": "any",
        "epochs": 3,
        "batch_size": 50,
        "learning_rate": 0.002,
        "warmup_epochs": 1,
        "weight_average": 0.9,
        "verbose": 0,
    },
    "evaluation": {"samples": 5},
}
PICTURES = {
    "samples.png",
    "reconstructions.png",
    "interpolation.png",
    "manifold.png",
    "latent.png",
    "training.png",
}


@pytest.fixture
def offline(monkeypatch):
    """`datasets.load` from the packaged digits: splits of 800, 100, 100; and a judge of them
    that has learnt nothing, which it returns."""
    x, y = digits()
    parts = {"train": slice(0, 800), "validation": slice(800, 900), "test": slice(900, 1000)}

    def load(name, split="train", *, limit=None, **kwargs):
        assert name == "mnist"
        return datasets.Data(x[parts[split]][:limit], y[parts[split]][:limit])

    monkeypatch.setattr(datasets, "load", load)
    judge = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    judge.add(keras.layers.Dense(10, activation="softmax"))
    for tool in (judges, evaluate, frechet):
        monkeypatch.setattr(tool, "classifier", lambda data: (judge, 0.5))
    return judge


@pytest.fixture
def folder(tmp_path, offline):
    path = tmp_path / "small"
    path.mkdir()
    (path / "recipe.json").write_text(json.dumps(RECIPE))
    return path


def test_digits_are_a_labelled_sample_of_the_test_split():
    x, y = digits()
    assert x.shape == (1000, 28, 28, 1) and x.dtype == np.float32
    assert x.min() == 0.0 and x.max() == 1.0
    assert np.bincount(y).tolist() == [100] * 10
    try:
        real, labels = datasets.load("mnist", "test", download=False)
    except FileNotFoundError:
        pytest.skip("needs the prepared data set mnist: set TFDS_DATA_DIR")
    rows = {image.tobytes(): label for image, label in zip(real, labels)}
    assert all(rows[image.tobytes()] == label for image, label in zip(x, y))


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


@pytest.mark.slow
class TestEvaluate:
    @pytest.fixture
    def preset(self, folder):
        model = recipes.build(RECIPE)
        x, _ = digits()
        metadata = {
            "description": "A small VAE.",
            "data": "MNIST",
            "paper": "A paper",
            "licence": "MIT",
            "metrics": [],
            "made_with": {"keras": keras.__version__},
            "training": {
                "backend": "jax",
                "epochs": 1,
                "best_epoch": 1,
                "validation_loss": 9.0,
                "hardware": "a computer",
            },
        }
        files = {"recipe.json": json.dumps(RECIPE)}
        return zoo.save(model, folder, metadata, golden=(x[:2],), files=files)

    def test_figures_are_those_of_the_model_and_reach_the_card(self, preset, offline):
        evaluate.evaluate(preset)
        metrics = {m["title"]: m for m in zoo.info(preset)["metrics"]}
        model = zoo.load(preset)
        x, _ = datasets.load("mnist", "test")
        bound = model.log_likelihood(x, samples=5, seed=0)
        nll = metrics["NLL"]
        assert nll["value"] == pytest.approx(-bound.mean(), rel=1e-6)
        assert nll["standard_error"] == pytest.approx(bound.std(ddof=1) / 10)
        assert (nll["n"], nll["samples"], nll["seed"], nll["split"]) == (100, 5, 0, "test")
        assert nll["command"] == "python -m tools evaluate small"
        mse = np.mean((model.reconstruct(x) - x) ** 2)
        assert metrics["reconstruction MSE"]["value"] == pytest.approx(mse, rel=1e-5)
        assert metrics["-ELBO"]["value"] == pytest.approx(
            metrics["reconstruction"]["value"] + metrics["KL"]["value"], rel=1e-5
        )
        text = (preset / "README.md").read_text()
        assert f"| NLL | {nll['value']:.2f} ± {nll['standard_error']:.2f} nats |" in text
        zoo.load(preset)  # its hashes are still right

    def test_other_splits_are_kept_apart_and_the_same_one_replaced(self, preset, offline):
        for _ in range(2):
            evaluate.evaluate(preset)
            evaluate.evaluate(preset, split="validation", samples=3, seed=4)
        metrics = [m for m in zoo.info(preset)["metrics"] if m["title"] == "NLL"]
        assert [m["split"] for m in metrics] == ["test", "validation"]
        assert metrics[1]["command"] == (
            "python -m tools evaluate small --split validation --samples 3 --seed 4"
        )

    def test_some_measures_replace_their_own_figures_only(self, preset, offline):
        evaluate.evaluate(preset)
        before = {m["title"]: m for m in zoo.info(preset)["metrics"]}
        asked = ["reconstruction", "bits", "psnr", "information", "kernel", "precision"]
        evaluate.evaluate(preset, only=asked, samples=5, seed=2)
        after = {m["title"]: m for m in zoo.info(preset)["metrics"]}
        assert list(after)[: len(before)] == list(before)
        assert after["NLL"] == before["NLL"]
        command = f"python -m tools evaluate small --seed 2 --metric {' '.join(asked)}"
        assert after["reconstruction MSE"]["command"] == command
        model, (x, _) = zoo.load(preset), datasets.load("mnist", "test")
        bits = -model.log_likelihood(x, samples=5, seed=2).mean() / np.log(2) / 784
        assert after["bits per dimension"]["value"] == pytest.approx(bits, rel=1e-6)
        squared = np.square(model.reconstruct(x) - x).mean((1, 2, 3))
        assert after["PSNR"]["value"] == pytest.approx(-10 * np.log10(squared).mean(), rel=1e-5)
        assert 0 <= after["mutual information"]["value"] <= np.log(100) + 1e-6
        assert after["kernel distance of samples"]["value"] > 0
        assert 0 <= after["recall of samples"]["value"] <= 100

    def test_an_unknown_measure_or_one_that_it_has_not(self, preset, offline):
        with pytest.raises(ValueError, match="Measures are codes, bound.*Received: fid"):
            evaluate.evaluate(preset, only=["fid"])
        with pytest.raises(ValueError, match="nothing to measure of small.*'attributes'"):
            evaluate.evaluate(preset, only=["attributes"])

    def test_a_part_of_the_split_is_never_written(self, preset, offline):
        evaluate.evaluate(preset, limit=10)
        assert zoo.info(preset)["metrics"] == []

    @pytest.mark.parametrize(
        "likelihood, said",
        [
            (likelihoods.Bernoulli(dynamic=True), ""),
            (likelihoods.Bernoulli(), " (cross-entropy of grey pixels)"),
            (likelihoods.Observed("dynamic_bernoulli"), " (pixels that are shown)"),
            (likelihoods.Normal(), " (density of grey pixels)"),
            (likelihoods.LogCosh(), " (density of grey pixels)"),
        ],
    )
    def test_only_binary_pixels_have_a_plain_likelihood(self, likelihood, said):
        assert evaluate._what_is_scored(likelihood) == said

    def test_agreement_counts_what_the_judge_reads(self, monkeypatch):
        def sample(n, condition, seed):
            return np.asarray(condition, "float32")[:, None]

        model = types.SimpleNamespace(condition=types.SimpleNamespace(num_classes=4), sample=sample)

        def judged(table):
            read = types.SimpleNamespace(
                predict=lambda x, **kwargs: np.eye(4)[np.array(table)[x[:, 0].astype(int)]]
            )
            monkeypatch.setattr(evaluate, "classifier", lambda data: (read, 0.99))
            return evaluate.agreement(model, "mnist")[0]

        assert judged([0, 1, 2, 3]) == 1.0
        assert judged([0, 1, 3, 3]) == 0.75
        assert judged([1, 2, 3, 0]) == 0.0


class TestCommandLine:
    def test_list_and_info(self, capsys):
        assert cli.main(["list"]) == 0
        listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
        assert listed == zoo.list_models()
        for name in listed[:1]:
            assert cli.main(["info", name]) == 0
            assert zoo.info(name)["sha256"]["model.weights.h5"] in capsys.readouterr().out

    def test_an_unknown_name_is_an_error_and_not_a_traceback(self, capsys):
        assert cli.main(["info", "mnist_convv"]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.startswith("keras-vae info: No preset")

    @pytest.mark.parametrize("command", ["sample", "reconstruct", "interpolate"])
    def test_pictures(self, command, tmp_path, capsys):
        preset = zoo.save(models.vae(latent_dim=2, units=(4,), seed=0), tmp_path / "p")
        (preset / "recipe.json").write_text(json.dumps(RECIPE))
        out = tmp_path / "picture.png"
        assert cli.main([command, str(preset), "--out", str(out), "--n", "4"]) == 0
        assert out.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert f"Wrote {out}" in capsys.readouterr().out

    def test_no_command_stands_without_its_function(self):
        from tools import commands

        actions = cli.parser()._subparsers._group_actions[0].choices
        assert all(callable(getattr(commands, n)) for n in actions if n not in ("test", "check"))


def test_readme_table_stands_between_its_marks():
    text = "a\n<!-- zoo: x -->\nold\n<!-- /zoo -->\nb <!-- speed: y -->\n<!-- /speed -->"
    new = readme.replaced(text, "zoo", "| new |")
    assert new == text.replace("old", "| new |")
    assert readme.replaced(new, "zoo", "| new |") == new


@pytest.mark.parametrize("name", ["README.md", "README.es.md"])
def test_readme_table_is_up_to_date(name):
    text = (readme.ROOT / name).read_text(encoding="utf-8")
    for preset in zoo.list_models():
        assert readme._row(preset) in text, "run `python -m tools readme`"
    assert phone.markdown() in text, "run `python -m tools readme`"


def test_writing_a_text_keeps_the_old_one_on_an_error(tmp_path, monkeypatch):
    _atomic.write_text(tmp_path / "README.md", "old")
    monkeypatch.setattr(_atomic.os, "replace", _fail)
    with pytest.raises(OSError, match="full"):
        _atomic.write_text(tmp_path / "README.md", "new")
    assert (tmp_path / "README.md").read_text() == "old"


def _fail(*args):
    raise OSError("disk full")


@pytest.mark.parametrize(
    "closing, expected",
    [
        ("3 passed, 1 skipped in 2.0s", {"passed": 3, "skipped": 1}),
        (
            "= 2 failed, 10 passed, 4 errors, 1 warning in 60.00s (0:01:00) =",
            {"failed": 6, "passed": 10},
        ),
        ("", {}),
    ],
)
def test_closing_lines_are_counted(closing, expected):
    from tools.checks import testing

    assert testing.counted(closing) == expected


def test_weights_are_kept_to_nine_bits(rng):
    values = (rng.standard_normal(10_000) * 10.0 ** rng.integers(-6, 6, 10_000)).astype("float32")
    kept = training.rounded(values)
    assert kept.dtype == "float32"
    assert 2**-9.2 < np.abs(kept / values - 1).max() <= 2**-9
    # What nine bits hold stays as it is.
    np.testing.assert_array_equal(training.rounded(kept), kept)
    np.testing.assert_array_equal(training.rounded(np.float32([0, 1, -3, 511])), [0, 1, -3, 511])
    assert training.rounded(np.arange(3)).dtype == "int64"
