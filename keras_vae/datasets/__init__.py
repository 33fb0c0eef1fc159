"""Arrays from TensorFlow Datasets (TFDS), by name, offline when prepared.

Images are NumPy arrays, channels last, on every Keras backend. The order is fixed: the
first `n` images are the same on every machine.
"""

from keras_vae.datasets.faces import crop_faces
from keras_vae.datasets.loading import (
    CELEBA_ATTRIBUTES,
    DTYPES,
    SPLITS,
    Data,
    Info,
    info,
    load,
    names,
)

__all__ = [
    "CELEBA_ATTRIBUTES",
    "DTYPES",
    "Data",
    "Info",
    "SPLITS",
    "crop_faces",
    "info",
    "load",
    "names",
]
