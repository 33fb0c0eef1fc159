"""`fit` of arrays that fit in memory: many steps a call, on data that stays on the device.

Keras' `fit` runs as it always does, callbacks and validation and all, but the data that
it shuffles and batches are row numbers, and one of its batches is a chunk of many
steps' rows. What a chunk does is `run_chunk` of the backend (`keras_vae.training`):
`train_step` in a loop, each time on `x[rows]`.
"""

import itertools

import keras
import numpy as np
from keras import ops

from keras_vae import callbacks
from keras_vae.callbacks.resume import Resume, Shuffled

# Larger data stays where it is and goes to the device batch by batch.
LARGEST = 4 * 2**30
# Compiling many steps at once takes as long as so many of them save.
EARNED_BACK = 200
PER_BATCH = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class Resident:
    """Data on the device, and how many of its examples a step takes."""

    def __init__(self, arrays, batch_size, steps):
        # As Keras packs them: nothing after the first that is missing.
        given = itertools.takewhile(lambda a: a is not None, arrays)
        self.arrays = tuple(ops.convert_to_tensor(_single(a)) for a in given)
        self.batch_size, self.steps = batch_size, steps


class Fast:
    """Keras' `fit`, which keeps arrays on the device if it is told to be `fast`."""

    _resident = None

    def fit(self, x=None, y=None, fast=False, **kwargs):
        if fast:
            return self._fit_rows(x, y, **kwargs)
        return super().fit(x, y, **kwargs)

    def _fit_rows(
        self,
        x,
        y,
        batch_size,
        epochs,
        verbose="auto",
        callbacks=(),
        validation_split=0.0,
        validation_data=None,
        sample_weight=None,
        shuffle=True,
        **kwargs,
    ):
        shuffled = x if isinstance(x, Shuffled) else None
        if shuffled is not None:
            x, y, sample_weight = x.x, x.y, x.sample_weight
            batch_size = shuffled.batch_size
        batch_size = batch_size or 32
        (x, y, sample_weight), split = split_off((x, y, sample_weight), validation_split)
        batches = -(-len(x) // batch_size)
        chunks = -(-batches // self.steps_at_once())
        resident = Resident((x, y, sample_weight), batch_size, -(-batches // chunks))
        chunk = resident.steps * batch_size
        if shuffled is not None:
            rows = Shuffled(np.arange(len(x), dtype="int32"), None, chunk, shuffled.seed)
            for callback in callbacks:
                if isinstance(callback, Resume):
                    callback.dataset = rows
            source = {"x": rows}
        else:
            source = self.rows_of_chunks(len(x), chunk, shuffle)
            # Else Keras would evaluate in batches of a chunk's size.
            kwargs["validation_batch_size"] = kwargs.get("validation_batch_size") or batch_size
        # Not an attribute that Keras would look into, and track.
        self.__dict__["_resident"] = resident
        try:
            return super().fit(
                **source,
                epochs=epochs,
                callbacks=_Chunks(
                    callbacks,
                    add_history=True,
                    add_progbar=verbose != 0,
                    verbose=verbose,
                    epochs=epochs,
                    steps=batches,
                    model=self,
                ),
                validation_data=split if validation_data is None else validation_data,
                **kwargs,
            )
        finally:
            del self.__dict__["_resident"]

    def steps_at_once(self):
        """Steps a call: few enough that progress is seen, and that one can interrupt."""
        if self.on_accelerator():
            return 500
        return 10 if self._convolves() else 50

    def _convolves(self):
        return any(len(v.shape) > 2 for v in self.trainable_variables)

    def make_train_function(self, force=False):
        """Keras' own function of a batch, or one of a chunk of row numbers."""
        # What Keras keeps from the last `fit` may be of the other kind.
        kind = isinstance(self.train_function, Chunk)
        force = force or kind != (self._resident is not None)
        if self._resident is None:
            return super().make_train_function(force)
        if force or self.train_function is None:
            self.train_function = Chunk(self)


class Chunk:
    """Keras' `train_function` for a batch that is the row numbers of many steps."""

    def __init__(self, model):
        # On a CPU, XLA's gradients of convolutions are slow, and slower in a loop.
        loop = model.on_accelerator() or not model._convolves()
        self.model, self.run, self.logs = model, model.compile_chunk(loop), {}

    def __call__(self, *arguments):
        # JAX hands over its state, the others only the source of batches.
        *state, source = arguments
        # PyTorch's is a list of the one batch that a step executes.
        batch = source[0] if isinstance(source, list) else next(source)
        rows, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        resident = self.model._resident
        whole = len(rows) // resident.batch_size
        self.logs, *state = self.run(resident, rows, whole, *state)
        last = {name: values[-1] for name, values in self.logs.items()}
        return (last, *state) if state else last


class _Chunks(keras.callbacks.CallbackList):
    """Callbacks, told the number of the step and not that of the chunk."""

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch * self.model._resident.steps, logs)

    def on_train_batch_end(self, batch, logs=None):
        steps = self.model.train_function.logs
        bad = ~np.isfinite(np.stack([np.asarray(v) for v in steps.values()])).all(0)
        # The step at which a loss went bad, else the last one.
        found = int(bad.argmax()) if bad.any() else len(bad) - 1
        logs = {name: values[found] for name, values in steps.items()}
        super().on_train_batch_end(batch * self.model._resident.steps + found, logs)


def why_not(model, x, callbacks=None, **arguments):
    """Why `fit` with these arguments cannot keep the data on the device, or None."""
    if isinstance(x, (tuple, list)):
        x = np.asarray(x)
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        return f"`x` is no array but a source of batches ({type(x).__name__})"
    if 4 * np.prod([float(n) for n in x.shape]) > LARGEST:
        return f"`x` takes more than {LARGEST / 2**30:g} GiB as float32"
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return "`callbacks` is a CallbackList, which counts batches"
    for callback in callbacks or []:
        if _per_batch(callback):
            return f"the callback {type(callback).__name__} wants to see every batch"
    for name in ("class_weight", "steps_per_epoch"):
        if arguments.get(name) is not None:
            return f"`{name}` is given"
    if arguments.get("shuffle", True) not in (True, False):
        return "`shuffle` is 'batch'"
    share = arguments.get("validation_split")
    if share and not 0 < int(len(x) * (1.0 - share)) < len(x):
        return "`validation_split` leaves no example to one side"
    if model.run_eagerly:
        return "the model is compiled with `run_eagerly`"
    if model.steps_per_execution != 1:
        return "the model is compiled with `steps_per_execution`"
    if model._compile_metrics is not None:
        return "the model is compiled with `metrics`, which see what `predict` gives"
    return model.why_no_chunks()


def too_few(x, batch_size=None, epochs=1, validation_split=0.0, **arguments):
    """Why it would not pay, or None, where `why_not` finds nothing against it."""
    size = getattr(x, "batch_size", batch_size) or 32
    steps = epochs * -(-int(len(x) * (1.0 - (validation_split or 0.0))) // size)
    if steps < EARNED_BACK:
        return f"{steps} steps do not earn back what compiling many at once takes"


def _per_batch(callback):
    base = keras.callbacks.Callback
    if isinstance(callback, (callbacks.StopAtNaN, keras.callbacks.ProgbarLogger)):
        return False
    if isinstance(callback, (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore)):
        known = type(callback).__module__.startswith("keras.")
        return not known or callback.save_freq != "epoch"
    return any(
        getattr(getattr(callback, name), "__func__", None) is not getattr(base, name)
        for name in PER_BATCH
    )


def split_off(arrays, share):
    """The first of the arrays' rows, and the last `share` of them for validation or None."""
    if not share:
        return arrays, None
    n = int(len(arrays[0]) * (1.0 - share))
    first, last = (
        tuple(None if a is None else a[rows] for a in arrays) for rows in (slice(n), slice(n, None))
    )
    return first, last


def _single(array):
    """As Keras gives data to a step: floats in its own precision, integers as they are."""
    array = np.asarray(array)
    floats = keras.config.floatx()
    # PyTorch shares the memory, and says so where it may not be written to.
    return np.require(array, floats, "W") if array.dtype.kind == "f" else array
