"""Shared helpers of the figures: sizes, colours, checks, saving."""

import functools
import io
import math
import pathlib

import numpy as np

from keras_vae import _atomic, _checks

SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
DPI = 150
SMALL, MEDIUM = 9, 11  # font sizes in points
GAP_GREY = 0.8  # differs from black and from white image backgrounds
COLOUR, ACCENT, GREY = "#1f77b4", "#ff7f0e", "#c4c4c4"


def grid(
    images,
    columns,
    path,
    title=None,
    row_labels=None,
    column_labels=None,
    axis_labels=None,
    row_breaks=(),
    column_breaks=(),
):
    """Figure of valid images as tiles; wider gaps before rows and columns in breaks."""
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    for name, labels, expected in (
        ("row_labels", row_labels, rows),
        ("column_labels", column_labels, columns),
    ):
        if labels is not None and len(labels) != expected:
            raise ValueError(
                f"`{name}` must hold one text for each of the {expected} "
                f"{name.split('_')[0]}s. Received: {len(labels)} texts"
            )
    gap = max(1, round(min(height, width) / 28))
    tops = _starts(rows, height, gap, row_breaks)
    lefts = _starts(columns, width, gap, column_breaks)
    size = tops[-1] + height + gap, lefts[-1] + width + gap
    sheet = np.full((*size, channels), GAP_GREY, "float32")
    for i, image in enumerate(np.clip(images, 0, 1)):
        top, left = tops[i // columns], lefts[i % columns]
        sheet[top : top + height, left : left + width] = image

    # Whole dots per image pixel; large sheets get more dots per inch, so that the text
    # keeps its relative size.
    longest = max(size)
    scale = max(1, min(round(1000 / longest), round(150 / max(height, width))))
    pixels = np.array(size[::-1]) * scale
    dpi = max(DPI, longest * scale / 10)
    figure = new_figure(*pixels / dpi, dpi=dpi, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(
        sheet[..., 0] if channels == 1 else sheet,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    axes.set_frame_on(False)
    axes.tick_params(
        length=0,
        labelsize=SMALL,
        labelbottom=bool(axis_labels),
        labeltop=not axis_labels,
    )
    axes.set(xticks=[], yticks=[])
    if row_labels:
        axes.set_yticks(tops + (height - 1) / 2, row_labels)
    if column_labels:
        # Neighbours must not touch: a letter is about .6 of its height wide.
        longest = max(len(line) for label in column_labels for line in str(label).split("\n"))
        points = 72 * (width + gap) * scale / dpi
        fontsize = min(SMALL, points / (0.65 * max(1, longest)))
        axes.set_xticks(lefts + (width - 1) / 2, column_labels, fontsize=fontsize)
    if axis_labels:
        axes.set_xlabel(axis_labels[0], fontsize=MEDIUM)
        axes.set_ylabel(axis_labels[1], fontsize=MEDIUM, rotation=0, labelpad=10)
    if title:
        axes.set_title(title, fontsize=MEDIUM)
    _fit(figure, axes, pixels)
    return saved(figure, path)


def _starts(count, size, gap, breaks):
    """Pixel at which each tile begins, after its gap."""
    gaps = np.full(count, gap)
    gaps[list(breaks)] = 5 * gap
    return np.cumsum(gaps) + size * np.arange(count)


def _fit(figure, axes, pixels):
    """Grow the figure around its axes of `pixels` (width, height) to hold the text."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    box = axes.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    pad = round(0.05 * figure.dpi)
    before = np.ceil(-box.min) + pad
    total = before + pixels + np.ceil(box.max - pixels) + pad
    # Matplotlib cuts off fractions of pixels, and 4.2 * 150 is just below 630.
    figure.set_size_inches((total + 0.01) / figure.dpi)
    axes.set_position((*before / total, *pixels / total))


def new_figure(width, height, dpi=DPI, layout="constrained", chart=False):
    """An empty figure; a chart, of few colours, is a third as large as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
    # Notebooks display figures automatically only after pyplot was imported.
    figure._repr_png_ = functools.partial(_png, figure, chart)
    return figure


def _png(figure, chart):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    if chart:
        # A dependency of matplotlib.
        from PIL import Image

        # The other methods lose colours of few pixels, such as those of a legend.
        picture = Image.open(buffer).convert("RGB")
        picture = picture.quantize(96, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        buffer = io.BytesIO()
        picture.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def finish(axes, x_label, y_label, title=""):
    axes.set_title(title, fontsize=MEDIUM)
    axes.set_xlabel(x_label, fontsize=MEDIUM)
    axes.set_ylabel(y_label, fontsize=MEDIUM)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)


def saved(figure, path):
    """Save the figure if there is a path; a failure keeps an older file."""
    if path is None:
        return figure
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix[1:].lower()
    with _atomic.file(path) as new:
        if kind == "png":
            pathlib.Path(new).write_bytes(figure._repr_png_())
        else:
            options = {"pil_kwargs": {"quality": 92}} if kind == "jpg" else {}
            figure.savefig(new, format=kind, dpi=figure.dpi, **options)
    return figure


def check_output(path):
    """Raise errors about matplotlib or the path before the model computes anything."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib, which cannot be imported. Install it with "
            f"`pip install matplotlib`. Received: {error}"
        ) from error
    if path is not None and pathlib.Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(
            "`path` must end in .png, .jpg, .pdf or .svg; the suffix chooses the format. "
            f"Received: {str(path)!r}"
        )


def check_count(name, value, minimum=1):
    if not _checks.is_integer(value, minimum):
        raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {value!r}")


def check_array(value, name, axes, hint="Reshape it."):
    """`value` as finite float32 with one dimension per name in `axes`."""
    array = np.asarray(value, dtype="float32")
    if array.ndim != len(axes) or array.size == 0:
        raise ValueError(
            f"`{name}` must have shape ({', '.join(axes)}) and not be empty. {hint} "
            f"Received: shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"`{name}` must be finite; look for what made it NaN or infinite. "
            f"Received: {np.sum(~np.isfinite(array))} such values of {array.size}"
        )
    return array


def check_images(value, name):
    images = check_array(
        value,
        name,
        ("n", "height", "width", "channels"),
        hint="Add a missing axis: one image as x[None], grey images as x[..., None].",
    )
    if images.shape[-1] not in (1, 3):
        raise ValueError(
            f"`{name}` must have 1 (grey) or 3 (RGB) channels, on the last axis; "
            f"select or move them. Received: shape {images.shape}"
        )
    if np.asarray(value).dtype.kind in "iu" and images.max() > 1:
        raise ValueError(
            f"`{name}` must be in [0, 1]; divide integer pixels by 255. "
            f"Received: integers up to {images.max():g}"
        )
    return images


def num_classes(model):
    return model.condition.dim if model.takes_labels else None


def check_conditions(model, condition, n):
    """`n` conditions from one for all or one each; None stays None."""
    if condition is None:
        return None
    if model.condition is None:
        raise ValueError(
            f"The model is unconditional; leave out `condition`. Received: condition={condition!r}"
        )
    rows = np.asarray(condition)
    rows = np.ravel(rows) if num_classes(model) else np.atleast_2d(rows)
    if len(rows) not in (1, n):
        raise ValueError(
            f"`condition` must hold one condition, or one for each of {n}. "
            f"Received: {len(rows)} conditions"
        )
    return np.repeat(rows, n, axis=0) if len(rows) == 1 else rows
