"""`fit` on several processes: each trains on its part of every batch."""

import contextlib
import functools

import keras
import numpy as np

from keras_vae.callbacks import Shuffled
from keras_vae.callbacks.state import build_optimizer, variables
from keras_vae.training import processes

# One process writes these callbacks' files; the others have nothing to write.
WRITERS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.TensorBoard,
)


@contextlib.contextmanager
def among_processes(run):
    """Divides a run among the processes that `distribution.start` has joined.

    Args:
        run: a `models.run.Run`. Arrays become a `Shuffled` that gives this process's rows; the
            model gets the first process's weights; only that one keeps what writes files.

    Raises:
        ValueError: a batch cannot be divided; a callback of Keras that cannot go on here.
    """
    if not processes.several():
        yield
        return
    if not processes.current().is_first:
        run.verbose = 0
        run.callbacks = [c for c in run.callbacks if not isinstance(c, WRITERS)]
    for callback in run.callbacks:
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise ValueError(
                "On several processes `BackupAndRestore` would go on from different epochs: use "
                f"`callbacks.Resume`. Received: {type(callback).__name__}"
            )
    build_optimizer(run.model)
    processes.assign_of_first(variables(run.model))
    if run.has_arrays:
        run.split_validation()
        seed = _seed() if run.shuffle else None
        run.x = Shuffled(run.x, run.y, run.batch_size or 32, seed, run.sample_weight)
        run.y = run.sample_weight = None
    # Of a `Shuffled` that was given as a source of batches, `fit` makes `Batches`.
    own = getattr(run.x, "source", run.x)
    if isinstance(own, Shuffled):
        own.shares = processes.shares()
        own.check()
        run.shuffle = False
        numbered = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: setattr(own, "epoch", epoch)
        )
        run.callbacks = [*run.callbacks, numbered]
        if own is run.x:
            run.x = processes.source(own)
    _divide_validation(run)
    run.batch_size = None
    with processes.dividing(), _saving_alone(run.callbacks):
        yield


@contextlib.contextmanager
def _saving_alone(callbacks):
    """A context in which `ModelCheckpoint` saves without the other processes."""
    names = ("on_epoch_end", "on_train_batch_end")
    saving = [c for c in callbacks if isinstance(c, keras.callbacks.ModelCheckpoint)]
    for callback in saving:
        for name in names:
            setattr(callback, name, _by_itself(getattr(callback, name)))
    try:
        yield
    finally:
        # The user's own again: another `fit` may be that of one process.
        for callback in saving:
            for name in names:
                delattr(callback, name)


def _by_itself(method):
    @functools.wraps(method)
    def call(*arguments, **options):
        with processes.alone():
            return method(*arguments, **options)

    return call


def _seed():
    """A seed of the rows' order, the same everywhere."""
    drawn = processes.of_first(lambda: {"seed": np.array(np.random.randint(2**31))})
    return int(drawn["seed"])


def _divide_validation(run):
    data = run.validation_data
    if data is None or isinstance(data, keras.utils.PyDataset) or hasattr(data, "source"):
        return
    x, y, sample_weight = (*(data if isinstance(data, (tuple, list)) else (data,)), None, None)[:3]
    shares = processes.shares()
    size = run.rest.pop("validation_batch_size", None) or run.batch_size or 32
    size = -(-size // shares.replicas) * shares.replicas
    divided = Shuffled(x, y, size, None, sample_weight)
    divided.shares = shares
    run.validation_data = processes.source(divided)
