"""The commands on a model of data with gaps, on the packaged digits."""

import json

import numpy as np
import pytest

from keras_vae import datasets, zoo
from tests.support.recipes import RECIPE
from tools.presets import evaluate, imputation, recipes
from tools.presets import train as training

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("offline")]


def recipe():
    made = json.loads(json.dumps(RECIPE))
    made["model"]["function"] = "miwae"
    made["model"]["arguments"] |= {"samples": 2, "likelihood": "bernoulli"}
    del made["training"]["warmup_epochs"]
    made["training"]["missing"] = 0.5
    return made


def test_gaps_are_the_same_at_every_call_and_others_in_each_split():
    made = recipe()
    model = recipes.build(made)
    train, few = (recipes.data(made, "train", model, limit=n)[0] for n in (100, 10))
    np.testing.assert_array_equal(train[:10], few)
    whole = datasets.load("mnist", "train", limit=100).x
    known = ~np.isnan(train)
    np.testing.assert_array_equal(train[known], whole[known])
    # 78,400 coins: five standard deviations of their mean are 0.009.
    assert abs(known.mean() - 0.5) < 0.009
    test = recipes.data(made, "test", model, limit=100)[0]
    assert 0.4 < (np.isnan(test) == np.isnan(train)).mean() < 0.6


@pytest.mark.slow
def test_train_and_evaluate(tmp_path, capsys):
    folder = tmp_path / "gaps"
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(recipe()))
    training.train(folder)
    found = {m["title"]: m for m in evaluate.evaluate(folder)}
    model = zoo.load(folder)
    whole, _ = datasets.load("mnist", "test")
    x = imputation.with_gaps(whole, 0.5, "test")
    gaps = np.isnan(x)
    expected = -model.log_likelihood(x, samples=5, verbose=False).mean()
    assert found["NLL (pixels that are shown)"]["value"] == pytest.approx(expected, rel=1e-6)
    squared = np.square(model.impute(x, samples=100, seed=0)[gaps] - whole[gaps])
    figure = found["imputation error (root mean square)"]
    assert figure["value"] == pytest.approx(squared.mean() ** 0.5, rel=1e-5)
    assert "50 % missing" in figure["how"]
    # The mean of each pixel over the training examples in which it was seen.
    train = imputation.with_gaps(datasets.load("mnist", "train").x, 0.5, "train")
    seen = ~np.isnan(train)
    means = np.where(seen, train, 0).sum(axis=0) / seen.sum(axis=0)
    by_mean = np.square((whole - means)[gaps]).mean() ** 0.5
    other = found["imputation error by the training examples' mean (root mean square)"]
    assert other["value"] == pytest.approx(by_mean, rel=1e-5)
    error = np.square(model.reconstruct(x) - x)[~gaps].mean()
    assert found["reconstruction MSE"]["value"] == pytest.approx(error, rel=1e-5)
    card = (folder / "README.md").read_text()
    assert "imputed.png" in card and "model.impute(x)" in card
    assert (folder / "imputed.png").stat().st_size > 1000
