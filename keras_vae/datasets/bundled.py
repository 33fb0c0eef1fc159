"""Data sets that scikit-learn has in its package, which need no download."""

import numpy as np


def scikit_learn(name):
    """`sklearn.datasets`.

    Args:
        name: of the data set that is asked for.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            f"The data set {name!r} is a part of scikit-learn, which is not installed: "
            f"pip install 'keras-vae[metrics]'. Received: {error}"
        ) from error
    return datasets


def rows(split, total, validation, test, limit=None):
    """Numbers of a split's rows: a part of a fixed permutation, as such files are sorted.

    Args:
        split: "train", "validation" or "test".
        total: rows of the file.
        validation, test: rows of these splits; the others are for training.
        limit: how many at most, or None.
    """
    order = np.random.default_rng(0).permutation(total)
    first = total - validation - test
    start, stop = {
        "train": (0, first),
        "validation": (first, first + validation),
        "test": (first + validation, total),
    }[split]
    return order[start : stop if limit is None else min(stop, start + limit)]
