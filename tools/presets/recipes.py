"""Recipes: what it takes to rebuild a preset, as data."""

import fnmatch
from pathlib import Path

import keras
import numpy as np

from keras_vae import datasets, models, priors, schedules, zoo
from keras_vae.models.papers import PAPERS
from keras_vae.zoo import allowed, bounds, plain, presets, untrusted

from ..judges.classifier import convolutions
from . import faces, imputation

RECIPE = "recipe.json"


def find(name):
    """The folder that holds a recipe: a preset's name, or a path."""
    # A recipe comes before its preset, so there may be no metadata yet.
    for root in (Path(name), *(root / name for root in presets._FOLDERS)):
        if (root / RECIPE).is_file():
            return root
    return zoo.folder(name)


def read(folder):
    """A recipe as a dict.

    Raises:
        ValueError: there is none, or it is not JSON.
    """
    path = Path(folder) / RECIPE
    if not path.is_file():
        raise ValueError(
            f"There is no recipe to train from: {path}. A recipe is a JSON file with "
            "`model`, `data` and `training`; see those in zoo/."
        )
    # A recipe may have come with a stranger's folder.
    follow = path.parent.parent in presets._FOLDERS
    with plain.errors(), untrusted.copied(path.parent, [RECIPE], follow) as files:
        recipe = allowed.read(files / RECIPE, path)
        _check(recipe, path)
    return recipe


def _check(recipe, path):
    """Raises `ValueError` for a recipe without its parts, or one that the wall refuses."""
    for key in ("model", "training"):
        if not isinstance(recipe.get(key), dict):
            raise ValueError(f"A recipe needs a dict `{key}`. Received: {path}")
    function, arguments = recipe["model"].get("function"), recipe["model"].get("arguments")
    if not isinstance(function, str) or function not in PAPERS:
        raise ValueError(
            "A recipe's `function` is a name of the register of papers, such as 'vae'. "
            f"Received: {str(function)[:80]!r} in {path}"
        )
    if not isinstance(arguments, dict):
        raise ValueError(f"A recipe needs a dict of its function's `arguments`. Received: {path}")
    if not isinstance(recipe.get("data"), str):
        raise ValueError(f"A recipe names its `data`. Received: {path}")
    allowed.check_config(recipe["model"], path)
    allowed.check_arguments(function, arguments, path)


def names(pattern="*"):
    """Names of the packaged recipes, sorted; their presets may be yet to be trained."""
    found = {path.parent.name for root in presets._FOLDERS for path in root.glob(f"*/{RECIPE}")}
    return sorted(fnmatch.filter(found, pattern))


def objective(recipe):
    """What a recipe's model minimises: the formula in its function's first line."""
    first = PAPERS[recipe["model"]["function"]].function.__doc__.partition("\n")[0]
    return first.partition(": ")[2].removesuffix(".")


def build(recipe, steps_per_epoch=None):
    """A fresh model; with `steps_per_epoch` its KL warm-up is wired too."""
    arguments = {
        name: keras.saving.deserialize_keras_object(value) if _is_an_object(value) else value
        for name, value in recipe["model"]["arguments"].items()
    }
    if arguments.get("features") == "classifier":
        arguments["features"] = convolutions(recipe["data"])
    warmup = recipe["training"].get("warmup_epochs", 0)
    if steps_per_epoch and warmup:
        arguments["beta"] = schedules.Linear(
            0.0, arguments.get("beta", 1.0), max(1, round(warmup * steps_per_epoch))
        )
    function = recipe["model"]["function"]
    if callable(function):
        # One of the caller's own: no file holds any.
        return function(**arguments)
    try:
        with bounds.budget(untrusted.MOST_NUMBERS):
            return PAPERS[function].function(**arguments)
    except Exception as error:
        plain.clean(error)
        raise ValueError(
            "The recipe's function and arguments describe no model. "
            f"Received: {type(error).__name__}: {plain.text(error)} for models.{function}"
        ) from error


def started(model, name, x):
    """Puts the networks of a preset of the same architecture into a fresh model.

    A mixture prior starts as the mixture of normals that fits the preset's codes, as in
    Jiang et al., "Variational Deep Embedding", 2017.

    Args:
        model: a fresh model.
        name: of the preset.
        x: training examples, of which the first are encoded.
    """
    other = zoo.load(name, compile=False)
    for part in ("encoder", "decoder", "posterior_layer"):
        getattr(model, part).set_weights(getattr(other, part).get_weights())
    if isinstance(model.prior, priors.LearnedMixture):
        found = priors.fit(other.encode(x[:10_000]), model.prior.components, seed=0)
        model.prior.start_from(found.weights, found.means, np.square(found.factors).sum(-1))


def centred(model, x):
    """Starts dense networks of binary data where the data's mean is, not 0 and 1/2.

    The first layer's bias makes it see `x - mean`; the decoder's last one begins at the
    log-odds of the mean.

    Args:
        model: a fresh model.
        x: training examples.
    """
    mean = x.mean(0).ravel()
    kernel, bias, *rest = model.encoder.get_weights()
    model.encoder.set_weights([kernel, bias - mean @ kernel, *rest])
    *rest, bias = model.decoder.get_weights()
    mean = np.clip(mean, 1e-3, 1 - 1e-3)
    model.decoder.set_weights(
        [*rest, (bias.ravel() + np.log(mean / (1 - mean))).reshape(bias.shape)]
    )


def _is_an_object(value):
    return isinstance(value, dict) and "class_name" in value


def data(recipe, split, model, limit=None):
    """`(x, condition)` of a split; the condition is None where none is used.

    Of a table x is what the model's `Columns` make of it, whose scales the recipe has. A model
    that can do without labels is given those of its recipe's `labels` training examples, and
    elsewhere none. With `missing` in the recipe's training that share of all values is NaN.
    """
    x, y = datasets.load(recipe["data"], split, limit=limit)
    if model.likelihood.tables:
        x = model.likelihood.encode(x)
    if recipe["training"].get("missing"):
        x = imputation.with_gaps(x, recipe["training"]["missing"], split)
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
    if model.likelihood.tables:
        x = model.likelihood.encode(x)
    return x, (None if model.condition is None else y)


def taught(model, y, settings):
    """The model beside a critic that teaches it to obey its attributes.

    Args:
        model: a conditional model.
        y: attributes `(n, k)` of the training data.
        settings: of the recipe. Where the critic judges edits, `attributes` are asked for
            alone and the others in `others_share` as many cases; by default all alike. The
            rest goes to `models.AttributeGAN`.
    """
    settings = dict(settings)
    if "attributes" in settings:
        settings["focus"] = np.full(model.condition.dim, settings.pop("others_share"), "float32")
        asked = [model.condition.index(name) for name in settings.pop("attributes")]
        settings["focus"][asked] = 1.0
    return models.AttributeGAN(model, y.mean(axis=0), seed=model.seed, **settings)
