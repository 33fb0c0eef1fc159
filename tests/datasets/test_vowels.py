"""The Japanese vowels of sktime: values, splits, and what is said without its file."""

import sys
from pathlib import Path

import numpy as np
import pytest

from keras_vae import datasets, metrics, models, zoo
from keras_vae.datasets import vowels

pytestmark = pytest.mark.once


def folder():
    try:
        return vowels._folder()
    except ImportError:
        pytest.skip("needs the file of sktime: pip install --no-deps sktime")


@pytest.fixture(scope="module")
def parts():
    folder()
    return {split: datasets.load("vowels", split) for split in datasets.SPLITS}


def test_the_splits_are_disjoint_and_whole(parts):
    sizes = {split: len(part.x) for split, part in parts.items()}
    assert sizes == {"train": 225, "validation": 45, "test": 370}
    assert np.bincount(parts["train"].y).tolist() == [25] * 9
    assert np.bincount(parts["validation"].y).tolist() == [5] * 9
    # As UCI states them.
    assert np.bincount(parts["test"].y).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    rows = np.concatenate([part.x for part in parts.values()])
    assert len({row.tobytes() for row in rows}) == 640


def test_values_of_the_file(parts):
    """The first step of series 1, 26 and 270 of the training file and of 1 of the test file."""
    first = {
        ("train", 0): (1.860936, -0.207383, 0.261557),
        ("validation", 0): (1.304824, 0.106494, 0.673842),
        ("validation", 8): (1.240598, -0.352572, 0.202753),
        ("test", 0): (1.635533, 0.024848, 0.432087),
    }
    for (split, label), values in first.items():
        x, y = parts[split]
        same = np.abs(x[:, 0, : len(values)] - values).max(-1) < 1e-6
        assert same.sum() == 1 and y[same] == label


def test_series_are_filled_up_with_nan_as_pad_series_does(parts):
    lengths = []
    for part in parts.values():
        assert part.x.shape[1:] == datasets.info("vowels").shape == (29, 12)
        assert part.x.dtype == np.float32 and part.y.dtype == np.int32
        there = ~np.isnan(part.x)
        steps = there.all(-1)
        # A step is there or not, and none comes after the end.
        assert (there.any(-1) == steps).all() and (np.diff(steps.astype(int)) <= 0).all()
        lengths += steps.sum(-1).tolist()
        cut = [x[:n] for x, n in zip(part.x[:9], steps.sum(-1))]
        np.testing.assert_array_equal(models.pad_series(cut, 29), part.x[:9])
    assert (min(lengths), max(lengths), sum(lengths)) == (7, 29, 9961)


def test_limits_and_what_is_said_of_it(parts):
    few = datasets.load("vowels", "test", limit=60)
    np.testing.assert_array_equal(few.x, parts["test"].x[:60])
    # The files are sorted by speaker; the order here is not.
    assert len(np.unique(few.y)) == 9
    text = str(datasets.info("vowels"))
    assert "version:    vowels:1.0.0" in text and "series:     29 x 12" in text
    assert "CC BY 4.0" in text and "1, 2, 3, 4, 5, 6, 7, 8, 9" in text
    with pytest.raises(ValueError, match="real numbers.*Received: dtype='uint8'"):
        datasets.load("vowels", dtype="uint8")


def test_sktime_is_not_imported():
    folder()
    datasets.load("vowels", limit=1)
    assert not {"sktime", "aeon"} & {name.partition(".")[0] for name in sys.modules}


def test_without_sktime(monkeypatch):
    monkeypatch.setattr(vowels, "_PACKAGES", ("no_such_package", "json"))
    message = r"\[series\].*`pip install --no-deps sktime`.*no_such_package or json"
    with pytest.raises(ImportError, match=message):
        datasets.load("vowels")


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "No such file"),
        ("@data\n", "0 series"),
        ("@data\n" + ":".join(["1.0,2.0"] * 12) + ":1\n", "1 series"),
        ("@data\n" + ":".join(["1.0,2.0"] * 11) + ":1\n", "reshape"),
        ("@data\n" + ":".join(["1.0,2.0"] * 12) + ":10\n", "not in tuple"),
        ("@data\n" + ":".join(["1.0,x"] * 12) + ":1\n", "convert"),
    ],
)
def test_another_file_is_refused(content, said, tmp_path, monkeypatch):
    monkeypatch.setattr(vowels, "_folder", lambda: Path(tmp_path))
    if content is not None:
        (tmp_path / "JapaneseVowels_TRAIN.ts").write_text(content)
    with pytest.raises(RuntimeError, match=f"must hold 270 series.*{said}.*TRAIN.ts"):
        datasets.load("vowels")


@pytest.mark.skipif("vowels_series" not in zoo.list_models(), reason="needs vowels_series")
class TestPreset:
    def test_it_rebuilds_series_better_than_their_mean(self, parts):
        model, x = zoo.load("vowels_series"), parts["test"].x
        mean = np.nanmean(parts["train"].x, axis=(0, 1))
        error, by_mean = (np.nanmean(np.square(a - x)) for a in (model.reconstruct(x), mean))
        assert error < 0.2 * by_mean

    def test_samples_are_spread_as_series_are(self, parts):
        """Quartiles of the first fifteen steps, as few series are longer."""
        drawn = zoo.load("vowels_series").sample(500, noise=True, seed=0)
        assert drawn.shape == (500, 29, 12)
        train = parts["train"].x[:, :15]
        for i in range(12):
            low, middle, high = np.nanpercentile(train[..., i], [25, 50, 75])
            found = np.percentile(drawn[:, :15, i], [25, 50, 75])
            assert abs(found[1] - middle) < 0.5 * (high - low), i
            assert 0.6 < (found[2] - found[0]) / (high - low) < 1.4, i

    def test_series_in_reverse_are_less_likely(self, parts):
        model, x = zoo.load("vowels_series"), parts["test"].x[:60]
        reverse = np.full_like(x, np.nan)
        for new, one in zip(reverse, x):
            known = one[~np.isnan(one[:, 0])]
            new[: len(known)] = known[::-1]
        scores = (-model.log_likelihood(a, samples=20, verbose=False) for a in (x, reverse))
        assert metrics.auroc(np.concatenate([*scores]), np.arange(120) >= 60) > 0.9
