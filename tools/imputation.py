"""Measures and the picture of presets that fill in missing values (MIWAE)."""

import numpy as np

from keras_vae import datasets, models, plots
from keras_vae.datasets import SPLITS

# Samples of z for each imputation: what more of them change is in the third digit.
SAMPLES = 100


def missing(x, share, split):
    """Which values of a split are taken away: bool, the same at every call."""
    rng = np.random.default_rng([11, SPLITS.index(split)])
    return rng.random(x.shape, dtype="float32") < share


def with_gaps(x, share, split):
    """x with that share of its values NaN."""
    return models.mark_missing(x, missing(x, share, split))


def measured(model, recipe, x, split, entry, seed=0):
    """What `evaluate` finds of a MIWAE; nothing of other models.

    Args:
        model: a loaded preset.
        recipe: its recipe, with `missing` in `training`.
        x: examples of the split, with gaps or without.
        split: name of the split.
        entry: makes an entry of the metadata; see `evaluate.evaluate`.
        seed: of the samples of z.

    Returns:
        List of entries.
    """
    if not isinstance(model, models.MIWAE):
        return []
    whole, _ = datasets.load(recipe["data"], split, limit=len(x))
    share = recipe["training"]["missing"]
    gaps = missing(whole, share, split)
    train = with_gaps(datasets.load(recipe["data"], "train")[0], share, "train")
    means = np.broadcast_to(np.nanmean(train, axis=0, dtype="float64"), whole.shape)
    filled = model.impute(whole, gaps, samples=SAMPLES, seed=seed)
    how = f"{100 * share:.0f} % of the values missing at random, "

    def root(values):
        return float(np.sqrt(np.square(values[gaps] - whole[gaps]).mean()))

    return [
        entry(
            "imputation error (root mean square)",
            root(filled),
            unit="",
            digits=4,
            how=f"{how}{SAMPLES} samples of z; the mean of training examples: {root(means):.4f}; ",
        )
    ]


def draw(model, recipe, path, n=8):
    """Test pictures, what the model is shown of them, and how it fills that in."""
    x, _ = datasets.load(recipe["data"], "test", limit=n)
    gaps = missing(x, recipe["training"]["missing"], "test")
    filled = model.impute(x, gaps, samples=SAMPLES, verbose=0)
    # Gaps are shown in grey.
    rows = np.concatenate([x, np.where(gaps, 0.5, x), filled]).astype("float32")
    labels = ["whole", "shown", "filled in"]
    plots.image_grid(rows, columns=n, path=path, row_labels=labels)
