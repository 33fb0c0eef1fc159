"""The digits of scikit-learn: values, splits, and what is said without it."""

import sys

import numpy as np
import pytest

from keras_vae import datasets

sklearn_datasets = pytest.importorskip("sklearn.datasets")

pytestmark = pytest.mark.once


def test_the_splits_are_a_partition_of_the_whole():
    parts = {split: datasets.load("digits", split) for split in datasets.SPLITS}
    assert [len(part.x) for part in parts.values()] == [1297, 200, 300]
    x, y = sklearn_datasets.load_digits(return_X_y=True)
    found = np.concatenate([part.x.reshape(-1, 64) for part in parts.values()])
    labels = np.concatenate([part.y for part in parts.values()])
    pairs, whole = (np.column_stack(c) for c in ((found * 16, labels), (x, y)))
    np.testing.assert_array_equal(pairs[np.lexsort(pairs.T)], whole[np.lexsort(whole.T)])
    for part in parts.values():
        assert part.x.shape[1:] == datasets.info("digits").shape and part.x.dtype == np.float32
        assert part.y.dtype == np.int32 and np.bincount(part.y).min() >= len(part.y) / 20


def test_values_and_limits():
    whole, few = datasets.load("digits", "test"), datasets.load("digits", "test", limit=7)
    np.testing.assert_array_equal(few.x, whole.x[:7])
    np.testing.assert_array_equal(few.y, whole.y[:7])
    levels = datasets.load("digits", "test", dtype="uint8").x
    assert levels.dtype == np.uint8 and levels.max() == 255
    np.testing.assert_array_equal(levels, np.rint(255 * whole.x))
    assert "version:    digits:1.0.0" in str(datasets.info("digits"))


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"'digits' is a part of scikit-learn.*\[metrics\]"):
        datasets.load("digits")
