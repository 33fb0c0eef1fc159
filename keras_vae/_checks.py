"""Checks of what users pass in, made with NumPy before any state can be lost."""

import math
import reprlib

import numpy as np

# A scaler that computes (x - min) / (max - min) in float32 gives 1.0000001 for the maximum.
_ROUNDING = 1e-5


def data(model, x, name="x", limits="likelihood"):
    """Data as a clean float32 array, or an error that says what to do.

    Args:
        limits: "likelihood" for the range that the likelihood knows, None for any.

    Raises:
        TypeError: not numeric.
        ValueError: empty, of another shape, not finite, or out of range.
    """
    x = array(_numbers(model, x, name), name)
    if not fits(x.shape[1:], model.data_shape):
        hint, code = "", _code(name)
        if fits(x.shape, model.data_shape):
            hint = " For a single example add a batch axis: x[None]."
            if code != name:
                hint += " A data set of single examples makes batches by `data.batch(64)`."
        elif x.shape == (len(x), *model.data_shape[:-1]) and model.data_shape[-1] == 1:
            hint = " Add a channel axis: x[..., None]."
        elif len(model.data_shape) == 3 and x.shape[1:] == _channels_first(model.data_shape):
            hint = (
                f" Channels come last: np.moveaxis({code}, 1, -1), "
                f"or {code}.permute(0, 2, 3, 1) of a tensor."
            )
        elif model.data_shape[-1] == 3 and x.shape[-1:] == (1,):
            hint = f" Grey pictures become coloured ones by np.repeat({code}, 3, axis=-1)."
        elif model.data_shape[-1] == 3 and x.shape[1:] == model.data_shape[:-1]:
            hint = f" Grey pictures become coloured ones by np.stack([{code}] * 3, axis=-1)."
        elif x.shape[-3:] == (218, 178, 3):
            hint = (
                " CelebA's originals are cropped and resized by "
                f"keras_vae.datasets.crop_faces({code}, size={model.data_shape[0]})."
            )
        raise ValueError(
            f"`{name}` must have shape (n, {listed(model.data_shape)})."
            f"{hint} Received: shape {x.shape}"
        )
    if _of_tables(model) and not model.likelihood.missing and np.isnan(x).any():
        raise ValueError(
            f"`{name}` has missing values: make the model by `models.miwae(columns.shape, ..., "
            "likelihood=columns)`, which learns from the others and fills them in, or leave these "
            f"rows out. Received: {int(np.isnan(x).any(axis=1).sum())} rows with missing values"
        )
    own = limits == "likelihood"
    limits = model.likelihood.data_range if own else limits
    x = _in_range(x, limits, name, model.likelihood.missing)
    if own and getattr(model.likelihood, "counts", False):
        _are_counts(x, name)
    return x


def _are_counts(x, name):
    """Refuses what is no integer from 0 on; NaN may be missing values."""
    known = x[~np.isnan(x)]
    bad = known[(known < 0) | (known != np.floor(known))]
    if bad.size:
        raise ValueError(
            f"`{name}` must be counts, integers from 0 on, under this likelihood: give them as "
            "they were counted, neither scaled nor as logarithms. Of other numbers a model has "
            "likelihood=keras_vae.likelihoods.Normal(data_range=None). "
            f"Received: {bad.size} other values, such as {bad[0]:g}"
        )


def _of_tables(model):
    return getattr(model.likelihood, "tables", False)


def _numbers(model, x, name):
    """A table as the numbers that a likelihood of tables makes of it; anything else as it is."""
    return model.likelihood.encode(x, name) if _of_tables(model) else x


def fits(shape, wanted):
    """Whether a shape is the wanted one, whose None stand for any size of at least 1."""
    return len(shape) == len(wanted) and all(
        a == b or (b is None and a != 0) for a, b in zip(shape, wanted, strict=True)
    )


def listed(shape):
    """A shape in an error message."""
    return ", ".join("any size" if size is None else str(size) for size in shape)


def seems_good(model, x):
    """Whether a batch passes `data` for sure, at the price of one look at its numbers."""
    likelihood = model.likelihood
    if x.shape[1:] != model.data_shape or not len(x) or x.dtype != "float32":
        return False
    counts = getattr(likelihood, "counts", False)
    if likelihood.missing or counts or not x.flags.c_contiguous:
        return False
    if likelihood.data_range is None:
        return bool(np.isfinite(x.min() + x.max()))
    low, high = likelihood.data_range
    if low == 0.0:
        # The bits of floats from 0 on are in the order of the floats; those of negative ones and
        # of NaN come after them.
        return bool(x.view("uint32").max() <= np.float32(high).view("uint32"))
    return bool(low <= x.min() and x.max() <= high)


def noisy(model, x, name="x"):
    """As `data`, of what a model shall clean: noise may take it out of the data's range."""
    x = array(_numbers(model, x, name), name)
    limits = model.likelihood.data_range
    if limits is not None and x.size and x.min() >= limits[0] and 16 * limits[1] < x.max() <= 255:
        return data(model, x, name)
    return data(model, x, name, limits=None)


def _channels_first(shape):
    return (shape[2], *shape[:2])


def _code(name):
    """The name of data in a line of code: `x` for "the first batch"."""
    return name if name.isidentifier() else "x"


def shown(value):
    """A value in an error message: never the data itself."""
    if hasattr(value, "shape") and np.ndim(value):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return reprlib.repr(value)


def codes(model, z):
    """Codes `(n, latent_dim)`, or maps `(n, h, w, latent_dim)`, as a clean float32 array."""
    z = array(z, "z")
    if not fits(z.shape[1:], model.code_shape):
        single = z.ndim > 1 and fits(z.shape, model.code_shape)
        hint = " For a single code add a batch axis: z[None]." if single else ""
        raise ValueError(
            f"`z` must have shape (n, {listed(model.code_shape)}).{hint} Received: shape {z.shape}"
        )
    return _in_range(z, None, "z")


def code_map(model, z):
    """Codes `(n, h, w)` of a `VQVAE` as a clean int32 array.

    Raises:
        TypeError: no integers.
        ValueError: empty, of another shape, or no codes of the codebook.
    """
    z = array(z, "z")
    if z.dtype.kind not in "iu":
        raise TypeError(
            "Codes must be integers, as `encode` and `sample_codes` give them. "
            f"Received: dtype {z.dtype}"
        )
    if not fits(z.shape[1:], model.code_shape):
        single = fits(z.shape, model.code_shape)
        hint = " For a single map add a batch axis: z[None]." if single else ""
        raise ValueError(
            f"Codes must have shape (n, {listed(model.code_shape)}).{hint} "
            f"Received: shape {z.shape}"
        )
    if z.min() < 0 or z.max() >= model.num_codes:
        raise ValueError(
            f"Codes must be from 0 to {model.num_codes - 1}. "
            f"Received: codes from {z.min()} to {z.max()}"
        )
    return z.astype("int32", copy=False)


def condition(model, y, n, name="condition"):
    """Conditions of `n` examples, or None for an unconditional model."""
    if model.condition is None:
        if y is not None:
            raise ValueError(
                f"This model is unconditional: leave `{name}` out. "
                f"Received: {name} of type {type(y).__name__}"
            )
        return None
    if y is None and model.condition.optional:
        return np.full((n,), -1, "int32")
    if y is None:
        raise ValueError(
            f"This model is conditional: give `{name}`, "
            f"{type(model.condition).__name__.lower()} for {n} examples. "
            f"Received: {name}=None"
        )
    return model.condition.check(_numpy(y, name), n)


def value(name, value, n):
    """What an attribute is set to: one finite number, or one for each of n examples."""
    found = _numpy(value, name)
    if found.shape == (n, 1):
        found = found[:, 0]
    if found.dtype.kind not in "biuf" or found.shape not in ((), (1,), (n,)):
        raise ValueError(
            f"`{name}` must be a number, or {n} of them: one for each example. "
            f"Received: shape {found.shape}, dtype {found.dtype}"
        )
    if not np.isfinite(found.astype("float32")).all():
        raise ValueError(f"`{name}` must be finite. Received: {shown(value)}")
    return found


def weights(sample_weight, n):
    """Sample weights `(n,)` as a clean float32 array."""
    sample_weight = _in_range(array(sample_weight, "sample_weight"), None, "sample_weight")
    if sample_weight.shape not in ((n,), (n, 1)):
        raise ValueError(
            f"`sample_weight` must have shape ({n},), one for each example. "
            f"Received: shape {sample_weight.shape}"
        )
    return sample_weight.reshape(n)


def class_weights(class_weight, y, sample_weight, name="y"):
    """`class_weight` of Keras' `fit` as sample weights `(n,)`.

    Raises:
        ValueError: no labels, or sample weights besides.
    """
    if sample_weight is not None:
        raise ValueError(
            "Give `sample_weight` or `class_weight`, not both: multiply them. "
            f"Received: class_weight={shown(class_weight)}"
        )
    y = None if y is None else array(y, "y")
    if y is not None and y.ndim > 1:
        y = y.reshape(len(y), -1)
        y = y[:, 0] if y.shape[1] == 1 else y.argmax(axis=-1)
    if y is None:
        raise ValueError(
            "`class_weight` weighs examples by their labels: give `y`, an integer for each "
            f"example. Received: class_weight={shown(class_weight)} and no y in {name}"
        )
    classes, places = np.unique(np.round(y).astype("int64"), return_inverse=True)
    weights = np.array([class_weight.get(int(c), 1.0) for c in classes], "float32")
    return _in_range(weights, None, "class_weight")[places]


def is_integer(value, least=1, most=math.inf):
    """Whether a value is an integer in a range; NumPy's are, True and False are not."""
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return integer and least <= value <= most


def count(n, name="n", least=1):
    """An integer of at least `least`, as Python's."""
    if not is_integer(n, least):
        raise ValueError(
            f"`{name}` must be an integer of at least {least}. Received: {name}={shown(n)}"
        )
    return int(n)


def at_least_0(name, value):
    """A finite weight of at least 0, as a float."""
    if not 0.0 <= value < math.inf:
        raise ValueError(f"`{name}` must be at least 0 and finite. Received: {name}={value!r}")
    return float(value)


def positive(name, value):
    """A finite number above 0, as a float."""
    if not 0.0 < value < math.inf:
        raise ValueError(f"`{name}` must be a positive number. Received: {name}={value!r}")
    return float(value)


def seed(value):
    """A seed as it is; without one, one that follows `keras.utils.set_random_seed`."""
    return int(np.random.randint(2**31 - 1)) if value is None else value


def array(x, name):
    """Numbers of at least one example, as NumPy holds them."""
    given, x = x, _numpy(x, name)
    if hasattr(x.flat[0] if x.size else None, "toarray"):
        raise TypeError(
            f"`{name}` must be an array, and not a sparse matrix: give `{name}.toarray()`, or its "
            "rows in batches, each `.toarray()`, where the whole is too large. Received: a sparse "
            "matrix"
        )
    if x.dtype.kind not in "biuf" and x.dtype.name != "bfloat16":
        raise TypeError(
            f"`{name}` must be an array of numbers. Received: dtype {x.dtype}{_of_table(given)}"
        )
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"`{name}` must hold at least one example. Received: shape {x.shape}")
    return x


def host(x, name):
    """x as NumPy holds it, without a look at its numbers."""
    return x if isinstance(x, np.ndarray) else _numpy(x, name)


def _of_table(table):
    """Which columns of a pandas table hold no numbers."""
    kinds = getattr(table, "dtypes", None)
    if kinds is None or not hasattr(table, "columns"):
        return ""
    others = [
        f"{column!r} ({kind})"
        for column, kind in zip(table.columns, kinds, strict=True)
        if getattr(kind, "kind", "O") not in "biuf"
    ]
    return f", of the columns {', '.join(others[:5])}" if others else ""


def _numpy(x, name):
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        # PyTorch's bfloat16 is unknown to NumPy.
        x = x.float() if str(x.dtype) == "torch.bfloat16" else x
    try:
        return np.asarray(x)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be an array: each example of the same shape. Received: {error}"
        ) from error


def _in_range(x, limits, name, missing=False):
    x = x.astype("float32", copy=False)
    known = x[~np.isnan(x)] if missing else x
    if not known.size:
        return x
    low, high = float(known.min()), float(known.max())
    if not np.isfinite(low + high):
        raise ValueError(
            f"`{name}` must be finite. Received: "
            f"{known.size - int(np.isfinite(known).sum())} NaN or infinite values"
        )
    if limits and not limits[0] <= low <= high <= limits[1]:
        if limits[0] - _ROUNDING <= low and high <= limits[1] + _ROUNDING:
            return np.clip(x, *limits)
        hint = more = ""
        if low >= 0 and 1 < high <= 255:
            hint = f" Pixels of 0..255 become that by `{_code(name)} / 255`."
        elif low < 0:
            more = (
                ". A model of standardised data, or of any finite numbers, has "
                "likelihood=keras_vae.likelihoods.Normal(data_range=None)"
            )
        raise ValueError(
            f"`{name}` must lie in [{limits[0]:g}, {limits[1]:g}].{hint} "
            f"Received: values from {low:g} to {high:g}{more}"
        )
    return x
