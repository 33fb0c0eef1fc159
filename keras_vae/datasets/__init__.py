"""Arrays from TensorFlow Datasets (TFDS), by name, offline when prepared.

Images come as NumPy arrays, channels last, whatever the Keras backend; the
order is always the same, so the first `n` images are the same images anywhere.
"""

from keras_vae.datasets.loading import (
    CELEBA_ATTRIBUTES,
    DTYPES,
    SPLITS,
    Data,
    Info,
    crop_faces,
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
