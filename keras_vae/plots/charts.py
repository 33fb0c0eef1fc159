"""Figures with axes: latent scatter, training curves, KL per dimension."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vae._types import Array, Condition, Model, PathLike
from keras_vae.plots import _figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAN = dict.fromkeys((None, "", "NA"), math.nan)  # how files write a missing value
NATS = ("loss", "reconstruction_loss", "kl_loss")


def latent_scatter(
    model: Model,
    x: Array,
    labels: Array,
    condition: Condition = None,
    path: PathLike | None = None,
    class_names: Sequence[str] | None = None,
) -> "Figure":
    """Scatter the codes of labelled data, in two dimensions.

    Args:
        model: has `encode`.
        x: images `(n, height, width, channels)`.
        labels: `(n,)` integers or strings; give the colours.
        condition: one condition for all, or one per image, for a conditional model.
        path: file to save to, or None.
        class_names: texts for the legend; label `k` is called `class_names[k]`.

    Returns:
        The figure. Above two latent dimensions the axes are principal components of
        the codes, labelled with their share of the variance.

    Raises:
        ValueError: for invalid images or codes, fewer than 2 latent dimensions, or
            labels that are not one per image or have no name.
    """
    _figures.check_output(path)
    x, labels = _figures.check_images(x, "x"), np.asarray(labels)
    if labels.shape != (len(x),):
        raise ValueError(
            f"`labels` must hold one label per image, shape ({len(x)},). "
            f"Received: shape {labels.shape}"
        )
    classes, colour_index = np.unique(labels, return_inverse=True)
    names = classes.tolist()
    if class_names is not None:
        if any(label not in range(len(class_names)) for label in names):
            raise ValueError(
                "`class_names` needs integer labels from 0 to len(class_names) - 1; "
                "name every class or leave it out. Received: "
                f"{len(class_names)} names for labels {names[:20]}"
            )
        names = [class_names[label] for label in names]
    codes = model.encode(x, condition=_figures.check_conditions(model, condition, len(x)))
    codes = _figures.check_array(codes, "codes", ("n", "latent_dim"))
    if codes.shape[1] < 2:
        raise ValueError(
            "`latent_scatter` needs codes of at least 2 dimensions. "
            f"Received: codes of shape {codes.shape}"
        )
    axis_labels = ["$z_1$", "$z_2$"]
    if codes.shape[1] > 2:
        codes, explained = _principal_components(codes)
        axis_labels = [
            f"principal component {i} ({share:.1%} of variance)"
            for i, share in enumerate(explained, 1)
        ]

    import matplotlib
    from matplotlib.lines import Line2D

    if len(names) <= 10:
        colours = matplotlib.colormaps["tab10"](np.arange(len(names)))
    else:
        colours = matplotlib.colormaps["turbo"](np.linspace(0, 1, len(names)))
    figure = _figures.new_figure(7, 6, chart=True)
    axes = figure.add_subplot()
    # One collection in the order of the data: drawn class by class, the last one hides
    # the others.
    axes.scatter(
        *codes.T,
        c=colours[colour_index],
        s=np.clip(2e4 / len(codes), 6, 30),
        alpha=0.6,
        linewidths=0,
        rasterized=True,
    )
    axes.set_aspect("equal", adjustable="datalim")
    handles = [Line2D([], [], marker="o", linestyle="", color=c) for c in colours]
    figure.legend(
        handles,
        names,
        loc="outside right center",
        frameon=False,
        fontsize=_figures.SMALL,
        handletextpad=0.1,
        ncols=math.ceil(len(names) / 24),
    )
    _figures.finish(axes, *axis_labels)
    return _figures.saved(figure, path)


def training_curves(history: Any, path: PathLike | None = None) -> "Figure":
    """Plot each logged quantity over the epochs, training beside validation.

    Args:
        history: the result of `fit`, its `.history`, or such a dict read from a file:
            name -> one value per epoch, validation under "val_" + name. Missing values
            (None, NaN, "" or "NA") leave a gap.
        path: file to save to, or None.

    Returns:
        The figure: one panel per quantity, the losses (in nats) first. A dashed line marks
        the epoch of the lowest `val_loss`, or nothing without validation. Of more than
        20 epochs the first tenth may leave the panel, so that the rest can be seen.

    Raises:
        ValueError: for a history that is not a mapping or has nothing to draw, or values
            that cannot be matched to epochs.
    """
    _figures.check_output(path)
    curves = _curves(history)
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    names.sort(key=lambda name: NATS.index(name) if name in NATS else len(NATS))
    epochs = max(len(values) for values in curves.values())
    best = None
    if np.isfinite(curves.get("val_loss", [])).any():
        best = _epochs("val_loss", curves["val_loss"], epochs)[np.nanargmin(curves["val_loss"])]

    from matplotlib.ticker import MaxNLocator

    columns = 2 if len(names) == 4 else min(len(names), 3)
    rows = math.ceil(len(names) / columns)
    figure = _figures.new_figure(max(3.6 * columns, 5), 2.8 * rows + 0.4, chart=True)
    legend = {}
    for i, name in enumerate(names, 1):
        axes = figure.add_subplot(rows, columns, i)
        for key, label, colour in (
            (name, "training", _figures.COLOUR),
            ("val_" + name, "validation", _figures.ACCENT),
        ):
            if key in curves:
                (legend[label],) = axes.plot(
                    _epochs(key, curves[key], epochs),
                    curves[key],
                    color=colour,
                    linewidth=1.8,
                    marker="o" if epochs <= 20 else "",
                    markersize=4,
                    clip_on=epochs > 20,
                )
        if epochs > 20:
            axes.set_ylim(*_settled([curves[k] for k in (name, "val_" + name) if k in curves]))
        if best is not None:
            legend[f"best validation: epoch {best}"] = axes.axvline(
                best, color="0.5", linestyle="--", linewidth=1, zorder=0, clip_on=False
            )
        axes.set_xlim(1, max(epochs, 2))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        unit = "nats" if name in NATS else ""
        _figures.finish(axes, "epoch", unit, title=name.replace("_", " "))
    figure.legend(
        legend.values(),
        legend.keys(),
        loc="outside upper center",
        ncols=3,
        fontsize=_figures.SMALL,
        frameon=False,
    )
    return _figures.saved(figure, path)


def latent_kl(
    kl_per_dimension: Array, threshold: float = 0.01, path: PathLike | None = None
) -> "Figure":
    """Draw the KL divergence of each latent dimension from the prior, largest first.

    Args:
        kl_per_dimension: `(latent_dim,)` nats, averaged over the data.
        threshold: nats above which a dimension counts as active.
        path: file to save to, or None.

    Returns:
        The figure: active dimensions coloured and counted, the others on grey.

    Raises:
        ValueError: for an invalid array.
    """
    _figures.check_output(path)
    kl = _figures.check_array(
        kl_per_dimension,
        "kl_per_dimension",
        ("latent_dim",),
        hint="Average over the examples first.",
    )
    order = np.argsort(-kl, kind="stable")
    active = kl[order] > threshold

    figure = _figures.new_figure(float(np.clip(0.22 * len(kl), 5, 10)), 3.4, chart=True)
    axes = figure.add_subplot()
    axes.bar(
        np.arange(len(kl)),
        kl[order],
        color=[_figures.COLOUR if on else _figures.GREY for on in active],
    )
    if not active.all():
        # Bars near zero cannot be seen, whatever their colour.
        axes.axvspan(
            active.sum() - 0.5, len(kl) - 0.5, color=_figures.GREY, alpha=0.35, linewidth=0
        )
    name = "latent dimensions, sorted"
    if len(kl) <= 40:
        axes.set_xticks(np.arange(len(kl)), [str(dim) for dim in order])
        name = "latent dimension"
    axes.margins(x=0.01)
    count = f"{active.sum()} of {len(kl)} latent dimensions active"
    _figures.finish(axes, name, "KL (nats)", title=f"{count} (KL > {threshold:g} nats)")
    return _figures.saved(figure, path)


def _principal_components(codes):
    """First two principal components `(n, 2)`, and their shares of the variance."""
    centred = codes.astype("float64") - codes.mean(axis=0, dtype="float64")
    _, variances, directions = np.linalg.svd(centred.T @ centred)
    # The sign is arbitrary; fix it, so that runs and backends draw the same picture.
    first = directions[:2]
    first = first * np.sign(first[[0, 1], np.abs(first).argmax(axis=1)])[:, None]
    return centred @ first.T, variances[:2] / max(variances.sum(), 1e-12)


def _curves(history):
    """Name -> float array, without the epoch counter and what has no value."""
    history = getattr(history, "history", history)
    if not isinstance(history, Mapping):
        raise ValueError(
            "`history` must be what `fit` returned or a dict from name to values. "
            f"Received: {type(history).__name__}"
        )
    curves = {}
    for name, values in history.items():
        try:
            values = np.array([float(NAN.get(value, value)) for value in values])
        except (TypeError, ValueError) as error:
            raise ValueError(
                "`history` must hold a list of numbers for each name; leave out "
                f"{name!r}. Received: {values!r}"
            ) from error
        if name != "epoch" and np.isfinite(values).any():
            curves[name] = values
    if not curves:
        raise ValueError(
            "`history` must hold a finite value; train for an epoch first. "
            f"Received: {dict(history)}"
        )
    return curves


def _settled(curves):
    """Limits that show what happens after the first tenth, where losses fall by far."""
    late = np.concatenate([values[len(values) // 10 :] for values in curves])
    late = late[np.isfinite(late)]
    if not len(late):
        return None, None
    margin = 0.08 * (late.max() - late.min()) or 1.0
    return late.min() - margin, late.max() + margin


def _epochs(name, values, epochs):
    """Epochs, from 1, of `values`: with `validation_freq`, Keras logs each k-th."""
    if epochs % len(values):
        raise ValueError(
            "`history` must hold one value per epoch; fill missing ones with NaN. "
            f"Received: {len(values)} values of {name!r} for {epochs} epochs"
        )
    step = epochs // len(values)
    return np.arange(step, epochs + 1, step)
