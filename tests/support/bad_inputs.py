"""Inputs that a model of 8×8 pictures must refuse, with the error of each."""

import numpy as np

from tests.support import SHAPE, make_images

N = 8
GOOD = make_images(np.random.default_rng(1), N)
LABELS = np.arange(N) % 3
VECTORS = np.random.default_rng(2).random((N, 2)).astype("float32")
CODES = np.random.default_rng(3).standard_normal((N, 2), "float32")


def changed(value, at=(0, 0, 0, 0)):
    """GOOD with one pixel of another value."""
    x = GOOD.copy()
    x[at] = value
    return x


BAD_X = {
    "no channel axis": (GOOD[..., 0], ValueError, r"Add a channel axis: x\[..., None\]"),
    "no batch axis": (GOOD[0], ValueError, r"single example add a batch axis: x\[None\]"),
    "other shape": (np.zeros((N, 9, 8, 1)), ValueError, r"\(n, 8, 8, 1\).*\(8, 9, 8, 1\)"),
    "other channels": (np.zeros((N, 8, 8, 3)), ValueError, r"\(n, 8, 8, 1\).*\(8, 8, 8, 3\)"),
    "empty": (GOOD[:0], ValueError, r"at least one example. Received: shape \(0, 8, 8, 1\)"),
    "a number": (np.float32(0.5), ValueError, "at least one example"),
    "integer pixels": ((GOOD * 255).astype("uint8"), ValueError, "0..255 become that by `.*/ 255"),
    "float pixels": (GOOD * 255, ValueError, r"lie in \[0, 1\]. Pixels of 0..255 become"),
    "negative": (changed(-0.5), ValueError, r"in \[0, 1\]. Received: values from -0.5 to 0.9"),
    "too large": (changed(1e6), ValueError, r"in \[0, 1\]. Received: values from .* to 1e\+06"),
    "one NaN": (changed(np.nan, (5, 2, 3, 0)), ValueError, "finite. Received: 1 NaN or inf"),
    "infinite": (changed(np.inf), ValueError, "must be finite. Received: 1 NaN or inf"),
    "minus infinity": (changed(-np.inf), ValueError, "must be finite. Received: 1 NaN or inf"),
    "strings": (
        np.full((N, *SHAPE), "a"),
        TypeError,
        "array of numbers. Received: dtype (<U1|object)",
    ),
    "objects": (GOOD.astype(object), TypeError, "array of numbers. Received: dtype object"),
    "complex": (GOOD + 1j, TypeError, "array of numbers. Received: dtype complex"),
    "ragged": ([GOOD[0].tolist(), [1.0]], ValueError, "each example of the same shape"),
}
# What data sets can hold.
BATCHES = {k: v for k, v in BAD_X.items() if k not in ("a number", "objects", "complex", "ragged")}

# Of a model with three labels.
BAD_LABELS = [
    (None, "conditional: give `.*`, labels for 8 examples"),
    (LABELS + 1, "Labels must be from 0 to 2. Received: labels from 1 to 3"),
    (LABELS - 1, "Labels must be from 0 to 2. Received: labels from -1 to 1"),
    (LABELS[:5], r"8 integer labels.*shape \(5,\)"),
    (LABELS + 0.5, "8 integer labels.*dtype float64"),
    (np.where(LABELS, LABELS, np.nan), "8 integer labels.*dtype float64"),
    (np.full(N, np.inf), "Labels must be from 0 to 2"),
    (LABELS == 1, "8 integer labels.*dtype bool"),
    (np.eye(3)[LABELS], r"8 integer labels.*shape \(8, 3\)"),
    (["a"] * N, "8 integer labels.*dtype <U1"),
    ([[0], [1, 2]], "each example of the same shape"),
    (3, "Labels must be from 0 to 2"),
]

# Of a model with two attributes.
BAD_ATTRIBUTES = [
    (None, "conditional: give `.*`, attributes for 8 examples"),
    (np.where(VECTORS > 0.5, np.nan, VECTORS), "Conditions must be finite"),
    (np.where(VECTORS > 0.5, np.inf, VECTORS), "Conditions must be finite"),
    (VECTORS[:5], r"numbers of shape \(8, 2\). Received: shape \(5, 2\)"),
    (VECTORS[:, :1], r"numbers of shape \(8, 2\). Received: shape \(8, 1\)"),
    (LABELS, r"numbers of shape \(8, 2\). Received: shape \(8,\)"),
    (VECTORS.astype(str), r"numbers of shape \(8, 2\).*dtype <U"),
    (VECTORS.astype(object), r"numbers of shape \(8, 2\).*dtype object"),
]

BAD_CODES = [
    (CODES[0], ValueError, r"`z` must have shape \(n, 2\). Received: shape \(2,\)"),
    (CODES[:, :1], ValueError, r"`z` must have shape \(n, 2\). Received: shape \(8, 1\)"),
    (CODES[None], ValueError, r"\(n, 2\). Received: shape \(1, 8, 2\)"),
    (CODES[:0], ValueError, "at least one example"),
    (np.where(CODES > 0, np.nan, CODES), ValueError, "`z` must be finite"),
    (np.where(CODES > 0, np.inf, CODES), ValueError, "`z` must be finite"),
    (CODES.astype(str), TypeError, "`z` must be an array of numbers"),
    (None, TypeError, "`z` must be an array of numbers"),
]

BAD_COUNTS = [0, -1, True, 2.0, "3", None, np.float32(2), np.bool_(True)]

BAD_WEIGHTS = [np.ones(5), np.ones((N, 2)), np.ones((1, N)), 1.0, []]
