"""Recipes: what it takes to rebuild a preset, as data."""

import json
from pathlib import Path

import numpy as np

from keras_vae import datasets, models, objectives, schedules, zoo

from . import attributes, faces
from .classifier import convolutions

RECIPE = "recipe.json"


def find(name):
    """The folder that holds a recipe: a preset's name, or a path."""
    # A recipe comes before its preset, so there may be no metadata yet.
    for root in (Path(name), *(root / name for root in zoo._FOLDERS)):
        if (root / RECIPE).is_file():
            return root
    return zoo.folder(name)


def read(folder):
    """A recipe as a dict.

    Raises:
        ValueError: there is none, or it is not JSON.
    """
    path = Path(folder) / RECIPE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"There is no recipe to train from: {path}. A recipe is a JSON file with "
            "`model`, `data` and `training`; see those in zoo/."
        ) from None
    except ValueError as error:
        raise ValueError(f"The recipe {path} is not JSON: {error}") from None


def build(recipe, steps_per_epoch=None):
    """A fresh model; with `steps_per_epoch` its KL warm-up is wired too."""
    arguments = dict(recipe["model"]["arguments"])
    if arguments.get("features") == "classifier":
        arguments["features"] = convolutions(recipe["data"])
    warmup = recipe["training"].get("warmup_epochs", 0)
    if steps_per_epoch and warmup:
        arguments["beta"] = schedules.Linear(
            0.0, arguments.get("beta", 1.0), max(1, round(warmup * steps_per_epoch))
        )
    function = recipe["model"]["function"]
    return (function if callable(function) else getattr(models, function))(**arguments)


def data(recipe, split, model, limit=None):
    """`(x, condition)` of a split; the condition is None where none is used.

    A model that can do without labels is given those of its recipe's `labels` training
    examples, and elsewhere none.
    """
    x, y = datasets.load(recipe["data"], split, limit=limit)
    if model.condition is None:
        return x, None
    if not model.condition.optional:
        return x, y
    if split != "train":
        return x, np.full(len(x), -1)
    return few_labels(x, y, **recipe["training"]["labels"])


def few_labels(x, y, number, repeats=1, seed=0):
    """Data of which `number` examples keep their label, equally many of each class.

    Args:
        x, y: data and integer labels.
        number: how many; all, where there are fewer.
        repeats: how often those are in the data besides, so that a batch has some.
        seed: of which they are.

    Returns:
        `(x, y)`, with -1 for a label that is not told.
    """
    classes = np.unique(y)
    order = np.random.default_rng(seed).permutation(len(y))
    each = [order[y[order] == k][: number // len(classes)] for k in classes]
    chosen = np.concatenate(each)
    told = np.full(len(y), -1)
    told[chosen] = y[chosen]
    again = np.tile(chosen, repeats)
    return np.concatenate([x, x[again]]), np.concatenate([told, y[again]])


def shown(recipe, model, n):
    """`(x, condition)` that may be kept in a preset: test data, or what it drew itself."""
    if faces.are_photographs(recipe["data"]):
        return faces.drawn(model, n)
    x, y = datasets.load(recipe["data"], "test", limit=n)
    return x, (None if model.condition is None else y)


def controlled(model, x, y, control):
    """The model in the scaffold that teaches it to obey its attributes."""
    model.objective = objectives.ELBO(beta=control["beta"])
    focus = np.full(model.condition.dim, control["others_share"], "float32")
    focus[[model.condition.index(name) for name in control["attributes"]]] = 1.0
    return models.ControlledVAE(
        model,
        [attributes.classifier(name) for name in attributes.TRAINS],
        y.mean(axis=0),
        focus=focus,
        weights=control["weights"],
        colours=np.cov(x.reshape(-1, x.shape[-1]).T) if control.get("colours") else None,
        seed=model.seed,
    )
