"""What tests share: paths, small pictures, arrays of any backend."""

from pathlib import Path

import keras
import numpy as np
from keras import ops

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (8, 8, 1)


def make_images(rng, n, shape=SHAPE):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    centre = rng.uniform(1, shape[0] - 2, (n, 2, 1, 1))
    squared = (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2
    blobs = np.exp(-squared / 4.0)[..., None]
    return np.repeat(blobs, shape[2], axis=-1).astype("float32")


def array(tensor):
    """A tensor of any backend as NumPy, float64 where it is a number."""
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def tensor(value):
    """A float32 tensor of this backend."""
    return ops.convert_to_tensor(np.asarray(value, "float32"))
