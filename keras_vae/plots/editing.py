"""Figures of edits: what switching an attribute makes of a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_vae._types import Array, Condition, Model, PathLike
from keras_vae.plots import _figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attributes(
    model: Model,
    x: Array,
    names: Sequence[str],
    condition: Condition = None,
    path: PathLike | None = None,
) -> "Figure":
    """Show what each attribute does: pictures, and the same with one attribute switched.

    Args:
        model: has `reconstruct` and `edit`.
        x: images `(n, height, width, channels)`, one row each.
        names: the attributes, one column each. With a condition of 0 and 1 each is
            switched to what it is not; without one, 1 is added to it.
        condition: the attributes that the images have, `(n, c)`, or None.
        path: file to save to, or None.

    Returns:
        The figure; its first column holds the unchanged reconstructions.

    Raises:
        ValueError: for invalid images or conditions, or unknown names.
    """
    return edits(model, x, names, condition, difference=False, path=path)


def edits(
    model: Model,
    x: Array,
    names: Sequence[str],
    condition: Condition = None,
    strength: float = 1.0,
    difference: bool = True,
    keep: str = "decoded",
    path: PathLike | None = None,
) -> "Figure":
    """Show pictures before and after one attribute was switched, and what changed.

    Args:
        model: has `reconstruct` and `edit`.
        x: images `(n, height, width, channels)` in [0, 1].
        names: the attributes, at least one, one column each; see `attributes`.
        condition: the attributes that the images have, `(n, c)`, or None.
        strength: factor of each change, at least 0; see `VAE.edit`.
        difference: below each row of pictures, a row of 0.5 + after - before, clipped to
            [0, 1]: mid-grey where nothing changed, brighter where the edit is brighter.
        keep: "decoded" compares edits with the reconstruction, "picture" keeps the pixels of
            x and compares with x; see `VAE.edit`.
        path: file to save to, or None.

    Returns:
        The figure: for each image a row labelled "edit", and one labelled "change" with
        `difference`. The first column holds the pictures before the edit.

    Raises:
        ValueError: for invalid images or conditions, unknown names or none, or a strength
            or `keep` that the model's `edit` refuses.
    """
    _figures.check_output(path)
    x = _figures.check_images(x, "x")
    rows = _figures.check_conditions(model, condition, len(x))
    names = _names(names)
    before = x if keep == "picture" else model.reconstruct(x, condition=rows)
    options = {"strength": strength, "keep": keep}
    after = [model.edit(x, rows, **options, **_switched(model, rows, name)) for name in names]
    bands = [np.stack([before, *after], axis=1)]
    if difference:
        blank = np.full_like(before, _figures.GAP_GREY)
        changes = [np.clip(0.5 + (edited - before), 0, 1) for edited in after]
        bands.append(np.stack([blank, *changes], axis=1))
    images = np.stack(bands, axis=1).reshape(-1, *x.shape[1:])
    return _figures.grid(
        _figures.check_images(images, "edited images"),
        1 + len(names),
        path,
        row_labels=["edit", "change"] * len(x) if difference else None,
        column_labels=["as it is", *(name.replace("_", "\n") for name in names)],
        row_breaks=range(2, 2 * len(x), 2) if difference else (),
        column_breaks=(1,),
    )


def strengths(
    model: Model,
    x: Array,
    names: Sequence[str],
    condition: Condition = None,
    values: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0),
    keep: str = "decoded",
    path: PathLike | None = None,
) -> "Figure":
    """Show edits of increasing strength.

    Args:
        model: has `edit`.
        x: images `(n, height, width, channels)`, one block of columns each.
        names: the attributes, at least one, one row each; see `attributes`.
        condition: the attributes that the images have, `(n, c)`, or None.
        values: the strengths, at least 0, one column each; 0 changes nothing.
        keep: "decoded" or "picture"; see `VAE.edit`.
        path: file to save to, or None.

    Returns:
        The figure: rows labelled by attributes, columns by strengths.

    Raises:
        ValueError: for invalid images or conditions, unknown names or none, or strengths or
            `keep` that the model's `edit` refuses.
    """
    _figures.check_output(path)
    x = _figures.check_images(x, "x")
    rows = _figures.check_conditions(model, condition, len(x))
    names = _names(names)
    _figures.check_array(values, "values", ("v",))
    values = [float(value) for value in values]
    edited = [
        [
            model.edit(x, rows, strength=value, keep=keep, **_switched(model, rows, name))
            for value in values
        ]
        for name in names
    ]
    # (names, values, n, ...) to a row of blocks for each name.
    images = np.swapaxes(np.asarray(edited), 1, 2).reshape(-1, *x.shape[1:])
    return _figures.grid(
        _figures.check_images(images, "edited images"),
        len(x) * len(values),
        path,
        row_labels=[name.replace("_", " ") for name in names],
        column_labels=[f"{value:g}" for value in values] * len(x),
        column_breaks=range(len(values), len(x) * len(values), len(values)),
    )


def _names(names):
    """At least one name; one text alone is not a list of them."""
    if isinstance(names, str) or not len(names):
        raise ValueError(
            f'`names` must list attributes, such as ["Smiling"]. Received: names={names!r}'
        )
    return list(names)


def _switched(model, rows, name):
    """What `edit` is asked for: the other value of an attribute, or 1 along its direction."""
    if rows is None:
        return {name: 1.0}
    return {name: 1.0 - np.asarray(rows)[:, model.condition.index(name)]}
