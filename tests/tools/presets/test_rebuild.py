"""`train --all` and what the READMEs say of recipes and presets."""

import json

import pytest

from keras_vae import models
from keras_vae.zoo import presets
from tests.support.recipes import RECIPE
from tools import __main__ as cli
from tools.pages import catalogue, readme
from tools.presets import rebuild, recipes

pytestmark = pytest.mark.once


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A zoo of three recipes: `b` and `c` are held against `z`."""
    monkeypatch.setattr(presets, "_FOLDERS", (tmp_path / "none", tmp_path))
    for name, more in (("b", {"baseline": "z"}), ("c", {"compare": "z"}), ("z", {})):
        (tmp_path / name).mkdir()
        recipe = {**RECIPE, "evaluation": {"samples": 5, **more}}
        recipe["training"] = {**RECIPE["training"], "backend": "jax"}
        (tmp_path / name / "recipe.json").write_text(json.dumps(recipe))
    return tmp_path


class Runner:
    """Stands for the processes; fails where it is told to."""

    def __init__(self, fails=(), stops=()):
        self.ran, self.fails, self.stops = [], fails, stops

    def __call__(self, command):
        step = command[3:]
        if step in self.stops:
            raise KeyboardInterrupt
        self.ran.append(step)
        return int(step in self.fails)


def steps(name):
    return [
        ["--backend", "jax", "train", name],
        ["evaluate", name],
        ["export", "--all", name, "--record"],
    ]


def test_every_step_of_every_preset_what_is_compared_with_first(root):
    run = Runner()
    assert rebuild.rebuild(run=run) == 0
    assert run.ran == steps("z") + steps("b") + steps("c")
    # Another round does it all again.
    assert rebuild.rebuild("b", run=run) == 0
    assert run.ran[9:] == steps("b")


def test_it_goes_on_where_it_was_interrupted(root):
    with pytest.raises(KeyboardInterrupt):
        rebuild.rebuild(run=Runner(stops=[["evaluate", "b"]]))
    run = Runner()
    assert rebuild.rebuild(run=run) == 0
    assert run.ran == steps("b") + steps("c")
    with pytest.raises(KeyboardInterrupt):
        rebuild.rebuild(run=Runner(stops=[["evaluate", "b"]]))
    run = Runner()
    rebuild.rebuild(restart=True, run=run)
    assert run.ran[0] == ["--backend", "jax", "train", "z", "--restart"]
    assert [step for step in run.ran if step[0] == "evaluate"] == [
        ["evaluate", name] for name in ("z", "b", "c")
    ]


def test_one_that_fails_does_not_stop_the_others_and_is_tried_again(root, capsys):
    run = Runner(fails=[["evaluate", "z"]])
    assert rebuild.rebuild(run=run) == 1
    assert run.ran == steps("z")[:2] + steps("b") + steps("c")
    assert "Failed, and left as they were: z" in capsys.readouterr().out
    run = Runner()
    assert rebuild.rebuild(run=run) == 0
    assert run.ran == steps("z")


def test_a_part_of_a_training_is_not_measured(root):
    run = Runner()
    rebuild.rebuild("b", epochs=1, limit=100, run=run)
    assert run.ran == [["--backend", "jax", "train", "b", "--epochs", "1", "--limit", "100"]]


def test_bad_words_on_the_command_line(root, capsys):
    for words, said in (
        (["train"], "a preset's name or path, or --all"),
        (["train", "b", "--all"], "a preset's name or path, or --all"),
        (["train", "--all", "x*"], "No recipe fits. Received: pattern='x*'"),
        (["train", "--all", "--out", "o"], "leave --out out"),
    ):
        assert cli.main(words) == 2
        assert said in capsys.readouterr().err


def test_every_packaged_recipe_says_what_it_is_for_and_what_it_minimises():
    for name in recipes.names():
        recipe = recipes.read(recipes.find(name))
        assert recipe["purpose"].endswith("."), name
        assert len(recipes.objective(recipe)) > 10, name
        assert callable(getattr(models, recipe["model"]["function"]))


def test_the_figures_of_a_row():
    def metric(title, value, split="test", unit="nats", error=None):
        return {
            "title": title, "value": value, "split": split, "unit": unit, "digits": 2,
            "standard_error": error, "n": 10, "samples": 7,
        }  # fmt: skip

    info = {
        "metrics": [
            metric("NLL", 80.123, error=0.5),
            metric("NLL", 79.0, split="validation"),
            metric("reconstruction MSE", 0.5),
            metric("accuracy", 90.0, unit="%"),
            metric("accuracy of plain", 50.0, unit="%"),
        ]
    }
    said = [readme._said(m) for m in catalogue.figures(info, {"evaluation": {}})]
    assert said == ["NLL 80.12 ± 0.50 (n = 10, K = 7)"]
    found = catalogue.figures(info, {"evaluation": {"headline": "accuracy"}})
    assert [readme._said(m) for m in found[1:]] == [
        "accuracy 90.00 % (n = 10)",
        "accuracy of plain 50.00 % (n = 10)",
    ]
    # What is both the general figure and the preset's own stands once.
    assert len(catalogue.figures(info, {"evaluation": {"headline": "NLL"}})) == 1
