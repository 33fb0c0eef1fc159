"""Classifiers of face attributes: some train a model, another one measures it.

The one that measures is of another architecture and seed than those that train,
and no training step ever sees it.
"""

import os
from pathlib import Path

import keras
import numpy as np

from keras_vae import datasets
from keras_vae.layers import Augment, SpaceToDepth

MEASURES = "measures"
TRAINS = ("trains_a", "trains_b", "trains_c", "trains_d")
# Channels, kernel and stride of the one that measures.
_STAGES = ((32, 5, 2), (64, 3, 2), (64, 3, 1), (128, 3, 2), (128, 3, 1), (256, 3, 2))
_SEEDS = {MEASURES: 100, "trains_a": 1, "trains_b": 2, "trains_c": 3, "trains_d": 4}


def classifier(name, data="celeb_a_64", epochs=None):
    """An attribute classifier, trained once and kept in Keras' cache folder.

    Args:
        name: "measures", or one of `TRAINS`.
        data: name of a data set with attributes.
        epochs: passes over the training split, if it must be trained; 5 for the one
            that measures and 8 for the others by default.

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
    elif name == "trains_a":
        for width in (32, 64, 128, 256):
            x = layers.Conv2D(width, 4, 2, padding="same")(x)
            x = layers.LeakyReLU(0.1)(x)
        x = layers.Dropout(0.4)(layers.Flatten()(x))
        x = layers.Dense(256, activation="relu")(x)
    elif name == "trains_c":
        for width, stride in ((32, 2), (64, 2), (96, 1), (128, 2), (256, 2)):
            x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False)(x)
            x = layers.Activation("elu")(layers.BatchNormalization()(x))
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.Dense(256, activation="elu")(x)
    elif name == "trains_d":
        x = layers.Conv2D(32, 7, 2, padding="same", activation="relu")(x)
        for width in (64, 96, 128):
            x = layers.MaxPooling2D(2)(x)
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.Dropout(0.4)(layers.Flatten()(x))
        x = layers.Dense(192, activation="relu")(x)
    else:
        x = SpaceToDepth(4)(x)
        for width, stride in ((64, 1), (128, 2), (128, 1), (192, 2)):
            x = layers.Conv2D(width, 3, stride, padding="same", activation="silu")(x)
        x = layers.Flatten()(x)
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
