"""`train`: rebuilds a preset from its recipe; stops and goes on where it was."""

import json
import os
import platform
import shutil
import time
from importlib import metadata
from pathlib import Path

import keras
import numpy as np

from keras_vae import zoo

from . import card, recipes


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the lowest validation loss, on disk."""

    def __init__(self, folder, patience):
        super().__init__()
        self.weights, self.notes = folder / "best.npz", folder / "best.json"
        self.patience = patience
        self.best = {"epoch": 0, "val_loss": float("inf")}
        if self.notes.is_file():
            self.best = json.loads(self.notes.read_text())

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_loss"] < self.best["val_loss"]:
            self.best = {"epoch": epoch + 1, "val_loss": float(logs["val_loss"])}
            values = [np.asarray(w) for w in self.model.get_weights()]
            _replace(self.weights, lambda file: np.savez(file, *values))
            _replace(self.notes, lambda f: f.write(json.dumps(self.best).encode()))
        elif epoch + 1 - self.best["epoch"] >= self.patience:
            print(f"No better epoch in {self.patience}: stopping.")
            self.model.stop_training = True

    def restore(self):
        """Puts the best weights into the model."""
        with np.load(self.weights) as values:
            self.model.set_weights([values[f"arr_{i}"] for i in range(len(values))])


def _replace(path, write):
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        write(file)
    os.replace(new, path)


def train(name, out=None, epochs=None, restart=False, limit=None):
    """Trains what a recipe describes and writes the preset.

    Args:
        name: a preset's name, or a folder with a `recipe.json`.
        out: folder to write; the recipe's own by default.
        epochs: instead of the recipe's; the learning rate's decay is scaled.
        restart: forget the epochs that an interrupted run has done.
        limit: train and validate on the first examples only.

    Returns:
        The folder of the preset.
    """
    source = recipes.find(name)
    recipe = recipes.read(source)
    out = Path(out) if out else source
    training = recipe["training"]
    epochs = epochs or training["epochs"]
    runs = out.parent / ".runs" / out.name
    if restart:
        shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir(parents=True, exist_ok=True)

    shape = recipes.build(recipe)
    x, y = recipes.data(recipe, "train", shape, limit)
    validation = recipes.data(recipe, "validation", shape, limit)
    batch = training["batch_size"]
    steps = -(-len(x) // batch)
    model = recipes.build(recipe, steps)
    model.compile(
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(training["learning_rate"], steps * epochs),
            use_ema=True,
            ema_momentum=training["weight_average"],
        )
    )
    best = KeepBest(runs, training.get("patience", epochs))
    # In this order: back up the raw weights, then swap in the averaged ones,
    # which are those that validation saw and that are kept.
    callbacks = [
        keras.callbacks.BackupAndRestore(runs / "backup", delete_checkpoint=False),
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        best,
        keras.callbacks.CSVLogger(runs / "log.csv", append=True),
    ]
    started = time.monotonic()
    model.fit(
        x,
        y,
        batch_size=batch,
        epochs=epochs,
        validation_data=validation,
        validation_batch_size=500,
        callbacks=callbacks,
        verbose=training.get("verbose", 1 if os.isatty(1) else 2),
    )
    seconds = time.monotonic() - started
    best.set_model(model)
    best.restore()

    test = recipes.data(recipe, "test", model, limit=8)
    written = {
        "name": out.name,
        "description": recipe["description"],
        "data": recipe["data_terms"],
        "paper": recipe["paper"],
        "licence": recipe["licence"],
        "training": {
            "epochs": epochs,
            "best_epoch": best.best["epoch"],
            "validation_loss": round(best.best["val_loss"], 3),
            "seconds_of_this_run": round(seconds),
            "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores",
            "backend": keras.backend.backend(),
        },
        "made_with": _versions(),
        "metrics": [],
    }
    kept = {recipes.RECIPE: zoo.dump_json(recipe)}
    if (runs / "log.csv").is_file():
        kept["log.csv"] = (runs / "log.csv").read_text()
    if out.is_dir() and (out / zoo.METADATA).is_file():
        written["version"] = zoo.info(out)["version"] + 1
    zoo.save(model, out, written, golden=[a for a in test if a is not None], files=kept)
    card.write(out)
    shutil.rmtree(runs, ignore_errors=True)
    return out


def _versions():
    names = ("keras", "tensorflow", "jax", "torch", "numpy")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), **found}
