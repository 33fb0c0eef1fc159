"""Wines: a table of 13 chemical measures and the cultivar, which scikit-learn has in its package.

178 wines of one region of Italy, of three cultivars (Aeberhard & Forina, UCI, 1992). It needs no
download.
"""

import numpy as np

from keras_vae.datasets import bundled

TOTAL, VALIDATION, TEST = 178, 20, 40
CULTIVARS = ("class_0", "class_1", "class_2")
# Measured in whole numbers.
_INTEGERS = ("magnesium", "proline")


def load(split, dtype="float32", limit=None):
    """`(x, y)` of a split: rows `(n,)`, a structured array of 14 columns, and labels `(n,)` int32.

    The splits are parts of a fixed permutation, as the file is sorted by cultivar. The column
    "cultivar" is the label's name.

    Raises:
        ValueError: another dtype than "float32": each column has its own.
        ImportError: scikit-learn is not installed.
    """
    if dtype != "float32":
        raise ValueError(
            "'wine' is a table, whose columns have their own dtypes: leave `dtype` out. "
            f"Received: dtype={dtype!r}"
        )
    wines = bundled.scikit_learn("wine").load_wine()
    rows = bundled.rows(split, TOTAL, VALIDATION, TEST, limit)
    kinds = [(n, "int64" if n in _INTEGERS else "float64") for n in wines.feature_names]
    table = np.empty(len(rows), [*kinds, ("cultivar", "U7")])
    for name, values in zip(wines.feature_names, wines.data[rows].T, strict=True):
        table[name] = values
    table["cultivar"] = np.array(CULTIVARS)[wines.target[rows]]
    return table, wines.target[rows].astype("int32")
