"""Sprites: white shapes on black, computed from five known factors.

The factors are those of dSprites (Matthey et al., "dSprites: Disentanglement testing
Sprites dataset", 2017), the pictures are not: shapes, sizes and margins differ, so that
scores on the two data sets are not comparable. Each combination of factors is one picture
of 64 × 64 pixels, 737,280 in total. NumPy only; only the split is random.
"""

import functools

import numpy as np

NAMES = ("shape", "scale", "orientation", "x_position", "y_position")
SIZES = (3, 6, 40, 32, 32)
SHAPES = ("square", "ellipse", "heart")
TOTAL = int(np.prod(SIZES))
SIDE = 64
# Values of the classes of each factor: orientations in radians, counterclockwise, up to one
# step before a full turn; positions from the left and from the top.
VALUES = {
    "shape": SHAPES,
    "scale": np.linspace(0.5, 1.0, 6),
    "orientation": np.arange(40) * (2 * np.pi / 40),
    "x_position": np.linspace(0.0, 1.0, 32),
    "y_position": np.linspace(0.0, 1.0, 32),
}
HELD_OUT = 10_000
# Default size of the training split: 0.8 GB as float32.
DEFAULT = 50_000
# Largest distance of a shape's pixels from its centre, which moves by whole pixels.
_REACH = 16


def draw(factors, dtype="float32"):
    """Draws the pictures of given factors.

    Args:
        factors: classes `(n, 5)`, integers in the order of `NAMES`, from 0 to below the
            number in `SIZES`.
        dtype: "float32" or "uint8"; 0 and 1 in both.

    Returns:
        `(n, 64, 64, 1)`.

    Raises:
        ValueError: factors of another shape or type, or out of range.
    """
    factors = np.asarray(factors)
    if factors.ndim != 2 or factors.shape[1] != len(SIZES) or factors.dtype.kind not in "iu":
        raise ValueError(
            f"`factors` must be integers (n, {len(SIZES)}): {', '.join(NAMES)}. "
            f"Received: shape {factors.shape}, dtype {factors.dtype}"
        )
    if (factors < 0).any() or (factors >= SIZES).any():
        row = factors[((factors < 0) | (factors >= SIZES)).any(axis=1)][0]
        raise ValueError(
            f"`factors` must be from 0 to less than {SIZES}. Received: {tuple(map(int, row))}"
        )
    shape, scale, orientation, x, y = factors.T.astype("int64")
    pictures = np.zeros((len(factors), SIDE, SIDE, 1), dtype)
    span = np.arange(2 * _REACH + 1)
    pictures[
        np.arange(len(factors))[:, None, None],
        (y[:, None] + span)[:, :, None],
        (x[:, None] + span)[:, None, :],
        0,
    ] = _masks()[shape, scale, orientation]
    return pictures


@functools.cache
def _masks():
    """Masks of all shapes, scales and orientations, `(3, 6, 40, 33, 33)` uint8."""
    offset = np.arange(-_REACH, _REACH + 1.0)
    angle = VALUES["orientation"][:, None, None]
    right, up = offset[None, None, :], -offset[None, :, None]
    # Coordinates of the pixels in the axes of the rotated shape, divided by the scale.
    u = np.cos(angle) * right + np.sin(angle) * up
    v = np.cos(angle) * up - np.sin(angle) * right
    scale = VALUES["scale"][:, None, None, None]
    u, v = u / scale, v / scale
    # No edge passes through the centre of a pixel, where rounding would decide.
    square = np.maximum(np.abs(u), np.abs(v)) <= 9.25
    ellipse = (u / 12.2) ** 2 + (v / 7.2) ** 2 <= 1
    # The curve (a² + b² - 1)³ = a² b³, its tip below.
    a, b = u / 9.6, v / 9.6
    heart = (a**2 + b**2 - 1) ** 3 <= a**2 * b**3
    return np.stack([square, ellipse, heart]).astype("uint8")


def classes(index):
    """Factors `(n, 5)` int32 of indices `(n,)` from 0 to 737,279; the last varies fastest."""
    return np.stack(np.unravel_index(np.asarray(index), SIZES), axis=1).astype("int32")


def rows(split, limit=None):
    """Indices of the pictures of a split, in order: parts of a fixed permutation.

    "test" is its last 10,000, "validation" the 10,000 before, "train" the rest, by default
    its first 50,000.
    """
    order = np.random.default_rng(0).permutation(TOTAL)
    first = TOTAL - 2 * HELD_OUT
    start, stop = {
        "train": (0, first),
        "validation": (first, first + HELD_OUT),
        "test": (first + HELD_OUT, TOTAL),
    }[split]
    if limit is None and split == "train":
        limit = DEFAULT
    return order[start : stop if limit is None else min(stop, start + limit)]


def load(split, dtype="float32", limit=None):
    """`(x, y)` of a split: pictures as in `draw` and their factors `(n, 5)` int32."""
    y = classes(rows(split, limit))
    return draw(y, dtype), y
