"""Figures of pictures: samples, reconstructions, paths in the latent space."""

import math
import numbers
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from keras_vae._types import Array, Condition, Model, PathLike
from keras_vae.plots import _figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def image_grid(
    images: Array,
    columns: int | None = None,
    path: PathLike | None = None,
    title: str | None = None,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
) -> "Figure":
    """Tile images into one picture, row by row, each image pixel a square of dots.

    Args:
        images: `(n, height, width, channels)`, 1 or 3 channels; clipped to [0, 1].
        columns: images in a row. Near square when None.
        path: file to save to, or None.
        title: text above the grid.
        row_labels: one text per row.
        column_labels: one text per column.

    Returns:
        The figure. Its only image holds the tiles with thin grey gaps.

    Raises:
        ValueError: for invalid images, `columns` below 1, or a wrong number of labels.
    """
    _figures.check_output(path)
    images = _figures.check_images(images, "images")
    if columns is None:
        columns = math.ceil(math.sqrt(len(images)))
    _figures.check_count("columns", columns)
    return _figures.grid(images, columns, path, title, row_labels, column_labels)


def reconstructions(
    model: Model,
    x: Array,
    condition: Condition = None,
    n: int = 10,
    path: PathLike | None = None,
) -> "Figure":
    """Show images above their reconstructions, in bands of at most 12 pairs.

    Args:
        model: has `reconstruct`.
        x: images `(m, height, width, channels)`; the first `n` are shown.
        condition: one condition for all, or one per image, for a conditional model.
        n: how many images to show; all of them when `x` has fewer.
        path: file to save to, or None.

    Returns:
        The figure, rows labelled "data" and "model".

    Raises:
        ValueError: for invalid images or conditions, or `n` below 1.
    """
    _figures.check_output(path)
    _figures.check_count("n", n)
    x = _figures.check_images(x, "x")
    rows = _figures.check_conditions(model, condition, len(x))
    x, rows = x[:n], None if rows is None else rows[:n]
    x_hat = _figures.check_images(model.reconstruct(x, condition=rows), "reconstructions")

    bands = math.ceil(len(x) / 12)
    columns = math.ceil(len(x) / bands)
    blank = np.full((bands * columns - len(x), *x.shape[1:]), _figures.GAP_GREY, x.dtype)
    pairs = [
        np.concatenate([part, blank]).reshape(bands, 1, columns, *x.shape[1:])
        for part in (x, x_hat)
    ]
    return _figures.grid(
        np.concatenate(pairs, axis=1).reshape(-1, *x.shape[1:]),
        columns,
        path,
        row_labels=["data", "model"] * bands,
        row_breaks=range(2, 2 * bands, 2),
    )


def code_maps(model: Model, x: Array, n: int = 10, path: PathLike | None = None) -> "Figure":
    """Show images above their maps of integer codes and what the codes decode to.

    Args:
        model: has `encode`, `decode` and `codebook`.
        x: images `(m, height, width, channels)`; the first `n` are shown.
        n: how many images to show; all of them when `x` has fewer.
        path: file to save to, or None.

    Returns:
        The figure, rows labelled "data", "codes" and "model". A code has one colour
        everywhere, and codes with similar vectors have similar ones: red, green and
        blue are the ranks of the vectors along their first principal components.

    Raises:
        ValueError: for invalid images, codes that are not maps, or `n` below 1.
    """
    _figures.check_output(path)
    _figures.check_count("n", n)
    x = _figures.check_images(x, "x")[:n]
    codes = np.asarray(model.encode(x))
    if codes.ndim != 3 or codes.dtype.kind not in "iu":
        raise ValueError(
            "`code_maps` needs a model whose codes are maps of integers (n, h, w). "
            f"Received: codes of shape {codes.shape}, dtype {codes.dtype}"
        )
    height, width = x.shape[1:3]
    rows = np.arange(height) * codes.shape[1] // height
    columns = np.arange(width) * codes.shape[2] // width
    maps = _code_colours(model)[codes][:, rows][:, :, columns]
    bands = [x, maps, _figures.check_images(model.decode(codes), "decoded images")]
    bands = [np.repeat(b, 3, axis=-1) if b.shape[-1] == 1 else b for b in bands]
    return _figures.grid(np.concatenate(bands), len(x), path, row_labels=["data", "codes", "model"])


def _code_colours(model):
    """A colour `(num_codes, 3)` for each code."""
    vectors = np.asarray(model.codebook, "float64")
    vectors = vectors - vectors.mean(axis=0)
    axes = np.linalg.svd(vectors, full_matrices=False)[2][:3]
    ranks = (vectors @ axes.T).argsort(axis=0).argsort(axis=0)
    colours = np.full((len(vectors), 3), 0.5, "float32")
    colours[:, : ranks.shape[1]] = ranks / max(1, len(vectors) - 1)
    return colours


def samples(
    model: Model,
    n: int = 64,
    condition: Condition = None,
    seed: int = 0,
    path: PathLike | None = None,
) -> "Figure":
    """Show images drawn from the prior.

    Args:
        model: has `sample`.
        n: how many images.
        condition: one condition for all, or `n` of them. When None and the model is
            conditional on integer labels, each label fills a row, under its name if it
            has one, and `n` is rounded up to whole rows.
        seed: integer; the same seed draws the same images.
        path: file to save to, or None.

    Returns:
        The figure.

    Raises:
        ValueError: for invalid conditions or `n` below 1.
    """
    _figures.check_output(path)
    _figures.check_count("n", n)
    if None in getattr(model, "code_shape", ()):
        raise ValueError(
            "Samples of this model may have any size: draw them, "
            "`plots.image_grid(model.sample(n, map_shape=(8, 8)))`, or fix the size, "
            "`model.with_input_shape((height, width, channels))`. "
            f"Received: codes of shape {tuple(model.code_shape)}"
        )
    classes = _figures.num_classes(model)
    if condition is None and classes:
        columns = math.ceil(n / classes)
        row_labels = model.condition.names or range(classes)
        condition = np.repeat(np.arange(classes), columns)
        n = columns * classes
    else:
        columns, row_labels = math.ceil(math.sqrt(n)), None
        condition = _figures.check_conditions(model, condition, n)
    images = _figures.check_images(model.sample(n, condition=condition, seed=seed), "samples")
    return _figures.grid(images, columns, path, row_labels=row_labels)


def manifold(
    model: Model,
    n: int = 20,
    extent: str | float = "quantile",
    condition: Condition = None,
    path: PathLike | None = None,
) -> "Figure":
    """Decode a square grid of codes of a two-dimensional latent space.

    Args:
        model: has `decode`; its `latent_dim` is 2.
        n: codes along each axis.
        extent: "quantile" for standard normal quantiles from 0.02 to 0.98, so that
            each image has about the same prior mass; or a positive number,
            for even steps from `-extent` to `extent`.
        condition: one condition for all codes, for a conditional model.
        path: file to save to, or None.

    Returns:
        The figure: z_1 grows to the right, z_2 upwards.

    Raises:
        ValueError: when `latent_dim` is not 2, for an invalid extent or `n` below 1.
    """
    _figures.check_output(path)
    _figures.check_count("n", n)
    _check_vectors(model, "two numbers")
    if model.latent_dim != 2:
        raise ValueError(
            "`manifold` needs a model with 2 latent dimensions; use `traversal` for "
            f"others. Received: latent_dim={model.latent_dim}"
        )
    if extent == "quantile":
        levels = np.linspace(0.02 if n > 1 else 0.5, 0.98, n)
        values = np.array([NormalDist().inv_cdf(level) for level in levels], "float32")
    elif isinstance(extent, numbers.Real) and 0 < extent < math.inf:
        values = np.linspace(-extent if n > 1 else 0, extent, n, dtype="float32")
    else:
        raise ValueError(
            f'`extent` must be "quantile" or a positive number such as 2.0. Received: {extent!r}'
        )

    # Images fill the grid from the top, so the largest z_2 comes first.
    codes = np.stack([np.tile(values, n), np.repeat(values[::-1], n)], axis=1)
    images = model.decode(codes, condition=_figures.check_conditions(model, condition, n * n))
    step = math.ceil(n / 7)
    labels = [
        f"{value:.1f}" if min(i, n - 1 - i) % step == 0 else ""
        for i, value in enumerate(values.round(1) + 0.0)  # no "-0.0"
    ]
    return _figures.grid(
        _figures.check_images(images, "decoded images"),
        n,
        path,
        row_labels=labels[::-1],
        column_labels=labels,
        axis_labels=("$z_1$", "$z_2$"),
    )


def _check_vectors(model, needed):
    """Refuses codes that are maps, in which no number means a thing without its place."""
    shape = getattr(model, "code_shape", (model.latent_dim,))
    if len(shape) > 1:
        raise ValueError(
            f"A code of this model is a map, and the plot would need {needed}: see "
            "`plots.samples`, `plots.interpolation` and `plots.reconstructions`, or use a model "
            f"whose codes are vectors. Received: codes of shape {tuple(shape)}"
        )


def interpolation(
    model: Model,
    x_a: Array,
    x_b: Array,
    steps: int = 8,
    condition: Condition = None,
    path: PathLike | None = None,
) -> "Figure":
    """Show the decoded way from one image to another, one row per pair.

    Args:
        model: has `interpolate`.
        x_a: first images `(n, height, width, channels)`.
        x_b: last images, of the same shape.
        steps: decoded images between, and including, the two codes; at least 2.
        condition: one condition for all, or one per pair, for a conditional model.
        path: file to save to, or None.

    Returns:
        The figure: `x_a`, the decoded steps and `x_b` in each row, the outer two
        set apart and labelled "data".

    Raises:
        ValueError: for invalid images, different shapes, or `steps` below 2.
    """
    _figures.check_output(path)
    _figures.check_count("steps", steps, minimum=2)
    x_a, x_b = _figures.check_images(x_a, "x_a"), _figures.check_images(x_b, "x_b")
    if x_a.shape != x_b.shape:
        raise ValueError(
            "`x_a` and `x_b` must have the same shape: they are interpolated pair by "
            f"pair. Received: {x_a.shape} and {x_b.shape}"
        )
    between = model.interpolate(
        x_a,
        x_b,
        steps=steps,
        condition=_figures.check_conditions(model, condition, len(x_a)),
    )
    strips = np.concatenate([x_a[:, None], between, x_b[:, None]], axis=1)
    shares = [f"{share:.0%}" for share in np.linspace(0, 1, steps)]
    images = _figures.check_images(strips.reshape(-1, *x_a.shape[1:]), "interpolated images")
    return _figures.grid(
        images,
        steps + 2,
        path,
        column_labels=["data", *shares, "data"],
        column_breaks=(1, steps + 1),
    )


def traversal(
    model: Model,
    x: Array | None = None,
    dims: int | Sequence[int] | None = None,
    values: Array | None = None,
    condition: Condition = None,
    path: PathLike | None = None,
) -> "Figure":
    """Show what each latent dimension does: vary one at a time, keep the others.

    Args:
        model: has `traverse`, and `decode` for `x=None`.
        x: images `(n, height, width, channels)` of which the first gives the code to
            start from; the code 0 when None.
        dims: latent dimensions, counted from 0. The first 10 when None.
        values: what each dimension is set to, `(v,)`. 9 steps from -3 to 3 when None.
        condition: the condition of the image, or one per image, for a conditional model.
        path: file to save to, or None.

    Returns:
        The figure: a row for each dimension, labelled by its index `z[i]`, and a
        column for each value.

    Raises:
        ValueError: for invalid images or values, or dimensions the model does not have.
    """
    _figures.check_output(path)
    chosen = np.atleast_1d(range(min(model.latent_dim, 10)) if dims is None else dims).tolist()
    if not chosen or any(dim not in range(model.latent_dim) for dim in chosen):
        raise ValueError(
            f"`dims` must list latent dimensions from 0 to {model.latent_dim - 1}. "
            f"Received: {chosen}"
        )
    values = _figures.check_array(
        np.linspace(-3, 3, 9) if values is None else values, "values", ("v",)
    )
    if x is None:
        _check_vectors(model, "`x`, a picture to start from")
        codes = np.zeros((len(chosen), len(values), model.latent_dim), "float32")
        for row, dim in enumerate(chosen):
            codes[row, :, dim] = values
        rows = _figures.check_conditions(model, condition, len(chosen) * len(values))
        images = model.decode(codes.reshape(-1, model.latent_dim), condition=rows)
    else:
        x = _figures.check_images(x, "x")
        rows = _figures.check_conditions(model, condition, len(x))
        rows = None if rows is None else rows[:1]
        images = np.concatenate(
            [model.traverse(x[:1], dim, values, condition=rows)[0] for dim in chosen]
        )
    return _figures.grid(
        _figures.check_images(images, "decoded images"),
        len(values),
        path,
        row_labels=[f"z[{dim}]" for dim in chosen],
        column_labels=[f"{value:.3g}" for value in values],
    )
