"""The commands on a preset of series, the Japanese vowels of sktime."""

import numpy as np
import pytest
from PIL import Image

from keras_vae import datasets, likelihoods, models, zoo
from tests.support.recipes import described
from tools.explore import describe
from tools.presets import card, evaluate, recipes, series

pytestmark = pytest.mark.once


@pytest.fixture
def vowels(monkeypatch):
    """Random walks of nine kinds in the place of the vowels, which need sktime's file."""
    rng = np.random.default_rng(0)

    def load(name, split="train", limit=None, **_):
        assert name == "vowels"
        y = np.arange(27)[:limit] % 9
        x = rng.normal(0, 0.1, (len(y), 29, 12)).cumsum(1) + y[:, None, None]
        x[1::2, 15:] = np.nan
        return datasets.Data(x.astype("float32"), y.astype("int32"))

    parts = {split: load("vowels", split) for split in datasets.SPLITS}

    def kept(name, split="train", limit=None, **_):
        return datasets.Data(*(part[:limit] for part in parts[split]))

    monkeypatch.setattr(datasets, "load", kept)
    return parts


@pytest.fixture
def preset(tmp_path, vowels):
    normal = likelihoods.Normal(data_range=None)
    # A GRU of 29 steps takes ten times as long to compile, and no command asks which network.
    model = models.miwae((29, 12), 2, units=(4,), likelihood=normal, samples=1, seed=0)
    evaluation = {
        "samples": 5,
        "measures": ["bound", "reconstruction", "series"],
        "pictures": ["series.png"],
    }
    return described(model, tmp_path / "own", "vowels", evaluation)


def test_its_figures_are_of_the_steps_that_are_there(preset, vowels):
    found = {m["title"]: m for m in evaluate.evaluate(preset)}
    model, (x, y), (train, known) = zoo.load(preset), vowels["test"], vowels["train"]
    there = ~np.isnan(x)
    error = np.square((model.reconstruct(x) - x)[there]).mean()
    figure = found["reconstruction MSE"]
    assert figure["value"] == pytest.approx(error, rel=1e-5) and figure["unit"] == "a value"
    bound = -model.log_likelihood(x, samples=5, verbose=False).mean()
    assert found["NLL (density of a series)"]["value"] == pytest.approx(bound, rel=1e-6)

    def nearest(codes, queries):
        distances = np.square(queries[:, None] - codes[None]).sum(-1)
        return 100 * (known[distances.argmin(1)] == y).mean()

    right = nearest(model.encode(train), model.encode(x))
    assert found["label of the nearest code"]["value"] == pytest.approx(right)
    right = nearest(*(np.nan_to_num(a).reshape(len(a), -1) for a in (train, x)))
    assert right > 90
    assert found["label of the nearest code of values"]["value"] == pytest.approx(right)


def test_its_card_shows_series(preset):
    card.write(preset)
    text = (preset / "README.md").read_text(encoding="utf-8")
    assert f"![{series.CAPTION}](series.png)" in text
    assert "x = keras_vae.models.pad_series(arrays, model.data_shape[0])" in text
    assert "- Input: 29×12 float32, NaN after the end of a series" in text
    with Image.open(preset / "series.png") as picture:
        assert picture.size == (1000, 600)
        red, _, blue = np.moveaxis(np.asarray(picture.convert("RGB"), "int32"), -1, 0)
        # Reconstructions and samples are lines in blue.
        assert 1000 < (blue - red > 100).sum() < 0.1 * red.size


def test_other_data_has_no_figures_of_series():
    found = [name for name in datasets.names() if series.are_series(name)]
    assert found == ["vowels"]


def test_shown_examples_are_series(preset, vowels):
    x, y = recipes.shown(recipes.read(preset), zoo.load(preset), 3)
    np.testing.assert_array_equal(x, vowels["test"].x[:3])
    assert y is None


def test_the_page_of_pictures_is_refused(preset):
    with pytest.raises(ValueError, match=r"shows pictures.*Received: \(29, 12\)"):
        describe.about(zoo.load(preset), zoo.info(preset), preset)
