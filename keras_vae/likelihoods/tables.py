"""Tables as users have them: pandas' DataFrames, structured arrays, dictionaries of columns.

pandas is not imported unless a DataFrame is made, of which there was one before.
"""

import numpy as np

from keras_vae import _checks


def is_table(x):
    """Whether x has columns of names: a frame, a structured array, or a dict of columns."""
    frame = hasattr(x, "columns") and hasattr(x, "shape")
    return (
        isinstance(x, dict)
        or frame
        or getattr(getattr(x, "dtype", None), "names", None) is not None
    )


def names(table):
    """The names of a table's columns."""
    if isinstance(table, dict):
        return list(table)
    return list(table.columns if hasattr(table, "columns") else table.dtype.names)


def describe(table):
    """The kind of a table, and its columns' names and dtypes: tuples that JSON keeps as lists."""
    kind = "dict"
    if hasattr(table, "columns"):
        kind = "pandas" if type(table).__module__.startswith("pandas") else "dict"
    elif not isinstance(table, dict):
        kind = "array"
    return kind, tuple((name, _dtype(table[name], kind)) for name in names(table))


def _dtype(column, kind):
    if kind == "pandas":
        ordered = getattr(column.dtype, "ordered", False)
        return "ordered category" if ordered else str(column.dtype)
    # Of another frame's column, the dtype that NumPy makes of it.
    return np.asarray(column).dtype.str


def length(table, name="x"):
    """The number of rows, the same in every column.

    Raises:
        ValueError: no rows, or columns of different lengths.
    """
    lengths = {len(table[column]) for column in names(table)}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            f"`{name}` must be a table of at least one row, and columns of the same length. "
            f"Received: columns of {' and '.join(map(str, sorted(lengths)))} rows"
        )
    return lengths.pop()


def numbers(column, name):
    """A column's numbers, float64; NaN where a value is missing.

    Raises:
        TypeError: a column of no numbers.
        ValueError: an infinite number.
    """
    dtype = getattr(column, "dtype", None)
    try:
        if getattr(dtype, "kind", None) in ("m", "M"):
            raise TypeError(f"dates of dtype {dtype}")
        if hasattr(column, "isna"):
            found = column.to_numpy(dtype="float64", na_value=np.nan)
        else:
            values = objects(column)
            found = np.array([np.nan if v is None else v for v in values], "float64")
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"Column {name!r} must hold numbers: make numbers of it (of dates, such as days since "
            "the first), or give the list of its categories in place of a likelihood. "
            f"Received: {error}"
        ) from None
    if np.isinf(found).any():
        raise ValueError(
            f"Column {name!r} must be finite, or NaN where a value is missing. "
            f"Received: {int(np.isinf(found).sum())} infinite values"
        )
    return found


def objects(column):
    """A column's values in a list; None where a value is missing."""
    if hasattr(column, "isna"):
        missing = column.isna().to_numpy()
        return [None if m else v for v, m in zip(column.tolist(), missing, strict=True)]
    if np.ma.isMaskedArray(column):
        return column.tolist()
    for method in ("tolist", "to_list"):
        if hasattr(column, method):
            column = getattr(column, method)()
            break
    # NaN is the one value that differs from itself.
    return [None if v is None or v != v else v for v in column]


def build(description, columns, categories, like=None):
    """A table of columns; of a frame a dict of them where pandas is not installed.

    Args:
        description: of `describe`.
        columns: dict from a name to its values, NumPy.
        categories: dict from a name to the categories of its column, where it has any.
        like: a frame whose index the rows have, or None.
    """
    kind, dtypes = description
    if kind == "pandas":
        try:
            import pandas
        except ImportError:
            return {name: _cast(columns[name], _plain(dtype)) for name, dtype in dtypes}
        made = {
            name: _series(pandas, columns[name], dtype, categories.get(name))
            for name, dtype in dtypes
        }
        frame = pandas.DataFrame(made, columns=[name for name, _ in dtypes])
        index = getattr(like, "index", None)
        return frame if index is None else frame.set_axis(index, axis=0)
    made = {name: _cast(columns[name], dtype) for name, dtype in dtypes}
    if kind == "dict":
        return made
    array = np.empty(len(next(iter(made.values()))), list(dtypes))
    for name, values in made.items():
        array[name] = values
    return array


def _series(pandas, values, dtype, categories):
    if dtype.endswith("category"):
        # Categories of numbers, cut or counted, have categories all the same.
        known = list(dict.fromkeys(values.tolist())) if categories is None else list(categories)
        ordered = dtype.startswith("ordered")
        return pandas.Series(pandas.Categorical(values, categories=known, ordered=ordered))
    whole = dtype.lower().startswith(("int", "uint"))
    return pandas.Series(_whole(values, dtype.lower()) if whole else values).astype(dtype)


def _plain(dtype):
    """NumPy's dtype of a frame's column, or None where it has none, such as categories."""
    try:
        return np.dtype(dtype.lower())
    except TypeError:
        return None


def _cast(values, dtype):
    if dtype is None:
        return np.array(values.tolist())
    kind = np.dtype(dtype)
    return _whole(values, kind) if kind.kind in "iu" else np.asarray(values).astype(kind)


def _whole(values, dtype):
    """The nearest integers that a dtype holds."""
    if np.asarray(values).dtype.kind not in "fb":
        return np.asarray(values).astype(dtype)
    limits = np.iinfo(dtype)
    # Floats next to the largest integers of 64 bits are not among them.
    rounded = np.rint(np.asarray(values, "float64"))
    inside = np.clip(rounded, float(limits.min), np.nextafter(float(limits.max), 0.0))
    return np.where(rounded >= limits.max, limits.max, inside.astype(dtype))


def check_names(table, wanted, name="x"):
    """Raises a ValueError where a table has other columns than a model."""
    found = names(table)
    missing = [column for column in wanted if column not in found]
    others = [column for column in found if column not in wanted]
    if missing or others:
        hint = f" Take the columns by `{name}[{list(wanted)!r}]`." if not missing else ""
        raise ValueError(
            f"`{name}` must have the columns {', '.join(map(repr, wanted))}.{hint} Received: "
            + "; ".join(
                f"{what} {', '.join(map(repr, some[:5]))}"
                for what, some in (("without", missing), ("with", others))
                if some
            )
        )


def one_hot(column, categories, name):
    """A column's categories, one-hot `(n, len(categories))`; NaN where a value is missing.

    Raises:
        ValueError: a value that is no category.
    """
    place = {category: i for i, category in enumerate(categories)}
    values = objects(column)
    unknown = {}
    for value in values:
        if value is not None and not _is_in(value, place):
            key = _checks.shown(value)
            unknown[key] = unknown.get(key, 0) + 1
    if unknown:
        rows = ", ".join(f"{value} ({count} rows)" for value, count in list(unknown.items())[:5])
        raise ValueError(
            f"Column {name!r} has values that are none of its categories "
            f"{', '.join(map(repr, list(categories)[:9]))}. Replace them by one of these or by "
            "None, which marks a missing value; or make a new model whose `Columns` lists them. "
            f"Received: {rows}"
        )
    found = np.full((len(values), len(place)), np.nan, "float32")
    for row, value in enumerate(values):
        if value is not None:
            found[row] = 0.0
            found[row, place[value]] = 1.0
    return found


def _is_in(value, place):
    try:
        return value in place
    except TypeError:
        # A list or another value without a hash.
        return False
