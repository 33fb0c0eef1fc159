"""`fit` of arrays that fit in memory: many steps a call, on data that stays on the device.

Keras' `fit` runs as it always does, with callbacks and validation, but the data that it
shuffles and batches is row numbers, and one of its batches is a chunk: the rows of many
steps. The backend's program for a chunk (`keras_vae.training`) runs `train_step` in a loop,
each time on `x[rows]`.
"""

import contextlib
import itertools

import keras
import numpy as np
from keras import ops

from keras_vae.callbacks import Resume, Shuffled, StopAtNaN
from keras_vae.training import chunks, keras_private

# Larger data stays where it is and goes to the device batch by batch.
LARGEST = 4 * 2**30
# Below this many steps, compiling the many-step program costs more than it saves.
EARNED_BACK = 200
PER_BATCH = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


def chosen(run, fast):
    """Whether a run keeps its data on the device.

    Args:
        fast: as in `fit`.

    Raises:
        ValueError: `fast` is True and the run cannot.
    """
    if fast not in (None, True, False):
        raise ValueError(f"`fast` must be True, False or None. Received: fast={fast!r}")
    if fast is False:
        return False
    reason = why_not(run)
    if fast and reason:
        raise ValueError(
            f"`fit` cannot be fast here: {reason}. Leave `fast` out and it takes the ordinary "
            "way. Received: fast=True"
        )
    return not reason and bool(fast or not too_few(run))


def why_not(run):
    """Why the data of a run cannot stay on the device, or None."""
    model, x = run.model, run.x
    if isinstance(x, (tuple, list)):
        x = np.asarray(x)
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        return f"`x` is no array but a source of batches ({type(x).__name__})"
    if 4 * np.prod([float(n) for n in x.shape]) > LARGEST:
        return f"`x` takes more than {LARGEST / 2**30:g} GiB as float32"
    for callback in run.callbacks:
        if _per_batch(callback):
            return f"the callback {type(callback).__name__} wants to see every batch"
    for name in ("class_weight", "steps_per_epoch"):
        if run.rest.get(name) is not None:
            return f"`{name}` is given"
    if run.shuffle not in (True, False):
        return "`shuffle` is 'batch'"
    if run.splits and not 0 < run.training_rows < len(x):
        return "`validation_split` leaves no example to one side"
    if model.run_eagerly:
        return "the model is compiled with `run_eagerly`"
    if model.steps_per_execution != 1:
        return "the model is compiled with `steps_per_execution`"
    if keras_private.has_compiled_metrics(model):
        return "the model is compiled with `metrics`, which need the outputs of each batch"
    return chunks.why_no_chunks(model)


def too_few(run):
    """Why chunks would not pay, or None, where `why_not` is None."""
    steps = run.epochs * -(-run.training_rows // (run.batch_size or 32))
    if steps < EARNED_BACK:
        return f"{steps} steps are too few: compiling many at once costs more than it saves"


def steps_at_once(model):
    """Steps per call: few enough to show progress and to be interrupted."""
    if chunks.on_accelerator():
        return 500
    return 10 if _convolves(model) else 50


@contextlib.contextmanager
def kept_on_device(run, fast):
    """Puts the arrays of a run on the device, and row numbers in their place, if it is `fast`.

    The model's `make_train_function` finds the arrays in `model._resident`, as long as the
    context lasts.
    """
    if not fast:
        yield
        return
    model = run.model
    # An attribute that Keras does not look into, and track.
    model.__dict__["_resident"] = _row_numbers(run)
    try:
        yield
    finally:
        del model.__dict__["_resident"]


def _row_numbers(run):
    """Puts row numbers in place of a run's arrays; returns these as `Resident`."""
    shuffled = run.x if isinstance(run.x, Shuffled) else None
    if shuffled is not None:
        run.x, run.y, run.sample_weight = shuffled.x, shuffled.y, shuffled.sample_weight
        run.batch_size = shuffled.batch_size
    batch_size = run.batch_size or 32
    run.split_validation()
    n = len(run.x)
    steps = -(-n // batch_size)
    calls = -(-steps // steps_at_once(run.model))
    arrays = run.x, run.y, run.sample_weight
    epochs = run.epochs - run.initial_epoch
    resident = Resident(arrays, batch_size, -(-steps // calls), n // batch_size, epochs)
    size = resident.steps * batch_size
    if shuffled is not None:
        rows = Shuffled(np.arange(n, dtype="int32"), None, size, shuffled.seed)
        for callback in run.callbacks:
            if isinstance(callback, Resume):
                callback.dataset = rows
        source = {"x": rows, "shuffle": False}
    else:
        source = chunks.rows_of_chunks(n, size, run.shuffle)
        # Else Keras would validate in batches of a chunk's size.
        run.rest["validation_batch_size"] = run.rest.get("validation_batch_size") or batch_size
    run.x, run.y, run.sample_weight = source["x"], None, None
    run.batch_size, run.shuffle = source.get("batch_size"), source["shuffle"]
    run.callbacks = _Chunks(
        run.callbacks,
        add_history=True,
        add_progbar=run.verbose != 0,
        verbose=run.verbose,
        epochs=run.epochs,
        steps=steps,
        model=run.model,
    )
    return resident


class Resident:
    """Data on the device.

    Args:
        arrays: `(x, y, sample_weight)`, where the last one or two may be None.
        batch_size: rows per step.
        steps: most steps per chunk.
        whole_steps: steps of an epoch whose batches are whole.
        epochs: how many `fit` was asked for.
    """

    def __init__(self, arrays, batch_size, steps, whole_steps, epochs):
        # As Keras packs a batch: up to the first None.
        arrays = itertools.takewhile(lambda a: a is not None, arrays)
        self.arrays = tuple(ops.convert_to_tensor(_single(a)) for a in arrays)
        self.batch_size, self.steps = batch_size, steps
        self.whole_steps, self.planned = whole_steps, whole_steps * epochs


class Chunk:
    """Keras' `train_function` of a batch that is the row numbers of many steps."""

    def __init__(self, model):
        # XLA's gradients of convolutions are slow on a CPU, and slower in a loop.
        loop = chunks.on_accelerator() or not _convolves(model)
        self.model, self.run, self.logs = model, chunks.compile_chunk(model, loop), {}
        self.version = model.python_state

    def __call__(self, *arguments):
        if self.version != self.model.python_state:
            self.model._trains_what_it_was_compiled_for()
            self.model.make_train_function(force=True)
            return self.model.train_function(*arguments)
        # JAX passes its state too, the others only the source of batches.
        *state, source = arguments
        # On PyTorch the source is a list of the batches of one execution, here one.
        batch = source[0] if isinstance(source, list) else next(source)
        rows, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        resident = self.model._resident
        whole = len(rows) // resident.batch_size
        self.logs, *state = self.run(resident, rows, whole, *state)
        # A part that counts its calls changes itself, each time.
        self.model.accept_python_state()
        last = {name: values[-1] for name, values in self.logs.items()}
        return (last, *state) if state else last


class _Chunks(keras.callbacks.CallbackList):
    """Passes the number of a step on to the callbacks, in place of that of the chunk."""

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch * self.model._resident.steps, logs)

    def on_train_batch_end(self, batch, logs=None):
        steps = self.model.train_function.logs
        bad = ~np.isfinite(np.stack([np.asarray(v) for v in steps.values()])).all(0)
        # The first step with a loss that is not finite, else the last step.
        shown = int(bad.argmax()) if bad.any() else len(bad) - 1
        logs = {name: values[shown] for name, values in steps.items()}
        super().on_train_batch_end(batch * self.model._resident.steps + shown, logs)


def _per_batch(callback):
    """Whether a callback has to be called at each step."""
    base = keras.callbacks.Callback
    if isinstance(callback, (StopAtNaN, keras.callbacks.ProgbarLogger)):
        return False
    if isinstance(callback, (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore)):
        known = type(callback).__module__.startswith("keras.")
        return not known or callback.save_freq != "epoch"
    return any(
        getattr(getattr(callback, name), "__func__", None) is not getattr(base, name)
        for name in PER_BATCH
    )


def _convolves(model):
    return any(len(v.shape) > 2 for v in model.trainable_variables)


def _single(array):
    """As Keras gives data to a step: floats in its own precision, integers as they are."""
    array = np.asarray(array)
    # PyTorch shares the memory, and warns where it must not be written to.
    return np.require(array, keras.config.floatx(), "W") if array.dtype.kind == "f" else array
