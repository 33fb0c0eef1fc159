"""Classifiers of face attributes: one chooses on validation faces, another one measures.

They differ in architecture and seed, and no training step of a model ever sees them.
"""

import os
from pathlib import Path

import keras
import numpy as np

from keras_vae import datasets
from keras_vae.layers import Augment

CHOOSES, MEASURES = "chooses", "measures"
# Channels, kernel and stride of the one that measures.
_STAGES = ((32, 5, 2), (64, 3, 2), (64, 3, 1), (128, 3, 2), (128, 3, 1), (256, 3, 2))
_SEEDS = {MEASURES: 100, CHOOSES: 1}


def classifier(name, data="celeb_a_64", epochs=None):
    """An attribute classifier, trained once and kept in Keras' cache folder.

    Args:
        name: "measures" or "chooses".
        data: name of a data set with attributes.
        epochs: passes over the training split, if it must be trained; 5 for the one
            that measures and 8 for the other by default.

    Returns:
        A model from pictures `(n, h, w, 3)` in [0, 1] to logits `(n, 40)`. They are
        shifted so that 0 is the threshold which gives the best balanced accuracy on
        the validation split: at the plain 0 a rare attribute is hardly ever read.

    Raises:
        ValueError: unknown name.
    """
    if name not in _SEEDS:
        raise ValueError(f"`name` must be one of {tuple(_SEEDS)}. Received: name={name!r}")
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    path = home / "keras_vae" / f"{data}_attributes_{name}.weights.h5"
    model = _network(name, datasets.info(data).shape, len(datasets.info(data).attributes))
    if path.is_file():
        model.load_weights(path)
    else:
        _train(model, name, data, epochs or (5 if name == MEASURES else 8))
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name.split('.')[0]}.{os.getpid()}.weights.h5")
        model.save_weights(new)
        os.replace(new, path)
    model.trainable = False
    return model


def logits(model, x):
    """Logits `(n, 40)` of pictures, NumPy; above 0 an attribute is read as present."""
    return model.predict(np.asarray(x), batch_size=500, verbose=0)


def balanced_accuracy(scores, y):
    """Mean of the shares of present and of absent attributes that are read right, `(40,)`."""
    read, y = scores > 0, y > 0.5
    with np.errstate(invalid="ignore"):
        return 0.5 * ((read & y).sum(0) / y.sum(0) + (~read & ~y).sum(0) / (~y).sum(0))


def best_thresholds(scores, y):
    """The thresholds `(k,)` of scores `(n, k)` with the best balanced accuracy on y `(n, k)`."""
    tried = np.quantile(scores, np.linspace(0.002, 0.998, 499), axis=0)
    found = np.stack([balanced_accuracy(scores - t, y) for t in tried])
    # The accuracy is ragged in the threshold: smoothed, its maximum is not a fluke.
    kernel = np.ones(15) / 15
    found = np.apply_along_axis(lambda a: np.convolve(a, kernel, "same"), 0, found)
    return tried[found.argmax(0), np.arange(y.shape[1])]


def _network(name, shape, attributes):
    keras.utils.set_random_seed(_SEEDS[name])
    layers = keras.layers
    inputs = keras.Input(shape)
    x = inputs - 0.5
    if name == MEASURES:
        for width, kernel, stride in _STAGES:
            x = layers.Conv2D(width, kernel, stride, padding="same", use_bias=False)(x)
            x = layers.Activation("relu")(layers.BatchNormalization()(x))
        x = layers.Dropout(0.3)(layers.Flatten()(x))
        x = layers.Dense(256, activation="relu")(x)
    else:
        for width in (32, 64, 128, 256):
            x = layers.Conv2D(width, 4, 2, padding="same")(x)
            x = layers.LeakyReLU(0.1)(x)
        x = layers.Dropout(0.4)(layers.Flatten()(x))
        x = layers.Dense(256, activation="relu")(x)
    x = layers.Dropout(0.4)(x)
    return keras.Model(inputs, layers.Dense(attributes)(x), name=name)


def _train(model, name, data, epochs):
    print(f"Training the attribute classifier {name!r} of {data}:", flush=True)
    x, y = datasets.load(data, "train")
    seen = keras.Sequential([keras.Input(x.shape[1:]), Augment(seed=_SEEDS[name]), model])
    steps = epochs * -(-len(x) // 128)
    seen.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                1e-3, steps, warmup_target=2e-3, warmup_steps=200
            ),
            weight_decay=0.01,
        ),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    seen.fit(x, y, batch_size=128, epochs=epochs, verbose=2)
    _calibrate(model, *datasets.load(data, "validation"))


def _calibrate(model, x, y):
    """Moves the last bias so that 0 is the best threshold of each attribute."""
    best = best_thresholds(logits(model, x), y)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias - best])
