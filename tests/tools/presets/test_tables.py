"""The commands on a preset of a table, scikit-learn's wines."""

import numpy as np
import pytest
from PIL import Image

from keras_vae import datasets, likelihoods, models, zoo
from tests.support.recipes import described
from tools.presets import card, evaluate, recipes

pytest.importorskip("sklearn.datasets")
pytestmark = pytest.mark.once


@pytest.fixture
def preset(tmp_path):
    rows, _ = datasets.load("wine", "train")
    columns = likelihoods.Columns.of(rows)
    model = models.vae(columns.shape, 2, units=(4,), likelihood=columns, seed=0)
    evaluation = {"samples": 5, "measures": ["bound", "reconstruction"]}
    return described(model, tmp_path / "rows", "wine", evaluation)


def test_its_figures_are_those_of_the_matrix(preset):
    found = {m["title"]: m for m in evaluate.evaluate(preset)}
    model, (rows, _) = zoo.load(preset), datasets.load("wine", "test")
    x = model.likelihood.encode(rows)
    error = np.square(model.reconstruct(x) - x).mean()
    figure = found["reconstruction MSE"]
    assert figure["value"] == pytest.approx(error, rel=1e-5) and figure["unit"] == "a value"
    bound = -model.log_likelihood(rows, samples=5, verbose=False).mean()
    title = "NLL (density of standardised columns)"
    assert found[title]["value"] == pytest.approx(bound, rel=1e-6)
    assert found[title]["n"] == 40


def test_its_card_shows_the_columns(preset):
    card.write(preset)
    text = (preset / "README.md").read_text(encoding="utf-8")
    assert "![Columns of the test rows (filled) and of 2,000 samples (lines).](columns.png)" in text
    assert "rows = model.sample(1000, seed=0, noise=True)" in text
    assert "- Input: 16 float32, what `model.likelihood.encode` makes of a table" in text
    with Image.open(preset / "columns.png") as picture:
        assert picture.size == (800, 480)
        red, _, blue = np.moveaxis(np.asarray(picture.convert("RGB"), "int32"), -1, 0)
        # Samples are lines in blue, the rows are grey.
        assert 1000 < (blue - red > 100).sum() < 0.1 * red.size


def test_data_and_shown_examples_are_rows_of_the_matrix(preset):
    model, recipe = zoo.load(preset), recipes.read(preset)
    rows, _ = datasets.load("wine", "validation", limit=6)
    x, y = recipes.data(recipe, "validation", model, limit=6)
    np.testing.assert_array_equal(x, model.likelihood.encode(rows))
    assert y is None
    x, y = recipes.shown(recipe, model, 3)
    assert x.shape == (3, 16) and x.dtype == np.float32 and y is None
