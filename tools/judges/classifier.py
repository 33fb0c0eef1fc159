"""A classifier of real images, to judge what a conditional model draws."""

import os
from pathlib import Path

import keras
import numpy as np

from keras_vae import _atomic, datasets
from keras_vae.layers import SpaceToDepth

# What a sample must reach to be called a member of its data set's classes.
CONFIDENT = 0.9


def classifier(data, epochs=8):
    """A small convolutional classifier, trained once and kept in Keras' cache folder.

    Args:
        data: name of a data set with integer labels.
        epochs: passes over the training split, if it must be trained.

    Returns:
        `(model, accuracy)`: images `(n, h, w, c)` to class probabilities, and its
        accuracy on the test split.
    """
    model = kept(data, epochs)
    x, y = datasets.load(data, "test")
    return model, float((probabilities(model, x).argmax(-1) == y).mean())


def kept(data, epochs=8):
    """The model of `classifier` alone."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    path = home / "keras_vae" / f"{data}_classifier.keras"
    if path.is_file():
        return keras.saving.load_model(path)
    model = _trained(data, epochs)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _atomic.file(path) as new:
        model.save(new)
    return model


def convolutions(data):
    """A model from images to what the classifier's convolutions see, one output each."""
    judge, _ = classifier(data)
    found = [x.output for x in judge.layers if isinstance(x, keras.layers.Conv2D)]
    return keras.Model(judge.inputs[0], found, name="convolutions")


def probabilities(model, x):
    """Class probabilities `(n, classes)`, NumPy."""
    return model.predict(np.asarray(x), batch_size=500, verbose=0)


def judged(drawn, asked, x, data, entry):
    """What a classifier of real images makes of samples.

    Args:
        drawn: samples.
        asked: the labels that they were asked for, or None.
        x: real images of the split, for comparison.
        data: name of a data set with integer labels.
        entry: makes an entry of the metadata; see `evaluate.evaluate`.

    Returns:
        List of entries.
    """
    judge, accuracy = classifier(data)
    read = probabilities(judge, drawn)
    real = probabilities(judge, x)
    how = (
        f"{len(drawn)} samples, judged by a classifier that was trained on the training split and "
        f"reads {100 * accuracy:.2f} % of the test split; "
    )
    called = 100 * (read.max(-1) >= CONFIDENT).mean()
    control = f"real images {100 * (real.max(-1) >= CONFIDENT).mean():.1f} %, "
    found = [
        entry(
            f"samples called one class with {100 * CONFIDENT:.0f} % confidence",
            called,
            unit="%",
            digits=1,
            how=how + control,
        )
    ]
    if asked is not None:
        agreed = 100 * (read.argmax(-1) == asked).mean()
        found.append(entry("asked label read by a classifier", agreed, unit="%", digits=1, how=how))
    return found


def _trained(data, epochs):
    print(f"Training a classifier of {data} on its training split:")
    keras.utils.set_random_seed(0)
    x, y = datasets.load(data, "train")
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            SpaceToDepth(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            SpaceToDepth(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(len(datasets.info(data).classes), activation="softmax"),
        ]
    )
    steps = epochs * -(-len(x) // 128)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x, y, batch_size=128, epochs=epochs)
    return model
