"""CelebA's originals, cropped to the face and resized."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_vae import _checks


def crop_faces(x: NDArray[Any], size: int = 64) -> NDArray[Any]:
    """Crops and resizes CelebA's aligned originals, as `celeb_a_64` was made.

    The crop is the middle 148 x 148 pixels (from row 35, column 15); each new pixel is the
    mean of the area that it covers. `celeb_a_64` was resized with a Lanczos filter and
    stored as JPEG: its pictures are slightly sharper.

    Args:
        x: pictures `(n, 218, 178, 3)`, uint8 of 0..255 or floats.
        size: height and width of the result, 1 to 148.

    Returns:
        `(n, size, size, 3)`: uint8 for uint8, else float32.

    Raises:
        ValueError: another shape, or `size` out of range.
    """
    x = np.asarray(x)
    if x.ndim != 4 or x.shape[1:] != (218, 178, 3):
        raise ValueError(
            f"`x` must be CelebA's aligned originals, (n, 218, 178, 3). Received: shape {x.shape}"
        )
    if not _checks.is_integer(size, 1, 148):
        raise ValueError(f"`size` must be an integer from 1 to 148. Received: size={size!r}")
    weights = _area_weights(148, int(size))
    cropped = x[:, 35:183, 15:163].astype("float32")
    # Rows first, then columns: the mean over an area is separable.
    small = np.einsum("ih,nhwc->niwc", weights, cropped, optimize=True)
    small = np.einsum("jw,niwc->nijc", weights, small, optimize=True)
    if x.dtype == np.uint8:
        return np.clip(np.rint(small), 0, 255).astype("uint8")
    return small.astype("float32")


def _area_weights(old, new):
    """`(new, old)`: share of each old pixel in each new one; rows sum to 1."""
    edges = np.arange(new + 1) * (old / new)
    pixel = np.arange(old)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.maximum(overlap, 0) * (new / old)).astype("float32")
