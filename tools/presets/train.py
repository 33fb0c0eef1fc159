"""`train`: rebuilds a preset from its recipe; stops and goes on where it was."""

import contextlib
import json
import os
import platform
import shutil
import time
from importlib import metadata
from pathlib import Path

import keras
import numpy as np

from keras_vae import _atomic, callbacks, datasets, distribution, priors, zoo
from keras_vae.callbacks.state import assign, seeds, values
from keras_vae.training import processes
from keras_vae.zoo import description

from .. import machine
from . import card, faces, recipes


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights of one epoch on disk: of the lowest validation loss, or the last.

    Args:
        folder: where to.
        patience: epochs without a better one after which training stops.
        last: keep the last epoch's, whatever its loss.
    """

    def __init__(self, folder, patience, last=False):
        super().__init__()
        self.weights, self.notes = folder / "best.npz", folder / "best.json"
        self.patience, self.last = patience, last
        self.best = {"epoch": 0, "val_loss": float("inf")}
        notes = processes.of_first(self._read)
        if "notes" in notes:
            self.best = json.loads(str(notes["notes"]))

    def _read(self):
        return {"notes": np.array(self.notes.read_text())} if self.notes.is_file() else {}

    def on_epoch_end(self, epoch, logs=None):
        if self.last or logs["val_loss"] < self.best["val_loss"]:
            self.best = {"epoch": epoch + 1, "val_loss": float(logs["val_loss"])}
            if not distribution.current().is_first:
                return
            values = [np.asarray(w) for w in self.model.get_weights()]
            with _atomic.file(self.weights) as new:
                np.savez(new, *values)
            _atomic.write_text(self.notes, json.dumps(self.best))
        elif epoch + 1 - self.best["epoch"] >= self.patience:
            _say(f"No better epoch in {self.patience}: stopping.")
            self.model.stop_training = True

    def restore(self):
        """Puts the kept weights into the model."""

        def read():
            with np.load(self.weights) as file:
                return {name: file[name] for name in file.files}

        values = processes.of_first(read)
        self.model.set_weights([values[f"arr_{i}"] for i in range(len(values))])


class TimeLeft(keras.callbacks.Callback):
    """Says after each epoch how long the rest will take."""

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        left = self.params["epochs"] - epoch - 1
        if left:
            minutes = left * (time.monotonic() - self.began) / 60
            _say(f"About {minutes:.0f} min left: {left} epochs.")


class Mirrored(callbacks.Shuffled):
    """Shuffled batches in which half of the pictures `(n, h, w, c)` are mirrored."""

    def changed(self, x, rng):
        turned = rng.random(len(x)) < 0.5
        x[turned] = x[turned, :, ::-1]
        return x


def train(name, out=None, epochs=None, restart=False, limit=None, plot=None):
    """Trains what a recipe describes and writes the preset.

    After `distribution.start()` all processes call it; the first one writes.

    Args:
        name: a preset's name, or a folder with a `recipe.json`.
        out: folder to write; the recipe's own by default.
        epochs: instead of the recipe's; the learning rate's decay is scaled.
        restart: forget the epochs that an interrupted run has done.
        limit: train and validate on the first examples only.
        plot: epochs from one drawing of curves, samples and reconstructions to the
            next, in `.runs` beside the folder of the preset; None for none.

    Returns:
        The folder of the preset.
    """
    source = recipes.find(name)
    recipe = recipes.read(source)
    out = Path(out) if out else source
    training = recipe["training"]
    epochs = epochs or training["epochs"]
    runs = out.parent / ".runs" / out.name
    model, (x, y), validation = begin(recipe, runs, restart, limit)
    started = time.monotonic()
    watch = [] if plot is None else [_watch(recipe, model, validation, plot, out)]
    trained = recipes.taught(model, y, training["critic"]) if "critic" in training else model
    with _without_prior(trained, training):
        best = _fit(trained, x, y, validation, {**training, "epochs": epochs}, runs, watch=watch)
    # A discriminator is several times as large as the model, and has nothing more to do.
    model = _in_float32(trained.plain(), recipe)
    if "prior" in training:
        best.best["prior"] = _fit_prior(model, x, y, validation, training, runs, limit and epochs)
    bits = training.get("bits", 9)
    weights = [rounded(w, bits) for w in model.get_weights()]
    if processes.several():
        first, drawn = distribution.current().is_first, values(seeds(model))
        # What follows is one process's work.
        distribution.stop()
        if not first:
            return out
        model = recipes.build(recipe)
        assign(seeds(model), drawn)
    model.set_weights(weights)
    if training.get("fitted_prior"):
        model = model.with_fitted_prior(x, y)
    if training.get("sampler"):
        model.fit_sampler(x, y=y, **training["sampler"])
    if training.get("directions"):
        _, attributes = datasets.load(recipe["data"], "train", limit=limit)
        model = model.with_directions(x, attributes, training["directions"])
    seconds = time.monotonic() - started

    # Golden values of large pictures take up room.
    shown = recipes.shown(recipe, model, 8 if np.prod(model.data_shape) <= 4096 else 3)
    written = {
        "name": out.name,
        "description": recipe["description"],
        "data": recipe["data_terms"],
        "paper": recipe["paper"],
        "licence": recipe["licence"],
        "training": {
            "epochs": epochs,
            "best_epoch": best.best["epoch"],
            **({"last": True} if training.get("last") else {}),
            "validation_loss": round(best.best["val_loss"], 3),
            **({"prior": best.best["prior"]} if "prior" in best.best else {}),
            "seconds_of_this_run": round(seconds),
            "hardware": machine.hardware(),
            "backend": keras.backend.backend(),
        },
        "made_with": _versions(),
        "metrics": [],
    }
    kept = {recipes.RECIPE: description.dump_json(recipe)}
    for log in sorted(runs.glob("**/log.csv")):
        kept["_".join(log.relative_to(runs).parts)] = log.read_text()
    if out.is_dir() and (out / description.METADATA).is_file():
        written["version"] = zoo.info(out)["version"] + 1
    zoo.save(model, out, written, golden=[a for a in shown if a is not None], files=kept)
    card.write(out)
    shutil.rmtree(runs, ignore_errors=True)
    return out


def begin(recipe, runs, restart=False, limit=None):
    """What a training starts from, or goes on from: `(model, data, validation data)`.

    Args:
        recipe: what is built and read.
        runs: folder of what is kept between runs; made here.
        restart: empty it first.
        limit: the first examples of each split only.
    """
    if distribution.current().is_first:
        if restart:
            shutil.rmtree(runs, ignore_errors=True)
        runs.mkdir(parents=True, exist_ok=True)
    keras.config.set_dtype_policy(recipe["training"].get("precision", "float32"))
    shape = recipes.build(recipe)
    data, validation = (
        recipes.data(recipe, split, shape, limit) for split in ("train", "validation")
    )
    steps = -(-len(data[0]) // recipe["training"]["batch_size"])
    model = recipes.build(recipe, steps)
    if "start" in recipe["training"]:
        recipes.started(model, recipe["training"]["start"], data[0])
    if recipe["training"].get("centred"):
        recipes.centred(model, data[0])
    return model, data, validation


def _in_float32(model, recipe):
    """The model as its preset is: of single precision, whatever it was trained in."""
    if recipe["training"].get("precision", "float32") == "float32":
        return model
    keras.config.set_dtype_policy("float32")
    plain = recipes.build(recipe)
    plain.set_weights(model.get_weights())
    return plain


def rounded(values, bits=9):
    """Numbers to so many significant bits; 9, one more than bfloat16's, take half the room on disk.

    Rounded before anything is measured, so that the figures are those of the file.
    """
    values = np.asarray(values)
    if values.dtype != "float32":
        return values
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(mantissa * 2**bits) / 2**bits, exponent).astype("float32")


def _watch(recipe, model, validation, every, out):
    """Pictures of the training; of photographs, which are not to be kept, only samples."""
    x, y = validation
    if faces.are_photographs(recipe["data"]):
        x, y = None, faces.attributes(16)
    y = None if model.condition is None else y
    folder = out.parent / ".runs" / f"{out.name}_progress"
    _say(f"Curves and pictures go to {folder} every {every} epochs.")
    return callbacks.Watch(folder, x, y, every)


def _fit(model, x, y, validation, training, folder, last=False, watch=()):
    """Fits a model as `training` says, from where an earlier run stopped."""
    source = {"x": x, "y": y, "batch_size": training["batch_size"]}
    if training.get("mirror"):
        source = {"x": Mirrored(x, y, training["batch_size"])}

    def fit(optimizer, **options):
        model.compile(optimizer=optimizer)
        model.fit(**source, **options)

    return _kept(fit, len(x), validation, training, folder, last, watch)


def _kept(fit, n, validation, training, folder, last=False, watch=()):
    """Calls `fit` with the optimizer and callbacks that `training` says, and keeps its best."""
    epochs = training["epochs"]
    steps = -(-n // training["batch_size"])
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(training["learning_rate"], steps * epochs),
        use_ema=True,
        ema_momentum=training["weight_average"],
        global_clipnorm=training.get("clip"),
    )
    first = distribution.current().is_first
    if first and not (folder / "state" / callbacks.STATE).is_file():
        # Left by a run that had not done an epoch, or cannot be gone on with.
        for stale in ("best.npz", "best.json", "log.csv"):
            (folder / stale).unlink(missing_ok=True)
    last = last or training.get("last", False)
    keep = KeepBest(folder, training.get("patience", epochs), last)
    # In this order: back up the raw weights, then swap in the averaged ones,
    # which are those that validation saw and that are kept.
    beside = [
        callbacks.Resume(folder / "state", keep=True, log=folder / "log.csv"),
        callbacks.SwapAverages(swap_on_epoch=True),
        keep,
        TimeLeft(),
        *watch,
    ]
    fit(
        optimizer,
        epochs=epochs,
        validation_data=validation,
        validation_batch_size=500,
        callbacks=beside,
        verbose=training.get("verbose", 1 if os.isatty(1) else 2),
    )
    keep.restore()
    return keep


@contextlib.contextmanager
def _without_prior(model, training):
    """The model without its prior of codes, where the recipe trains that alone, from its start.

    It gives the codes no gradient, and a transformer takes longer than all else.
    """
    prior = None
    if training.get("prior", {}).get("alone"):
        prior, model.prior = model.prior, priors.UniformCodes(model.num_codes, model.code_shape)
    yield
    if prior is not None:
        model.prior = prior


def _fit_prior(model, x, y, validation, training, runs, limit):
    """The second phase: the prior alone, on codes that no longer move."""
    # Its precision is its own.
    settings = {**training, "mirror": False, "precision": "float32", **training["prior"]}
    if limit:
        settings["epochs"] = min(settings["epochs"], limit)
    folder = runs / "prior"
    if distribution.current().is_first:
        folder.mkdir(exist_ok=True)
    mirrored = settings.pop("mirrored", False)
    with _prior_in(settings.get("precision", "float32"), model):
        if isinstance(model.prior, priors.FlowMatching):
            best = _fit_flow(model, x, y, validation, settings, folder, mirrored).best
        else:
            best = _fit_codes(model, x, y, validation, settings, folder, mirrored).best
    return {
        "epochs": settings["epochs"],
        "best_epoch": best["epoch"],
        "validation_loss": round(best["val_loss"], 3),
        **({"unit": "squared error"} if isinstance(model.prior, priors.FlowMatching) else {}),
    }


@contextlib.contextmanager
def _prior_in(precision, model):
    """The model with its prior in another precision; what that learns, the prior gets."""
    plain = model.prior
    if precision != "float32":
        model.prior = type(plain).from_config({**plain.get_config(), "dtype": precision})
    yield
    if model.prior is not plain:
        plain.set_weights(model.prior.get_weights())
        model.prior = plain


def _fit_codes(model, x, y, validation, settings, folder, mirrored):
    alone, codes = model.prior_alone(), model.encode(x)
    held_out = (model.encode(validation[0]), validation[1])
    if mirrored:
        # Mirrored pictures have codes of their own, which are as likely.
        codes = np.concatenate([codes, model.encode(x[:, :, ::-1])])
        y = None if y is None else np.concatenate([y, y])
    return _fit(alone, codes, y, held_out, settings, folder)


def _fit_flow(model, x, y, validation, settings, folder, mirrored):
    if mirrored:
        x = np.concatenate([x, x[:, :, ::-1]])
        y = None if y is None else np.concatenate([y, y])

    def fit(optimizer, **options):
        model.fit_prior(x, y, settings["batch_size"], optimizer=optimizer, **options)

    return _kept(fit, len(x), validation, settings, folder)


def _say(text):
    """Prints a line, in the first process."""
    if distribution.current().is_first:
        print(text, flush=True)


def _versions():
    names = ("keras", "tensorflow", "jax", "torch", "numpy")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), **found}
