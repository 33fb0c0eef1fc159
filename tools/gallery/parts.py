"""What the figures share: digits, a judge of them, short training, panels of pictures."""

import functools
import io
from pathlib import Path

import keras
import numpy as np

from keras_vae import datasets
from keras_vae.plots import _figures

from ..applications import uses
from ..demo import digits
from ..judges.classifier import CONFIDENT, kept, probabilities

# What training here sees: the first examples of the training split.
EXAMPLES = 10_000
DPI = 85
# Bytes of a picture.
LARGEST = 60_000


@functools.cache
def prepared():
    """Whether MNIST is on disk; says so once where it is not."""
    try:
        datasets.load("mnist", "test", limit=1, download=False)
    except FileNotFoundError as error:
        print(
            "MNIST is not prepared here, so that the 1,000 digits that come with the code stand "
            "in for it: figures and numbers are not those of the lessons. To get it: "
            f"keras_vae.datasets.load('mnist'). Received: {error}"
        )
        return False
    return True


@functools.cache
def mnist(split, limit=None):
    """`(x, y)` of a split; of the packaged digits 800 to train and 200 to test where it lacks."""
    if prepared():
        return tuple(datasets.load("mnist", split, limit=limit, download=False))
    x, y = digits()
    part = slice(0, 800) if split == "train" else slice(800, 1000)
    return x[part][:limit], y[part][:limit]


@functools.cache
def judge():
    """A classifier of real digits: images `(n, 28, 28, 1)` to probabilities."""
    if prepared():
        return kept("mnist")
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(128, activation="relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(*mnist("train"), epochs=20, verbose=0)
    return model


def sure(images):
    """Percentage of pictures that the judge calls one digit with 90 % confidence."""
    return percent(probabilities(judge(), images).max(axis=-1) >= CONFIDENT)


def digit_shares(images):
    """Percentage of pictures that the judge reads as each of the ten digits, most first."""
    read = probabilities(judge(), images).argmax(axis=-1)
    return sorted((percent(read == digit) for digit in range(10)), reverse=True)


def percent(found):
    """Percentage of True, to one decimal."""
    return round(100 * float(np.mean(found)), 1)


def mse(model, x):
    """Mean squared error of a pixel, to four decimals."""
    return round(float(np.square(model.reconstruct(x) - x).mean(dtype="float64")), 4)


def train(model, x, epochs, title, seed=0, learning_rate=2e-3):
    """Trains a small model, with a bar; returns it."""
    uses._fit(model, x, epochs, 128, learning_rate, seed, [Bar(title)])
    return model


class Bar(keras.callbacks.Callback):
    """One bar for a whole training."""

    def __init__(self, title):
        super().__init__()
        self.title = title

    def on_train_begin(self, logs=None):
        print(f"Training {self.title}:", flush=True)
        self.bar = keras.utils.Progbar(self.params["epochs"], unit_name="epoch")

    def on_epoch_end(self, epoch, logs=None):
        self.bar.update(epoch + 1)


def figure(rows, columns, width, height, **options):
    """An empty figure of panels: `(figure, axes)`, axes an array `(rows, columns)`."""
    made = _figures.new_figure(width, height, dpi=DPI, chart=True)
    return made, made.subplots(rows, columns, squeeze=False, **options)


def save(made, path):
    """Saves a figure; a JPEG as well as it goes into 60 KB."""
    path = Path(path)
    if path.suffix != ".jpg":
        _figures.saved(made, path)
        return
    drawn = io.BytesIO()
    made.savefig(drawn, format="png", dpi=made.dpi)
    # What matplotlib itself reads and writes pictures with.
    from PIL import Image

    for quality in (88, 80, 72, 64, 56, 48, 40):
        buffer = io.BytesIO()
        Image.open(drawn).convert("RGB").save(buffer, "jpeg", quality=quality, optimize=True)
        if buffer.tell() <= LARGEST:
            break
    path.write_bytes(buffer.getvalue())


def tiles(axes, images, columns, title="", rows=None):
    """Pictures side by side in one panel; `rows` are texts on their left."""
    images = np.clip(images, 0, 1)
    n, height, width, channels = images.shape
    lines = -(-n // columns)
    sheet = np.full((lines * (height + 1), columns * (width + 1), channels), 0.8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        sheet[top : top + height, left : left + width] = image
    axes.imshow(sheet.squeeze(), cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    places = np.arange(lines) * (height + 1) + height / 2
    axes.set_yticks(places if rows else [], rows or [], fontsize=9)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    axes.set_title(title, fontsize=11)


def scatter(axes, codes, labels, title, reach=None):
    """Codes `(n, 2)` in the colours of their ten classes."""
    drawn = axes.scatter(*codes.T, c=labels, cmap="tab10", vmin=-0.5, vmax=9.5, s=3, alpha=0.7)
    if reach:
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.set_aspect("equal", adjustable="box" if reach else "datalim")
    axes.set_xlabel("$z_1$", fontsize=9)
    axes.set_ylabel("$z_2$", fontsize=9, labelpad=0)
    axes.tick_params(labelsize=8)
    axes.set_title(title, fontsize=11)
    return drawn


def colours(made, drawn, axes):
    """The legend of `scatter`: which colour is which digit."""
    bar = made.colorbar(drawn, ax=axes, ticks=range(10), shrink=0.8, pad=0.02)
    bar.set_label("digit", fontsize=9)
    bar.ax.tick_params(labelsize=9, length=0)


def heads(axes, titles, width):
    """Texts above the columns of tiles that are `width` wide."""
    places = np.arange(len(titles)) * (width + 1) + width / 2
    axes.set_xticks(places, titles, fontsize=10)
    axes.tick_params(labeltop=True, labelbottom=False)


def finish(axes, x_label, y_label, title=""):
    """Names of a chart's axes."""
    _figures.finish(axes, x_label, y_label, title)


def grid(low, high, n):
    """Codes `(n * n, 2)` from the upper left to the lower right of a box."""
    across, up = (np.linspace(a, b, n) for a, b in zip(low, high, strict=True))
    return np.stack([np.tile(across, n), np.repeat(up[::-1], n)], axis=1).astype("float32")
