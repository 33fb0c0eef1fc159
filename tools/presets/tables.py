"""Presets of tables: what their cards show of them."""

import numpy as np

from keras_vae import datasets
from keras_vae.likelihoods import tables

# So many that the lines of a picture are the model's and not chance's.
DRAWN = 2000


def are_rows(data):
    """Whether a data set is a table, and not pictures."""
    return len(datasets.info(data).shape) == 1


def draw(model, recipe, path):
    """Each column's histogram, of the test rows and of `DRAWN` samples.

    Args:
        model: of a likelihood `Columns`.
        recipe: of the preset.
        path: file to write.
    """
    from matplotlib.figure import Figure

    rows, _ = datasets.load(recipe["data"], "test")
    drawn = model.sample(DRAWN, seed=0, noise=True)
    names = tables.names(rows)
    across = 5
    size = 10, 2 * -(-len(names) // across)
    figure = Figure(figsize=size, dpi=80, layout="constrained")
    axes = figure.subplots(-(-len(names) // across), across).ravel()
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    for axis, name in zip(axes, names, strict=False):
        data, samples = (np.asarray(tables.objects(table[name])) for table in (rows, drawn))
        if data.dtype.kind == "U":
            kinds = sorted({*data.tolist()})
            data, samples = (np.searchsorted(kinds, values) for values in (data, samples))
            bins = np.arange(len(kinds) + 1) - 0.5
            axis.set_xticks(range(len(kinds)), kinds)
        else:
            bins = np.histogram_bin_edges(data, 10)
            width = bins[1] - bins[0]
            # Samples beyond the rows are shown too.
            bins = np.concatenate(
                [bins[0] - width * np.arange(3, 0, -1), bins, bins[-1] + width * np.arange(1, 4)]
            )
        axis.hist(data, bins, density=True, color="0.8")
        axis.hist(samples, bins, density=True, histtype="step", color="tab:blue")
        axis.set_title(name.replace("_", " "), fontsize=8, wrap=True)
        axis.tick_params(labelsize=7)
        axis.set_yticks([])
    figure.savefig(path)
