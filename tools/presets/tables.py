"""Presets of tables: what their cards show of them."""

import numpy as np

from keras_vae import datasets
from keras_vae.likelihoods import tables

# Data sets of rows, not of pictures.
DATA = ("wine",)


def draw(model, recipe, path):
    """Each column's histogram, of the test rows and of as many samples.

    Args:
        model: of a likelihood `Columns`.
        recipe: of the preset.
        path: file to write.
    """
    from matplotlib.figure import Figure

    rows, _ = datasets.load(recipe["data"], "test")
    drawn = model.sample(len(rows), seed=0, noise=True)
    names = tables.names(rows)
    across = 5
    figure = Figure(figsize=(8, 1.5 * -(-len(names) // across)), dpi=60, layout="constrained")
    axes = figure.subplots(-(-len(names) // across), across).ravel()
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    for axis, name in zip(axes, names, strict=False):
        data, samples = (np.asarray(tables.objects(table[name])) for table in (rows, drawn))
        if data.dtype.kind == "U":
            kinds = sorted({*data.tolist()})
            data, samples = (np.searchsorted(kinds, values) for values in (data, samples))
            bins = np.arange(len(kinds) + 1) - 0.5
        else:
            bins = np.histogram_bin_edges(np.concatenate([data, samples]), 12)
        axis.hist(data, bins, color="0.75")
        axis.hist(samples, bins, histtype="step", color="0.0")
        axis.set_title(name.replace("_", " ")[:24], fontsize=7)
        axis.tick_params(labelsize=6)
        axis.set_yticks([])
    figure.savefig(path)
