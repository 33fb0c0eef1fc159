"""Conditions y of conditional models: labels and attributes."""

import difflib
from collections.abc import Sequence

import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae._registry import register


class Condition:
    """Base class: checks conditions and encodes them as vectors.

    Attributes:
        dim: length of the vector that is an input of encoder and decoder.
        names: a tuple of names, one per class or attribute, or None.
        optional: whether examples may have no condition.
        are_labels: whether a condition is an integer and not a vector.
    """

    optional = False
    are_labels = False

    def __init__(self, dim: int, names: Sequence[str] | None) -> None:
        if not _checks.is_integer(dim):
            raise ValueError(f"A condition needs at least one class or value. Received: {dim!r}")
        if names is not None and len(names) != dim:
            raise ValueError(f"Expected {dim} condition names, one each. Received: {len(names)}")
        self.dim = int(dim)
        self.names = None if names is None else tuple(names)

    def check(self, y, n):
        """Returns the conditions of `n` examples as an array; raises `ValueError`."""
        raise NotImplementedError

    def encode(self, y):
        """Encodes checked conditions as float32 vectors `(n, dim)`."""
        raise NotImplementedError

    def index(self, name):
        """Index of a named class or attribute; an error suggests similar names."""
        if self.names is None:
            raise ValueError(
                "The model's conditions have no names: build it with "
                f"`condition_names=`. Received: {name!r}"
            )
        if name in self.names:
            return self.names.index(name)
        lower = {known.lower(): known for known in self.names}
        near = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.4)
        hint = " or ".join(repr(lower[match]) for match in near)
        raise ValueError(
            f"Unknown condition name. Expected one of {', '.join(self.names)}. "
            f"Received: {name!r}." + (f" Did you mean {hint}?" if near else "")
        )

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@register
class Labels(Condition):
    """Integer class labels; the networks see one-hot vectors.

    Args:
        num_classes: number of classes; labels run from 0 to `num_classes - 1`.
        names: one name for each class, optional.
    """

    are_labels = True

    def __init__(self, num_classes: int, names: Sequence[str] | None = None) -> None:
        super().__init__(num_classes, names)
        self.num_classes = self.dim

    def check(self, y, n):
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim == 0:
            y = np.full((n,), y)
        whole = y.dtype.kind in "iu" or (y.dtype.kind == "f" and np.array_equal(y, np.round(y)))
        if not whole or y.shape != (n,):
            hint = ""
            if y.shape == (n, self.num_classes) and y.dtype.kind in "biuf":
                hint = " One-hot rows become labels by `y.argmax(axis=-1)`."
            elif y.dtype.kind in "UO" and self.names is not None:
                hint = " Names become labels by `[model.condition.index(name) for name in y]`."
            elif y.dtype.kind in "UO":
                hint = " Names become labels by `names, y = np.unique(y, return_inverse=True)`."
            raise ValueError(
                f"Conditions must be {n} integer labels, one for each example.{hint} "
                f"Received: shape {y.shape}, dtype {y.dtype}"
            )
        if n and (y.min() < 0 or y.max() >= self.num_classes):
            raise ValueError(
                f"Labels must be from 0 to {self.num_classes - 1}. "
                f"Received: labels from {y.min()} to {y.max()}"
            )
        return y.astype("int32")

    def encode(self, y):
        # Rows of a table, because an int8 TFLite file writes the ones of `one_hot` with one
        # scale and reads them with another.
        table = ops.eye(self.num_classes, dtype="float32")
        return ops.take(table, ops.cast(ops.reshape(y, (-1,)), "int32"), axis=0)

    def get_config(self):
        return {"num_classes": self.num_classes, "names": self.names}


@register
class OptionalLabels(Labels):
    """Labels that may be missing (-1, encoded as zeros).

    Args: as `Labels`.
    """

    optional = True

    def check(self, y, n):
        y = np.asarray(y)
        missing = y == -1 if y.dtype.kind in "if" else np.zeros(y.shape, bool)
        labels = super().check(np.where(missing, 0, y).astype(y.dtype), n)
        return np.where(missing.reshape(-1), -1, labels).astype("int32")

    def encode(self, y):
        table = ops.concatenate(
            [ops.zeros((1, self.num_classes), "float32"), ops.eye(self.num_classes)]
        )
        return ops.take(table, ops.cast(ops.reshape(y, (-1,)), "int32") + 1, axis=0)


@register
class Attributes(Condition):
    """Vectors of attributes, which the networks see unchanged.

    Args:
        dim: length of the vectors; single attributes may be given as `(n,)`.
        names: one name for each attribute, optional.
    """

    def __init__(self, dim: int, names: Sequence[str] | None = None) -> None:
        super().__init__(dim, names)

    def check(self, y, n):
        y = np.asarray(y)
        if self.dim == 1 and y.shape in ((), (1,)):
            y = np.broadcast_to(np.reshape(y, (1, 1)), (n, 1))
        elif self.dim == 1 and y.shape == (n,):
            y = y[:, None]
        elif y.ndim == 1 and y.shape == (self.dim,):
            y = np.broadcast_to(y, (n, self.dim))
        if y.shape != (n, self.dim) or y.dtype.kind not in "biuf":
            raise ValueError(
                f"Conditions must be numbers of shape ({n}, {self.dim}). "
                f"Received: shape {y.shape}, dtype {y.dtype}"
            )
        y = y.astype("float32")
        if not np.isfinite(y).all():
            raise ValueError(
                "Conditions must be finite. "
                f"Received: {np.size(y) - np.isfinite(y).sum()} NaN or infinite values"
            )
        return y

    def encode(self, y):
        # A data set may give single attributes as `(n,)`.
        return ops.cast(y if len(y.shape) > 1 else ops.expand_dims(y, -1), "float32")

    def get_config(self):
        return {"dim": self.dim, "names": self.names}
