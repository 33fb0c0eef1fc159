"""Attribute control: do edits change the attribute that they should, and nothing else?"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_vae._types import Array, Floats, Model


@dataclass(frozen=True)
class AttributeControl:
    """Result of `attribute_control` for k attributes, each switched on and off.

    Attributes:
        names: the k attributes that were changed.
        on: `(k,)`, share of the examples without an attribute in which the judge reads it
            after it was switched on; NaN without such examples.
        off: `(k,)`, share of the examples with it in which the judge reads it as absent
            after it was switched off.
        counts: `(k, 2)`, numbers of examples without and with it.
        others_changed: `(k,)`, share of the other attributes that the judge reads
            differently in the edited and in the unedited decoding.
        change: `(k,)`, mean absolute change of a pixel.
        border_mse: `(k,)`, mean squared change at the picture's border.
        effect: `(k,)`, ⟨c, d⟩ / ⟨d, d⟩, how far edits go along the difference d of the two
            classes' mean pictures: d is the mean of the examples with the attribute minus
            that of those without it, and c the mean over all examples of edited minus
            unedited, with the sign turned where the attribute was switched off. 0 is no
            change in that direction, 1 the whole difference; NaN where d is zero or a class
            has no examples. It does not see changes that cancel over the examples, and what
            goes along with an attribute in the data is part of d.
    """

    names: tuple
    on: np.ndarray
    off: np.ndarray
    counts: np.ndarray
    others_changed: np.ndarray
    change: np.ndarray
    border_mse: np.ndarray
    effect: np.ndarray | None = None

    @property
    def asked_and_read(self):
        """Mean of `on` and `off` over all attributes."""
        return float(np.nanmean([self.on, self.off]))

    @property
    def worst(self):
        """The smallest of all shares, and its name."""
        shares = np.concatenate([self.on, self.off])
        where = int(np.nanargmin(shares))
        direction = "on" if where < len(self.names) else "off"
        return float(shares[where]), f"{self.names[where % len(self.names)]} {direction}"

    @property
    def border_psnr(self):
        """Peak signal-to-noise ratio of the border over all edits, decibels."""
        error = float(self.border_mse.mean())
        return float("inf") if error == 0 else -10.0 * float(np.log10(error))

    def __str__(self):
        head = f"{'attribute':<22}{'on':>7}{'off':>7}{'others':>8}{'change':>9}{'border dB':>11}"
        lines = [head if self.effect is None else head + f"{'effect':>8}"]
        with np.errstate(divide="ignore"):
            border = -10.0 * np.log10(self.border_mse)
        for i, name in enumerate(self.names):
            lines.append(
                f"{name:<22}{self.on[i]:7.3f}{self.off[i]:7.3f}{self.others_changed[i]:8.3f}"
                f"{self.change[i]:9.4f}{border[i]:11.1f}"
            )
            if self.effect is not None:
                lines[-1] += f"{self.effect[i]:8.2f}"
        share, which = self.worst
        lines.append(
            f"Asked and read {self.asked_and_read:.3f} (worst {share:.3f}, {which}); others "
            f"changed {self.others_changed.mean():.3f}; border {self.border_psnr:.1f} dB."
        )
        return "\n".join(lines)


def attribute_control(
    model: Model,
    x: Array,
    y: Array,
    read: Callable[[Array], Array],
    names: Sequence[str] | None = None,
    border: int = 8,
    strength: float = 1.0,
    keep: str = "decoded",
) -> AttributeControl:
    """Switches each attribute of each example and reads the result with a judge.

    Examples are encoded with their own attributes and decoded with one changed
    (`model.edit`). The reference is the example without a change: its decoding, or with
    `keep="picture"` the example itself.

    Args:
        model: a `VAE` whose condition is `conditions.Attributes` with names.
        x: pictures `(n, h, w, c)` in [0, 1].
        y: their attributes `(n, k)` of 0 and 1.
        read: the judge, a function from pictures to logits `(n, k)` in NumPy; above 0 an
            attribute is present. The model should not be trained with it.
        names: the attributes to change; all by default.
        border: width of the border in pixels.
        strength: factor of each change, at least 0; see `model.edit`.
        keep: "decoded" or "picture"; see `model.edit`.

    Returns:
        `AttributeControl`.

    Raises:
        ValueError: unknown names, attributes other than 0 and 1, too wide a border, or a
            `strength` or `keep` that `model.edit` refuses.
    """
    x, y = np.asarray(x), np.asarray(y, "float32")
    names = _names(model, names)
    columns = [model.condition.index(name) for name in names]
    if not np.isin(y, (0, 1)).all():
        raise ValueError(
            "Attributes must be 0 or 1 to be switched. "
            f"Received: values from {y.min():g} to {y.max():g}"
        )
    height, width = x.shape[1:3]
    if not 0 < 2 * border < min(height, width):
        raise ValueError(
            f"`border` must be from 1 to {(min(height, width) - 1) // 2}. Received: border={border}"
        )
    edge = np.ones((height, width), bool)
    edge[border:-border, border:-border] = False
    plain = x if keep == "picture" else model.reconstruct(x, condition=y)
    before = read(plain) > 0
    rows = []
    for name, column in zip(names, columns, strict=True):
        had = y[:, column] > 0.5
        switched = {name: 1.0 - y[:, column]}
        edited = model.edit(x, y, strength=strength, keep=keep, **switched)
        after = read(edited) > 0
        right = after[:, column] != had
        changed = np.delete(before != after, column, axis=1)
        rows.append(
            (
                right[~had].mean() if (~had).any() else np.nan,
                right[had].mean() if had.any() else np.nan,
                ((~had).sum(), had.sum()),
                changed.mean(),
                np.abs(edited - plain).mean(),
                np.square(edited - plain)[:, edge].mean(dtype="float64"),
                _effect(edited, plain, x, had),
            )
        )
    return AttributeControl(names, *(np.array(column) for column in zip(*rows, strict=True)))


def _effect(edited, plain, x, had):
    """⟨c, d⟩ / ⟨d, d⟩ of `AttributeControl.effect`."""
    if had.all() or not had.any():
        return np.nan
    mean = functools.partial(np.mean, axis=0, dtype="float64")
    difference = mean(x[had]) - mean(x[~had])
    on, off = mean((edited - plain)[~had]), mean((edited - plain)[had])
    share = had.mean()
    change = (1.0 - share) * on - share * off
    length = np.square(difference).sum()
    return (change * difference).sum() / length if length > 0 else np.nan


def sampled_attributes(
    model: Model,
    y: Array,
    read: Callable[[Array], Array],
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """How often samples show the attributes of their condition.

    Args:
        model: a `VAE` whose condition is `conditions.Attributes` with names.
        y: conditions `(n, k)` of 0 and 1, one sample each. They should be those of real
            examples, because other combinations were not in the training data.
        read: see `attribute_control`.
        names: the attributes to judge; all by default.
        seed: int, of the samples.

    Returns:
        `(shares, balanced)`, each `(len(names),)`: the share of samples with the attribute
        as in y, and the mean of this share over y = 1 and that over y = 0.
    """
    y = np.asarray(y, "float32")
    names = _names(model, names)
    columns = [model.condition.index(name) for name in names]
    asked = y[:, columns] > 0.5
    right = (read(model.sample(len(y), condition=y, seed=seed)) > 0)[:, columns] == asked
    with np.errstate(invalid="ignore"):
        balanced = 0.5 * (
            (right & asked).sum(0) / asked.sum(0) + (right & ~asked).sum(0) / (~asked).sum(0)
        )
    return right.mean(axis=0), balanced


def _names(model: Model, names: Sequence[str] | None) -> tuple:
    """The attributes to judge.

    Raises:
        ValueError: the model is not asked for attributes by name.
    """
    known = getattr(model.condition, "names", None)
    if known is None or getattr(model, "takes_labels", False):
        condition = type(model.condition).__name__ if model.condition is not None else None
        raise ValueError(
            "The model must be conditional on attributes that have names: "
            "`models.cvae(condition_dim=..., condition_names=[...])`. "
            f"Received: condition={condition}"
        )
    return tuple(known if names is None else names)
