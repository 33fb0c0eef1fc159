"""Handwritten digits of 8 x 8 pixels, which scikit-learn has in its package.

The test split of NIST's preprocessing that UCI publishes (Alpaydin & Kaynak, 1998): each pixel
counts the ink of 4 x 4 of a scan, 0 to 16. It needs no download.
"""

import numpy as np

TOTAL, VALIDATION, TEST = 1797, 200, 300
# Grey levels of a pixel above 0.
_LEVELS = 16


def load(split, dtype="float32", limit=None):
    """`(x, y)` of a split: pictures `(n, 8, 8, 1)` and labels `(n,)` int32.

    The splits are parts of a fixed permutation, as the file has the digits of one writer
    together.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            "The data set 'digits' is a part of scikit-learn, which is not installed: "
            f"pip install 'keras-vae[metrics]'. Received: {error}"
        ) from error
    x, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(TOTAL)
    first = TOTAL - VALIDATION - TEST
    start, stop = {
        "train": (0, first),
        "validation": (first, first + VALIDATION),
        "test": (first + VALIDATION, TOTAL),
    }[split]
    rows = order[start : stop if limit is None else min(stop, start + limit)]
    shares = x[rows].reshape(-1, 8, 8, 1) / _LEVELS
    if dtype == "uint8":
        shares = np.rint(255 * shares)
    return shares.astype(dtype), y[rows].astype("int32")
