"""A likelihood of tables of mixed types: numbers, categories, yes or no."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from keras_vae._registry import register
from keras_vae.likelihoods import layout, tables
from keras_vae.likelihoods.base import Likelihood


@register
class Columns(Likelihood):
    """Independent columns given z, each with a likelihood of its own.

    A table is a pandas DataFrame, a structured array or a dict of columns. `encode` makes a
    float32 matrix of it, which networks see: numbers standardised, categories one-hot, NaN
    where a value is missing (None, NaN or pandas' NA). `decode` is its inverse. `fit`, `encode`,
    `reconstruct` and all other methods of models read tables by it; `reconstruct`, `impute`
    and `sample` give tables back, of the same columns and dtypes. log p(x|z) is that of the
    matrix: to have it per unit of a standardised column, subtract the logarithm of its scale.

        columns = likelihoods.Columns({"age": "normal", "city": ["Lima", "Madrid"]})
        model = models.miwae(columns.shape, 4, likelihood=columns)
        model.fit(frame)
        new = model.sample(1000, noise=True)

    Data with missing values needs `models.miwae`, which fills them in too.

    Args:
        columns: dict from a column's name to "normal", for any numbers (a normal of learned
            variance, of standardised numbers); "binary", for True and False or 1 and 0; the list
            of its categories: strings, integers or booleans; or a likelihood of single values.
            Numbers of a likelihood with a `data_range` stay as they are; those of one with
            `data_range=None` are standardised.
        scales, table: what `adapt` has found, in the configuration of a model that is saved.

    Raises:
        TypeError: a name that is no string or integer, or a category of another type.
        ValueError: no columns, an unknown kind, fewer than two categories or repeated ones, or a
            likelihood that is none of single values or is used twice.
    """

    tables = True

    def __init__(
        self, columns: Mapping[Any, Any], scales: Any = None, table: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(columns, Mapping) or not columns:
            raise ValueError(
                "`columns` must be a dict with at least one column, such as {'age': 'normal', "
                f"'city': ['Lima', 'Madrid']}}. Received: columns={columns!r}"
            )
        self._columns = tuple(layout.laid_out(columns))
        self._groups = tuple(layout.grouped(self._columns))
        # Where Keras tracks their variables.
        self.parts = [g.likelihood for g in self._groups if g.likelihood is not None]
        if len({id(part) for part in self.parts}) < len(self.parts):
            raise ValueError(
                "Each column needs a likelihood of its own: make one for each. Received: one for "
                "several columns"
            )
        self._scales = None if scales is None else tuple(map(tuple, scales))
        self._table = None if table is None else (table[0], tuple(map(tuple, table[1])))

    @classmethod
    def of(cls, table: Any, columns: Mapping[Any, Any] | None = None) -> "Columns":
        """The columns of a table by their dtypes, adapted to it.

        Booleans are "binary", numbers "normal", and everything else categories: those that
        pandas' dtype has, or the different values.

        Args:
            table: a pandas DataFrame, a structured array or a dict of columns.
            columns: kinds of some columns, in place of these.

        Raises:
            ValueError: more than 1000 different values in a column of no numbers.
        """
        kinds = {name: layout.kind_of(table[name], name) for name in tables.names(table)}
        return cls({**kinds, **(columns or {})}).adapt(table)

    def adapt(self, table: Any) -> "Columns":
        """Takes the means and scales of numbers, and the kind of table, from training data.

        `fit` does so at its first table. The scale is the standard deviation of what is known.

        Args:
            table: as `encode` takes it.

        Returns:
            The likelihood itself.

        Raises:
            TypeError, ValueError: what `encode` refuses; a column of numbers without any.
        """
        self._check(table, "table")
        scales = []
        for column in self._columns:
            loc, scale = 0.0, 1.0
            if column.is_scaled:
                known = tables.numbers(table[column.name], column.name)
                known = known[~np.isnan(known)]
                if not known.size:
                    raise ValueError(
                        f"Column {column.name!r} has no known value to learn from: leave it out. "
                        "Received: missing values only"
                    )
                loc = float(known.mean())
                scale = float(known.std()) or 1.0
            scales.append((loc, scale))
        self._scales, self._table = tuple(scales), tables.describe(table)
        return self

    @property
    def is_adapted(self) -> bool:
        """Whether `adapt` has seen a table, or nothing has to be learnt of one."""
        return self._scales is not None

    @property
    def shape(self) -> tuple[int]:
        """The shape of one encoded row, the `input_shape` of networks: `(width,)`."""
        return (self._columns[-1].data.stop,)

    @property
    def blocks(self):
        return tuple(c.data.stop - c.data.start for c in self._columns)

    def encode(self, x: Any, name: str = "x") -> Any:
        """A table as a matrix `(n, width)` float32; anything else as it is.

        Args:
            x: a table; or an array, which is taken for encoded rows.
            name: of the argument, for errors.

        Raises:
            TypeError: a column of numbers that holds something else.
            ValueError: other columns, an unknown category, a number that is infinite or out of
                range, or a table before `adapt`.
        """
        if not tables.is_table(x):
            return x
        self._check(x, name)
        if self._scales is None and any(c.is_scaled for c in self._columns):
            raise ValueError(
                "The scales of the columns are not known yet: call `fit` with a table, or "
                "`model.likelihood.adapt(table)` with the training data. Received: a table of "
                f"{len(tables.names(x))} columns"
            )
        return np.concatenate(
            [self._encoded(i, x[c.name]) for i, c in enumerate(self._columns)], axis=1
        )

    def decode(self, x: Any, like: Any = None, keep: bool = False) -> Any:
        """The table of a matrix: each column its numbers or its most probable category.

        Args:
            x: encoded rows or means `(n, width)`.
            like: a table whose kind and index the result has; by default the kind that `adapt`
                has seen, and a dict of columns for a DataFrame where pandas is not installed.
            keep: whether values that are known in `like` replace those of x.

        Returns:
            A table; x itself where no table was seen.
        """
        description = self._table if like is None else tables.describe(like)
        if description is None:
            return x
        made = {c.name: self._decoded(i, x[:, c.data]) for i, c in enumerate(self._columns)}
        if keep:
            made = {name: _kept(values, like[name]) for name, values in made.items()}
        known = {c.name: c.categories for c in self._columns if c.categories is not None}
        return tables.build(description, made, known, like)

    def data_shape(self, output_shape: tuple[int, ...]) -> tuple[int, ...]:
        if tuple(output_shape) != (self._columns[-1].outputs.stop,):
            raise ValueError(
                f"The decoder must give {self._columns[-1].outputs.stop} outputs for these "
                f"columns: build it with input_shape={self.shape}. "
                f"Received: output shape {tuple(output_shape)}"
            )
        return self.shape

    @property
    def takes_logits(self):
        return any(
            c.likelihood is None or c.is_binary or c.likelihood.takes_logits for c in self._columns
        )

    def log_prob_each(self, x, outputs, training=False):
        outputs = ops.cast(outputs, "float32")
        terms = []
        for group in self._groups:
            values, given = layout.chosen(x, group.data), layout.chosen(outputs, group.outputs)
            if group.likelihood is None:
                terms.append(values * _log_softmax(given))
            elif group.together:
                terms.append(group.likelihood.log_prob_each(values, given, training))
            else:
                each = group.likelihood.log_prob(values, given, training)
                terms.append(ops.expand_dims(each, -1))
        return self._in_order(ops.concatenate(terms, axis=-1))

    def best_log_prob(self, x):
        # Of categories 0, as one may be certain; of missing values too.
        x, total = np.asarray(x, "float64"), np.zeros(len(x))
        for group in self._groups:
            values = layout.chosen(x, group.data)
            known = ~np.isnan(values)
            if isinstance(group.likelihood, layout.Numbers):
                total += np.where(known, group.likelihood.best_each(values), 0.0).sum(-1)
            elif group.likelihood is not None and not group.together:
                best = group.likelihood.best_log_prob(np.where(known, values, 0.0))
                if best is None:
                    return None
                total += np.where(known[:, 0], best, 0.0)
        return total

    def mean(self, outputs):
        outputs = ops.cast(outputs, "float32")
        means = []
        for group in self._groups:
            given = layout.chosen(outputs, group.outputs)
            part = group.likelihood
            means.append(ops.softmax(given, axis=-1) if part is None else part.mean(given))
        return self._in_order(ops.concatenate(means, axis=-1))

    def sample(self, mean, rng):
        drawn = []
        for group in self._groups:
            given = layout.chosen(mean, group.data)
            part = group.likelihood
            drawn.append(_drawn(given, rng) if part is None else part.sample(given, rng))
        return self._in_order(np.concatenate(drawn, axis=-1))

    def _in_order(self, x):
        """Values of one group after the other, in the order of the columns."""
        order = np.argsort([place for group in self._groups for place in group.data])
        return layout.chosen(x, tuple(map(int, order)))

    def _check(self, table, name):
        if not tables.is_table(table):
            raise TypeError(
                f"`{name}` must be a table: a pandas DataFrame, a structured array or a dict of "
                f"columns. Received: {type(table).__name__}"
            )
        tables.check_names(table, [c.name for c in self._columns], name)
        tables.length(table, name)

    def _encoded(self, i, values):
        column = self._columns[i]
        if column.categories is not None:
            return tables.one_hot(values, column.categories, column.name)
        found = tables.numbers(values, column.name)
        known = found[~np.isnan(found)]
        if column.is_binary and not np.isin(known, (0.0, 1.0)).all():
            raise ValueError(
                f"Column {column.name!r} must hold True and False, or 1 and 0: for two other "
                "values give the list of both in place of 'binary'. "
                f"Received: values from {known.min():g} to {known.max():g}"
            )
        limits = column.likelihood.data_range
        if (
            limits is not None
            and known.size
            and not limits[0] <= known.min() <= known.max() <= limits[1]
        ):
            raise ValueError(
                f"Column {column.name!r} must lie in [{limits[0]:g}, {limits[1]:g}], the range of "
                f"its {type(column.likelihood).__name__}: give 'normal', or a likelihood with "
                "`data_range=None`, for any numbers. "
                f"Received: values from {known.min():g} to {known.max():g}"
            )
        if column.is_scaled:
            loc, scale = self._scales[i]
            found = (found - loc) / scale
        return found.astype("float32")[:, None]

    def _decoded(self, i, values):
        column = self._columns[i]
        if column.categories is not None:
            known = np.empty(len(column.categories), object)
            known[:] = column.categories
            return known[np.argmax(values, axis=-1)]
        values = np.asarray(values[:, 0], "float64")
        if column.is_binary:
            return values >= 0.5
        if column.is_scaled and self._scales is not None:
            loc, scale = self._scales[i]
            return values * scale + loc
        return values

    def get_config(self):
        return {
            **super().get_config(),
            "columns": [[c.name, layout.serialized(c)] for c in self._columns],
            "scales": None if self._scales is None else [list(pair) for pair in self._scales],
            "table": self._table and [self._table[0], [list(pair) for pair in self._table[1]]],
        }

    @classmethod
    def from_config(cls, config):
        columns = {name: layout.deserialized(kind) for name, kind in config["columns"]}
        return cls(**{**config, "columns": columns})


def _log_softmax(logits):
    return logits - ops.logsumexp(logits, axis=-1, keepdims=True)


def _drawn(probabilities, rng):
    """One-hot draws of categories."""
    ends = np.cumsum(probabilities, axis=-1, dtype="float64")
    drawn = rng.random((*ends.shape[:-1], 1)) * ends[..., -1:]
    places = np.minimum((drawn >= ends).sum(axis=-1), ends.shape[-1] - 1)
    return np.eye(ends.shape[-1], dtype="float32")[places]


def _kept(values, given):
    """Values, but those that are known already."""
    known = tables.objects(given)
    kept = np.array(values, object)
    for row, value in enumerate(known):
        if value is not None:
            kept[row] = value
    # Back to numbers where all are: a dtype of integers rounds what was filled in.
    return kept if values.dtype == object else kept.astype(values.dtype)
