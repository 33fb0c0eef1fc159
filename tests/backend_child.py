"""Run by test_backends.py, once for each backend: `save`, `load` or `terms` in a folder."""

import sys
from pathlib import Path

import keras
import numpy as np
from registry import TINY, data, evidence, make

from keras_vae import models, zoo
from tools.demo import digits

BACKENDS = ("tensorflow", "jax", "torch")
HERE = keras.backend.backend()


def small():
    return models.cvae((28, 28, 1), 4, "residual", units=(4,), num_classes=10, seed=0)


def save(folder):
    x, y = digits()
    model = small()
    model.fit(x[:64], y[:64], verbose=0)
    model.save(folder / f"{HERE}.keras")
    model.save_weights(folder / f"{HERE}.weights.h5")
    zoo.save(model, folder / f"{HERE}_preset")
    expected = {"small": model.reconstruct(x[:64], condition=y[:64])}
    for name in zoo.list_models():
        preset = zoo.load(name)
        data, condition = x[:256], (None if preset.condition is None else y[:256])
        z = np.random.default_rng(0).standard_normal((256, preset.latent_dim), "float32")
        expected[f"{name}.encode"] = preset.encode(data, condition)
        expected[f"{name}.decode"] = preset.decode(z, condition)
        expected[f"{name}.sample"] = preset.sample(
            8, condition=0 if preset.condition else None, seed=3
        )
        expected[f"{name}.bound"] = preset.log_likelihood(
            data[:4], 20, None if condition is None else condition[:4]
        )
    np.savez(folder / f"{HERE}.npz", **expected)


def load(folder):
    x, y = digits()
    x, y = x[:64], y[:64]
    for other in BACKENDS:
        expected = np.load(folder / f"{other}.npz")["small"]
        fresh = small()
        fresh.compile("adam")
        fresh.load_weights(folder / f"{other}.weights.h5")
        loaded = {
            "keras": keras.saving.load_model(folder / f"{other}.keras"),
            "weights": fresh,
            "preset": zoo.load(folder / f"{other}_preset"),
        }
        for kind, model in loaded.items():
            found = model.reconstruct(x, condition=y)
            difference = np.abs(found - expected).max()
            before = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
            model.fit(x, y, epochs=5, verbose=0)
            after = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
            print(f"{other} {HERE} {kind} {difference} {before} {after}", flush=True)


def terms(folder):
    """Every named term of every model, given weights and noise."""
    found = {}
    for name in TINY:
        model = make(name)
        x, y = data(name)
        noise = np.random.default_rng(0).standard_normal((4, len(x), model.latent_dim), "float32")
        for training in (False, True):
            loss, named = model.objective(evidence(model, x, y, noise, training))
            for term, values in {"loss": loss, **named}.items():
                key = f"{name}.{'training' if training else 'evaluation'}.{term}"
                found[key] = keras.ops.convert_to_numpy(values)
    np.savez(folder / f"{HERE}_terms.npz", **found)


if __name__ == "__main__":
    {"save": save, "load": load, "terms": terms}[sys.argv[1]](Path(sys.argv[2]))
