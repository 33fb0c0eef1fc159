"""The columns of `Columns`: what kind each is, and where it lies in data and outputs."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import distributions, layers
from keras_vae.likelihoods import pixelwise, tables
from keras_vae.likelihoods.base import Likelihood

# The largest number of outputs per value that is looked for.
_MOST_OUTPUTS = 64
# More different values are hardly categories.
_MOST_CATEGORIES = 1000
# Kinds whose columns share one likelihood of single values.
_TOGETHER = ("normal", "binary")


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: its places in the encoded matrix and in the decoder's outputs."""

    name: str | int
    kind: Any
    categories: tuple[Any, ...] | None
    likelihood: Likelihood | None
    data: slice
    outputs: slice

    @property
    def is_scaled(self):
        """Whether its numbers are standardised: those that may be any."""
        return self.likelihood is not None and self.likelihood.data_range is None

    @property
    def is_binary(self):
        return self.kind == "binary"


class Numbers(pixelwise.Normal):
    """Normal numbers of several columns, each with a learned variance of its own.

    Args:
        columns: how many.
    """

    def __init__(self, columns: int, **kwargs: Any) -> None:
        super().__init__(variance=1.0, data_range=None, **kwargs)
        self.raw_log_vars = self.add_weight(
            shape=(columns,), initializer="zeros", name="raw_log_vars"
        )

    def log_var(self):
        """Current log σ² of each column, float32 `(columns,)`."""
        return layers.bounded(ops.convert_to_tensor(self.raw_log_vars), 10.0)

    def log_prob_each(self, x, outputs, training=False):
        return distributions.Normal(ops.cast(outputs, "float32"), self.log_var()).log_prob_each(x)

    def best_each(self, x):
        log_var = ops.convert_to_numpy(self.log_var()).astype("float64")
        return np.broadcast_to(-0.5 * (np.log(2.0 * np.pi) + log_var), x.shape)

    def sample(self, mean, rng):
        scale = np.exp(0.5 * ops.convert_to_numpy(self.log_var()))
        noise = rng.standard_normal(mean.shape, dtype="float32")
        return (mean + scale * noise).astype("float32")


@dataclasses.dataclass(frozen=True)
class Group:
    """Columns whose likelihood is computed at once.

    Attributes:
        likelihood: theirs; None for the one-hot values of a category.
        together: whether it is one of each value, and not of one column alone.
        data, outputs: their places in the encoded matrix and in the decoder's outputs, in order.
    """

    likelihood: Likelihood | None
    together: bool
    data: tuple[int, ...]
    outputs: tuple[int, ...]


def grouped(columns):
    """The `Group`s of `Column`s: all of "normal", all of "binary", each other one by itself."""
    found: dict[Any, list[Column]] = {}
    for column in columns:
        together = column.kind in _TOGETHER
        found.setdefault((together, column.kind if together else column.name), []).append(column)
    return [
        Group(
            members[0].likelihood,
            together,
            tuple(i for c in members for i in range(c.data.start, c.data.stop)),
            tuple(i for c in members for i in range(c.outputs.start, c.outputs.stop)),
        )
        for (together, _), members in found.items()
    ]


def chosen(x, places):
    """Values at places of the last axis, of an array or a tensor."""
    if places == tuple(range(places[0], places[-1] + 1)):
        return x[..., places[0] : places[-1] + 1]
    if isinstance(x, np.ndarray):
        return x[..., list(places)]
    return ops.take(x, list(places), axis=-1)


def laid_out(columns):
    """The `Column`s of a dict from names to kinds, see `Columns`."""
    start = first = 0
    # One for all columns of its kind.
    numbers = sum(_is(kind, "normal") for kind in columns.values())
    shared = {
        "normal": Numbers(numbers) if numbers else None,
        "binary": pixelwise.Bernoulli(),
    }
    for name, kind in columns.items():
        if not isinstance(name, (str, int)) or isinstance(name, bool):
            raise TypeError(f"A column's name must be a string or an integer. Received: {name!r}")
        categories, likelihood, width, outputs = None, None, 1, 1
        # pandas' own type of categories, or a list of them.
        several = getattr(kind, "categories", kind)
        if isinstance(kind, Likelihood):
            likelihood, kind = kind, "likelihood"
            outputs = _outputs_of(likelihood, name)
        elif isinstance(several, str) or not hasattr(several, "__iter__"):
            if kind not in ("normal", "binary"):
                raise ValueError(
                    "A column must be 'normal', 'binary', a list of categories or a likelihood. "
                    f"Received: {kind!r} of column {name!r}"
                )
            likelihood = shared[kind]
        else:
            kind, categories = "categories", _categories(several, name)
            width = outputs = len(categories)
        yield Column(
            name, kind, categories, likelihood,
            slice(start, start + width), slice(first, first + outputs),
        )  # fmt: skip
        start, first = start + width, first + outputs


def _is(kind, name):
    return isinstance(kind, str) and kind == name


def _outputs_of(likelihood, name):
    """How many outputs of the decoder one value takes."""
    if likelihood.depends_on_batch or not likelihood.is_density or likelihood.tables:
        raise ValueError(
            "A column needs a likelihood of single values whose parameters do not depend on the "
            f"batch, such as `likelihoods.Normal(data_range=None)`. Received: {name!r} with "
            f"{type(likelihood).__name__}"
        )
    for outputs in range(1, _MOST_OUTPUTS + 1):
        try:
            if tuple(likelihood.data_shape((outputs,))) == (1,):
                return outputs
        except (ValueError, TypeError, IndexError):
            continue
    raise ValueError(
        "A column needs a likelihood of single values, whose `data_shape` makes (1,) of their "
        f"outputs. Received: {name!r} with {type(likelihood).__name__}"
    )


def _categories(several, name):
    values = tuple(v.item() if isinstance(v, np.generic) else v for v in several)
    if not all(isinstance(value, (str, int, float)) for value in values):
        raise TypeError(
            "Categories must be strings, numbers or booleans; None marks a missing value and is "
            f"none. Received: {values[:9]!r} of column {name!r}"
        )
    if len(values) < 2 or len(set(values)) < len(values):
        raise ValueError(
            "A column of categories needs at least two, all different. "
            f"Received: {values[:9]!r} of column {name!r}"
        )
    return values


def kind_of(column, name):
    """The kind of a table's column by its dtype."""
    dtype = getattr(column, "dtype", None)
    categories = getattr(dtype, "categories", None)
    if categories is not None:
        return list(categories)
    kind = getattr(dtype, "kind", None) or np.asarray(column).dtype.kind
    if kind in "biufmM":
        # Of dates `adapt` says what to do.
        return "binary" if kind == "b" else "normal"
    values = {value for value in tables.objects(column) if value is not None}
    if values and all(isinstance(value, bool) for value in values):
        return "binary"
    if values and all(isinstance(value, (int, float)) for value in values):
        return "normal"
    if len(values) > _MOST_CATEGORIES:
        raise ValueError(
            f"Column {name!r} has more different values than categories may be, "
            f"{_MOST_CATEGORIES}: leave it out, or make numbers or fewer categories of it. "
            f"Received: {len(values)} values"
        )
    return sorted(values, key=lambda value: (str(type(value)), value))


def serialized(column):
    """The kind of a `Column` as a configuration holds it."""
    if column.categories is not None:
        return list(column.categories)
    if column.kind == "likelihood":
        return keras.saving.serialize_keras_object(column.likelihood)
    return column.kind


def deserialized(kind):
    """Inverse of `serialized`."""
    return keras.saving.deserialize_keras_object(kind) if isinstance(kind, dict) else kind
