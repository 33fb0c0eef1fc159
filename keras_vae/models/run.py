"""`Run`: the arguments of one call of Keras' `fit`."""

import dataclasses
from typing import Any

import keras
import numpy as np


@dataclasses.dataclass
class Run:
    """One call of Keras' `fit`: a model and the arguments.

    `fit` makes it of clean data. What happens around training then changes it:
    `callbacks.resume.begin`, `callbacks.nan.watched` and `models.fast.kept_on_device`.

    Args:
        rest: the arguments of Keras' `fit` that have no field here.
        others: as Keras' `fit`; `callbacks` may also be one callback or a `CallbackList`.
    """

    model: keras.Model
    x: Any
    y: Any = None
    batch_size: int | None = None
    epochs: int = 1
    verbose: str | int = "auto"
    callbacks: Any = None
    validation_split: float = 0.0
    validation_data: Any = None
    sample_weight: Any = None
    shuffle: bool | str = True
    initial_epoch: int = 0
    rest: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if isinstance(self.callbacks, keras.callbacks.CallbackList):
            self.callbacks = self.callbacks.callbacks
        elif isinstance(self.callbacks, keras.callbacks.Callback):
            self.callbacks = [self.callbacks]
        self.callbacks = list(self.callbacks or [])
        # Keras takes Python's integers only, here and there.
        self.epochs, self.initial_epoch = _plain(self.epochs), _plain(self.initial_epoch)
        self.batch_size = _plain(self.batch_size)
        self.rest = {name: _plain(value) for name, value in self.rest.items()}

    @classmethod
    def of(cls, model, x, **arguments):
        """A run with the arguments of Keras' `fit`; those without a field become `rest`."""
        names = {field.name for field in dataclasses.fields(cls)} & arguments.keys()
        fields = {name: arguments.pop(name) for name in names}
        return cls(model, x, **fields, rest=arguments)

    @property
    def arguments(self):
        """The keyword arguments of Keras' `fit`."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        rest, _ = fields.pop("rest"), fields.pop("model")
        return {**fields, **rest}

    @property
    def has_arrays(self):
        """Whether x is an array, and not a source of batches."""
        return is_array(self.x)

    @property
    def splits(self):
        """Whether Keras will take rows for validation; not where it has data for that."""
        return bool(self.validation_split) and self.validation_data is None

    @property
    def training_rows(self):
        """How many of the arrays' rows are trained on; the rows after them are for validation."""
        return int(len(self.x) * (1.0 - self.validation_split)) if self.splits else len(self.x)

    def split_validation(self):
        """Splits the arrays as Keras does, which cannot split batches or row numbers."""
        if self.splits:
            n, arrays = self.training_rows, (self.x, self.y, self.sample_weight)
            self.validation_data = tuple(None if a is None else a[n:] for a in arrays)
            arrays = (None if a is None else a[:n] for a in arrays)
            self.x, self.y, self.sample_weight = arrays
        self.validation_split = 0.0


def _plain(value):
    return int(value) if isinstance(value, np.integer) else value


def is_array(x):
    """Whether x is an array (or a list that becomes one), and not a source of batches."""
    if isinstance(x, (tuple, list)):
        return True
    # Tables of pandas have a type for each column.
    return hasattr(x, "shape") and (hasattr(x, "dtype") or hasattr(x, "__array__"))
