"""The processes that train one model together, and what they tell each other.

`keras_vae.distribution` begins and ends it; without, there is one process. The backend's file has

* `begin(processes)` and `end()`: its own initialisation, and data parallelism;
* `alone()`: a context in which variables are those of this process only;
* `broadcast(data)`: the bytes that the first process has, on all of them;
* `source(batches)`: a `PyDataset` as what Keras can divide;
* `replicas()`: on how many devices one batch is divided;
* `reads_own_rows`: whether each process gives the rows of its own devices only;
* `draws_own_noise`: whether a step sees these rows only, and not those of all processes.
"""

import contextlib
import io
from typing import NamedTuple

import keras
import numpy as np

if keras.backend.backend() == "tensorflow":
    from keras_vae.training import tensorflow_processes as backend
elif keras.backend.backend() == "jax":
    from keras_vae.training import jax_processes as backend
else:
    from keras_vae.training import torch_processes as backend


class Processes(NamedTuple):
    """The processes that train one model, and which of them this one is.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        local_rank: number of this process on its machine.
        local_size: how many there are on its machine; 1 where the launcher does not say.
        addresses: "host:port" of the first process, or of each of them.
        launcher: whose variables were read, such as "torchrun"; "" for one process.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    addresses: tuple[str, ...] = ()
    launcher: str = ""

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0


class Shares(NamedTuple):
    """Which rows of a batch this process reads.

    Args:
        rank, size: part `rank` of `size` equal ones.
        replicas: a batch is cut to a multiple of it.
    """

    rank: int = 0
    size: int = 1
    replicas: int = 1


_now = Processes()
# `(rank, size)`: which part of a batch a step sees, of how many.
part = (0, 1)


def current() -> Processes:
    """The processes that `begin` has joined; one, before that."""
    return _now


def several() -> bool:
    return _now.size > 1


def begin(processes):
    """Joins the other processes."""
    global _now
    backend.begin(processes)
    _now = processes


def end():
    """Leaves the other processes."""
    global _now
    if several():
        backend.end()
    _now = Processes()


@contextlib.contextmanager
def alone():
    """A context for what one process does by itself, such as to save a model.

    Keras makes an optimizer to save one, of which TensorFlow and JAX would have all know.
    """
    with backend.alone() if several() else contextlib.nullcontext():
        yield


def source(batches):
    """A `PyDataset` that is divided among the processes, as Keras' `fit` can take it."""
    return backend.source(batches)


def shares():
    """The `Shares` of this process."""
    if not several():
        return Shares()
    own = _now[:2] if backend.reads_own_rows else (0, 1)
    return Shares(*own, backend.replicas())


@contextlib.contextmanager
def dividing():
    """A context in which a step is given the rows of this process only."""
    global part
    part = _now[:2] if backend.draws_own_noise else (0, 1)
    try:
        yield
    finally:
        part = (0, 1)


def of_first(make):
    """Arrays as the first process makes them, on all processes.

    Args:
        make: called in the first process; returns a dictionary of arrays without objects.

    Returns:
        The dictionary.

    Raises:
        What `make` raises; a `ValueError` with its text in the other processes.
    """
    if not several():
        return make()
    data, failure = b"", None
    if _now.is_first:
        try:
            arrays = make()
        except Exception as error:
            failure = error
            arrays = {"error": np.array(f"{type(error).__name__}: {error}")}
        with io.BytesIO() as file:
            np.savez(file, **arrays)
            data = file.getvalue()
    data = backend.broadcast(data)
    if failure is not None:
        raise failure
    with np.load(io.BytesIO(data)) as file:
        arrays = {name: file[name] for name in file.files}
    if "error" in arrays:
        raise ValueError(f"The first of {_now.size} processes failed: {arrays['error']}")
    return arrays


def assign_of_first(variables):
    """Assigns the first process's values of variables on all processes."""

    def values():
        return {str(i): _plain(v) for i, v in enumerate(variables)}

    if several():
        found = of_first(values)
        for i, variable in enumerate(variables):
            variable.assign(found[str(i)])


def _plain(variable):
    value = np.asarray(keras.ops.convert_to_numpy(variable))
    # Files of NumPy do not know bfloat16.
    return value.astype("float32") if value.dtype.kind == "V" else value
