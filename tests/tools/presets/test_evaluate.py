"""`evaluate`: figures that are the model's."""

import json
import types

import keras
import numpy as np
import pytest

from keras_vae import datasets, likelihoods, zoo
from tests.support.recipes import RECIPE
from tools.demo import digits
from tools.presets import evaluate, recipes

pytestmark = pytest.mark.once


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
        # Of a recipe as of the caller.
        recipe = json.loads((preset / "recipe.json").read_text())
        for measures, said in ((["fid"], "Received: fid"), (["attributes"], "nothing to measure")):
            recipe["evaluation"]["measures"] = measures
            (preset / "recipe.json").write_text(json.dumps(recipe))
            with pytest.raises(ValueError, match=said):
                evaluate.evaluate(preset)

    # Ten examples are few for a Fréchet distance: `evaluate` says so to whom it shows it.
    @pytest.mark.filterwarnings("ignore:.*biased upwards")
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
