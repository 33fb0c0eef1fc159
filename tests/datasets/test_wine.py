"""The wines of scikit-learn: columns, splits, and what is said of other dtypes and without it."""

import sys

import numpy as np
import pytest

from keras_vae import datasets, likelihoods, zoo
from tools.presets import recipes

sklearn_datasets = pytest.importorskip("sklearn.datasets")

pytestmark = pytest.mark.once


def test_the_splits_are_a_partition_of_the_whole():
    parts = {split: datasets.load("wine", split) for split in datasets.SPLITS}
    assert [len(part.x) for part in parts.values()] == [118, 20, 40]
    wines = sklearn_datasets.load_wine()
    found = np.concatenate([part.x for part in parts.values()])
    assert found.dtype.names == (*wines.feature_names, "cultivar")
    numbers = np.column_stack([found[name] for name in wines.feature_names])
    labels = np.concatenate([part.y for part in parts.values()])
    np.testing.assert_array_equal(found["cultivar"], [f"class_{y}" for y in labels])
    pairs, whole = (np.column_stack(c) for c in ((numbers, labels), (wines.data, wines.target)))
    np.testing.assert_array_equal(pairs[np.lexsort(pairs.T)], whole[np.lexsort(whole.T)])
    for part in parts.values():
        assert part.y.dtype == np.int32 and np.bincount(part.y).min() >= len(part.y) / 8
    assert found["proline"].dtype == np.int64 and found["hue"].dtype == np.float64


def test_limits_and_what_is_said_of_it():
    whole, few = datasets.load("wine", "test"), datasets.load("wine", "test", limit=7)
    np.testing.assert_array_equal(few.x, whole.x[:7])
    text = str(datasets.info("wine"))
    assert "version:    wine:1.0.0" in text and "columns:    14" in text and "CC BY 4.0" in text
    with pytest.raises(ValueError, match="own dtypes.*Received: dtype='uint8'"):
        datasets.load("wine", dtype="uint8")


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"'wine' is a part of scikit-learn.*\[metrics\]"):
        datasets.load("wine")


@pytest.mark.skipif("wine_table" not in zoo.list_models(), reason="needs the preset wine_table")
class TestPreset:
    def test_its_scales_are_those_of_the_training_rows(self):
        x, _ = datasets.load("wine", "train")
        own, found = zoo.load("wine_table").likelihood, likelihoods.Columns.of(x)
        # The recipe has six decimals of them.
        np.testing.assert_allclose(own.encode(x), found.encode(x), atol=2e-5)

    def test_rows_come_out_as_they_went_in(self):
        model, (x, _) = zoo.load("wine_table"), datasets.load("wine", "test")
        drawn = model.sample(2000, noise=True, seed=0)
        assert tuple(drawn) == x.dtype.names
        assert set(drawn["cultivar"]) == set(datasets.info("wine").classes)
        proline = np.asarray(drawn["proline"])
        assert proline.dtype.kind == "i" and len(proline) == 2000
        train, _ = datasets.load("wine", "train")
        for name in x.dtype.names[:-1]:
            values = np.asarray(drawn[name], "float64")
            known = train[name].astype("float64")
            assert abs(values.mean() - known.mean()) < 0.25 * known.std(), name
            assert 0.7 < values.std() / known.std() < 1.3, name
        # Its three numbers tell the cultivars apart, of which the largest has half of the rows.
        rebuilt = model.reconstruct(x)
        assert (rebuilt["cultivar"] == x["cultivar"]).mean() > 0.85

    def test_a_recipe_s_rows_are_the_matrix(self):
        model = zoo.load("wine_table")
        recipe = recipes.read(zoo.folder("wine_table"))
        x, y = recipes.data(recipe, "validation", model)
        assert x.shape == (20, 16) and x.dtype == np.float32 and y is None
