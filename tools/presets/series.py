"""Presets of series: what is measured of them beside the bound, and what their cards show."""

import numpy as np

from keras_vae import datasets, metrics

# Features and utterances of the picture, and lines of samples in it.
FEATURES, EXAMPLES, SAMPLES = 3, 3, 8
CAPTION = (
    f"The first {FEATURES} features of {EXAMPLES} test series (dots) and their reconstructions "
    f"(lines); on the right {SAMPLES} samples (blue) over test series (grey). Samples have all "
    "steps: the model says nothing of lengths."
)


def are_series(data):
    """Whether a data set is of series `(time, features)`, filled up with NaN."""
    return len(datasets.info(data).shape) == 2


def measured(case):
    """How often the nearest training series has the same label, by codes and by values.

    Args:
        case: of a model without a condition; see `evaluate.Case`.

    Returns:
        List of entries; none of other data.
    """
    data, model = case.recipe["data"], case.model
    if not are_series(data) or model.condition is not None:
        return []
    train, known = datasets.load(data, "train")
    _, labels = datasets.load(data, case.split, limit=len(case.x))
    pairs = {
        "": (model.encode(train), model.encode(case.x)),
        " of values": (_flat(train), _flat(case.x)),
    }
    found = []
    for title, (codes, queries) in pairs.items():
        right = 100.0 * (metrics.nearest_labels(codes, known, queries, k=1) == labels)
        error = right.std() / len(right) ** 0.5
        how = f"1 neighbour of {len(train)} training series, "
        found.append(
            case.entry(f"label of the nearest code{title}", right.mean(), error, "%", how, 1)
        )
    return found


def _flat(x):
    """Series as vectors, 0 after their end."""
    return np.nan_to_num(x).reshape(len(x), -1)


def draw(model, recipe, path):
    """Three features of test series with their reconstructions, and of samples beside data.

    Args:
        model: of series.
        recipe: of the preset.
        path: file to write.
    """
    from matplotlib.figure import Figure

    x, y = datasets.load(recipe["data"], "test")
    # One of each of the first labels.
    chosen = [int(np.flatnonzero(y == k)[0]) for k in range(EXAMPLES)]
    rebuilt = model.reconstruct(x[chosen])
    drawn = model.sample(SAMPLES, seed=0)
    figure = Figure(figsize=(10, 6), dpi=100, layout="constrained")
    axes = figure.subplots(FEATURES, EXAMPLES + 1, sharex=True, sharey="row")
    steps = np.arange(1, x.shape[1] + 1)
    for i, row in enumerate(axes):
        for axis, j, series in zip(row, chosen, rebuilt, strict=False):
            there = ~np.isnan(x[j, :, i])
            axis.plot(steps[there], x[j, there, i], "o", color="0.55", markersize=4)
            axis.plot(steps[there], series[there, i], color="tab:blue", linewidth=2)
        row[-1].plot(steps, x[:60, :, i].T, color="0.85", linewidth=1)
        row[-1].plot(steps, drawn[..., i].T, color="tab:blue", linewidth=1.2)
        row[0].set_ylabel(f"feature {i + 1}", fontsize=12)
    names = datasets.info(recipe["data"]).classes
    for axis, k in zip(axes[0], range(EXAMPLES), strict=False):
        axis.set_title(f"test, label {names[k]}", fontsize=12)
    axes[0, -1].set_title("samples", fontsize=12)
    for axis in axes[-1]:
        axis.set_xlabel("step", fontsize=12)
    axes[0, 0].plot([], [], "o", color="0.55", markersize=4, label="data")
    axes[0, 0].plot([], [], color="tab:blue", linewidth=2, label="model")
    axes[0, 0].legend(fontsize=10)
    figure.savefig(path)
