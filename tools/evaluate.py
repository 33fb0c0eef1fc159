"""`evaluate`: measures a preset and writes what it found into it."""

import numpy as np

from keras_vae import _atomic, conditions, likelihoods, metrics, zoo

from . import card, codes, recipes
from .classifier import classifier, probabilities


def evaluate(name, split="test", samples=None, limit=None, seed=0, write=True):
    """Measures a preset on a split that it was not trained on.

    Args:
        name: a preset's name or folder, with its recipe.
        split: "validation" or "test".
        samples: K of the importance-weighted bound; the recipe's by default.
        limit: the first examples only; nothing is written then.
        seed: of the noise and of dynamic binarisation.
        write: put the figures into the preset's metadata and card.

    Returns:
        List of metrics, as they stand in the metadata.
    """
    folder = zoo.folder(name)
    recipe = recipes.read(folder)
    model = zoo.load(folder)
    x, y = recipes.data(recipe, split, model, limit)
    samples = samples or recipe["evaluation"]["samples"]
    command = f"python -m tools evaluate {folder.name}"
    if split != "test":
        command += f" --split {split}"
    if samples != recipe["evaluation"]["samples"]:
        command += f" --samples {samples}"
    if seed:
        command += f" --seed {seed}"

    def entry(title, value, error=None, unit="nats", how="", digits=2):
        return {
            "title": title,
            "value": float(value),
            "standard_error": None if error is None else float(error),
            "unit": unit,
            "digits": digits,
            "how": f"{split}, n = {len(x)}, {how}seed {seed}",
            "split": split,
            "n": len(x),
            "samples": samples,
            "seed": seed,
            "command": command,
        }

    if "codes" in zoo.info(folder):
        found = codes.measured(model, x, y, recipe["data"], entry, seed)
        for metric in found:
            print(zoo.describe_metric(metric))
        if write and limit is None:
            record(folder, found, lambda old: old["split"] != split or old.get("extra"))
        return found
    bound = metrics.log_likelihood(model, x, y, samples, seed)
    title = "NLL" + _what_is_scored(model.likelihood)
    found = [entry(title, -bound.mean, bound.standard_error, how=f"K = {samples}, ")]
    estimates = metrics.elbo(model, x, y, seed=seed)
    for title, key, sign in (
        ("-ELBO", "elbo", -1),
        ("reconstruction", "reconstruction", -1),
        ("KL", "kl", 1),
    ):
        mean, error, *_ = estimates[key]
        found.append(entry(title, sign * mean, error, how="1 sample, "))
    error = np.mean(np.square(model.reconstruct(x, y) - x))
    found.append(entry("reconstruction MSE", error, unit="a pixel", digits=5))
    active = metrics.active_units(model, x, y)
    found.append(entry(f"active units of {model.latent_dim}", active.sum(), unit="", digits=0))
    if isinstance(model.condition, conditions.Labels):
        agreed, accuracy, n = agreement(model, recipe["data"], seed)
        metric = entry("asked label read by a classifier", 100 * agreed, unit="%", digits=1)
        metric["how"] = (
            f"{n} samples of each label, seed {seed}; the classifier, trained on the "
            f"training split, reads {100 * accuracy:.2f} % of the test split"
        )
        found.append(metric)
    for metric in found:
        print(zoo.describe_metric(metric))
    print(metrics.collapse_report(model, x[:1000], None if y is None else y[:1000]))
    if write and limit is None:
        record(folder, found, lambda old: old["split"] != split or old.get("extra"))
    return found


def _what_is_scored(likelihood):
    """Only binary pixels have a likelihood that papers can be compared by."""
    if isinstance(likelihood, likelihoods.Normal):
        return " (density of grey pixels)"
    return "" if likelihood.dynamic else " (cross-entropy of grey pixels)"


def agreement(model, data, seed=0, n=100):
    """How often a classifier reads the label that samples were asked for.

    Returns:
        `(agreed, accuracy, n)`: the part of samples, the classifier's accuracy on
        the real test split, and the samples of each label.
    """
    judge, accuracy = classifier(data)
    asked = np.repeat(np.arange(model.condition.num_classes), n)
    drawn = model.sample(len(asked), condition=asked, seed=seed)
    return (probabilities(judge, drawn).argmax(-1) == asked).mean(), accuracy, n


def record(folder, found, keep):
    """Replaces metrics in a preset's metadata, keeping those that `keep` says."""
    metadata = dict(zoo.info(folder))
    metadata["metrics"] = [m for m in metadata["metrics"] if keep(m)] + found
    write_metadata(folder, metadata)
    card.write(folder)


def write_metadata(folder, metadata):
    """Replaces a preset's metadata, whole or not at all."""
    _atomic.write_text(folder / zoo.METADATA, zoo.dump_json(metadata))
