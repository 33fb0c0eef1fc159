"""Handwritten digits of 8 x 8 pixels, which scikit-learn has in its package.

The test split of NIST's preprocessing that UCI publishes (Alpaydin & Kaynak, 1998): each pixel
counts the ink of 4 x 4 of a scan, 0 to 16. It needs no download.
"""

import numpy as np

from keras_vae.datasets import bundled

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
    x, y = bundled.scikit_learn("digits").load_digits(return_X_y=True)
    rows = bundled.rows(split, TOTAL, VALIDATION, TEST, limit)
    shares = x[rows].reshape(-1, 8, 8, 1) / _LEVELS
    if dtype == "uint8":
        shares = np.rint(255 * shares)
    return shares.astype(dtype), y[rows].astype("int32")
