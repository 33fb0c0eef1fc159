"""`benchmark`: how fast `fit` trains, on each backend, and what the networks gain."""

import importlib.util
import os
import statistics
import subprocess
import sys
import time

import keras
import numpy as np
from keras import layers

from keras_vae import models, posteriors

BACKENDS = ("tensorflow", "jax", "torch")
SHAPE, BATCH = (28, 28, 1), 128


def networks():
    """Models by name: those of the zoo's recipes, and a strided twin to compare with."""
    conv = {"network": "conv", "units": (32, 64), "hidden": 0, "latent_dim": 32}
    return {
        "dense 300-300": models.vae(SHAPE, 40, units=(300, 300)),
        "conv 32-64, sub-pixel (ours)": models.vae(SHAPE, **conv),
        "conv 32-64, strided and transposed": _strided(),
    }


def _strided():
    """The same stages with stride-2 and transposed convolutions of 4 × 4 pixels."""
    data, code = keras.Input(SHAPE), keras.Input((32,))
    x = layers.Conv2D(32, 4, 2, padding="same", activation="relu")(data)
    x = layers.Conv2D(64, 4, 2, padding="same", activation="relu")(x)
    encoder = keras.Model(data, layers.Flatten()(x))
    x = layers.Reshape((7, 7, 64))(layers.Dense(7 * 7 * 64, activation="relu")(code))
    x = layers.Conv2DTranspose(32, 4, 2, padding="same", activation="relu")(x)
    decoder = keras.Model(code, layers.Conv2DTranspose(1, 4, 2, padding="same")(x))
    return models.VAE(encoder, decoder, posteriors.DiagonalNormal(32))


def here(rounds=5, steps=30):
    """Prints images a second of `fit` on this backend; the compiling run apart.

    The networks take turns, so that a change in the machine's load meets them all.
    """
    x = np.random.default_rng(0).random((steps * BATCH, *SHAPE), "float32")
    found, wall, cpu = networks(), {}, {}
    for name, model in found.items():
        started = time.perf_counter()
        model.fit(x[:BATCH], batch_size=BATCH, verbose=0)
        print(f"# {name}: first step in {time.perf_counter() - started:.1f} s")
    for _ in range(rounds):
        for name, model in found.items():
            started, used = time.perf_counter(), time.process_time()
            model.fit(x, batch_size=BATCH, verbose=0)
            wall.setdefault(name, []).append(len(x) / (time.perf_counter() - started))
            cpu.setdefault(name, []).append(len(x) / (time.process_time() - used))
    for name in found:
        row = (keras.backend.backend(), name, *map(statistics.median, (wall[name], cpu[name])))
        print("| {} | {} | {:.0f} | {:.0f} |".format(*row), flush=True)


def everywhere():
    """Prints the table of all backends that are installed, each in its own process."""
    print("| backend | network | images / s | images / CPU-second |\n|---|---|---|---|", flush=True)
    for backend in BACKENDS:
        if importlib.util.find_spec(backend) is None:
            print(f"| {backend} | not installed | | |")
            continue
        command = [sys.executable, "-m", __package__, "benchmark", "--here"]
        subprocess.run(command, env={**os.environ, "KERAS_BACKEND": backend}, check=True)
