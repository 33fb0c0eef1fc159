"""Measures and the picture of presets that fill in missing values (MIWAE)."""

import numpy as np

from keras_vae import datasets, models, plots

# Samples of z for each imputation: what more of them change is in the third digit.
SAMPLES = 100


def missing(x, share, split):
    """Which values of a split are taken away: bool, the same at every call."""
    rng = np.random.default_rng([11, datasets.SPLITS.index(split)])
    return rng.random(x.shape, dtype="float32") < share


def with_gaps(x, share, split):
    """x with that share of its values NaN."""
    return models.mark_missing(x, missing(x, share, split))


def measured(model, recipe, x, split, entry, seed=0):
    """What `evaluate` finds of a model that fills in gaps; nothing of other models.

    Args:
        model: a loaded preset.
        recipe: its recipe, with `missing` in `training`.
        x: examples of the split with their gaps.
        split: name of the split.
        entry: makes an entry of the metadata; see `evaluate.evaluate`.
        seed: of the samples of z.

    Returns:
        List of entries.
    """
    share = recipe["training"].get("missing")
    if not share:
        return []
    whole, _ = datasets.load(recipe["data"], split, limit=len(x))
    train, _ = datasets.load(recipe["data"], "train")
    means = np.nanmean(with_gaps(train, share, "train"), axis=0, dtype="float64")
    gaps = np.isnan(x)
    how = f"{100 * share:.0f} % missing at random, "
    ways = [
        (f"{SAMPLES} samples of z, ", "", model.impute(x, samples=SAMPLES, seed=seed)),
        ("", " by the training examples' mean", np.broadcast_to(means, x.shape)),
    ]
    found = []
    for how_filled, title, filled in ways:
        squared = np.square(filled[gaps] - whole[gaps], dtype="float64").mean()
        title = f"imputation error{title} (root mean square)"
        found.append(entry(title, squared**0.5, unit="", digits=4, how=how + how_filled))
    return found


def draw(model, recipe, x, path):
    """Test pictures, what the model is shown of them, and how it fills that in."""
    shown = with_gaps(x, recipe["training"]["missing"], "test")
    filled = model.impute(shown, samples=SAMPLES, verbose=0)
    grey = np.nan_to_num(shown, nan=0.5)
    labels = ["data", "shown", "model"]
    return plots.image_grid(np.concatenate([x, grey, filled]), len(x), path, row_labels=labels)
