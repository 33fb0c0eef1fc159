"""Training that goes on from its last completed epoch."""

import contextlib
import csv
import json
import random
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np

from keras_vae import _atomic, _hdf5
from keras_vae.callbacks.state import assign, build_optimizer, seeds, values, variables
from keras_vae.training import processes

STATE = "state.json"
# Of the state: a hundred thousand epochs.
MOST_BYTES = 32 * 2**20


def begin(run):
    """Begins a run where its `Resume` left off, if it has one, and fixes the rows' order.

    Args:
        run: a `models.run.Run`: the model's state, the epoch to begin with and the data
            change.
    """
    resume = next((c for c in run.callbacks if isinstance(c, Resume)), None)
    if resume is None:
        return
    run.initial_epoch = resume.begin(run.model, run.epochs, run.initial_epoch)
    if run.has_arrays:
        run.split_validation()
        if run.shuffle:
            run.x = resume.shuffled(run.x, run.y, run.sample_weight, run.batch_size)
            run.y = run.sample_weight = run.batch_size = None
    # Of a `Shuffled` that was given as a source of batches, `fit` makes `Batches`.
    source = getattr(run.x, "source", run.x)
    if isinstance(source, Shuffled):
        resume.dataset = source
        # Keras would shuffle the batches once more, by a generator of its own.
        run.shuffle = False


class Resume(keras.callbacks.Callback):
    """Goes on from the last completed epoch, to the same result as without interruption.

    Keras' `BackupAndRestore` keeps weights, optimizer and epoch, in two files of which
    a kill may leave one old and one new. This also keeps the order of the data, random
    states and the history, and all of it changes at once: `fit`, killed at any moment
    and called again with the same arguments, ends with the same weights (bit for bit on
    TensorFlow and JAX).

    Give it to the `fit` of a model of this package, which then shuffles arrays by `seed`.
    Data sets and generators must give the same batches again by themselves; a `Shuffled`
    does. Callbacks that count epochs, such as `EarlyStopping`, start counting again.

    On several processes (`keras_vae.distribution`) the first one keeps the state, in a folder
    that the others need not see, and all go on from it.

    Args:
        folder: where to keep the state; created if it is missing.
        seed: int, of the order of the data.
        keep: whether the folder stays when training ends. `fit` called again then does
            nothing, unless it is called with more epochs.
        log: a `.csv` file for the losses of each completed epoch, or None.

    Raises:
        ValueError: in `fit`, a state of another model.
    """

    def __init__(self, folder, seed=0, keep=False, log=None):
        super().__init__()
        self.folder, self.seed, self.keep = Path(folder), seed, keep
        self.log = None if log is None else Path(log)
        self.dataset = self._pending = None
        # The logs of the completed epochs, one dict each.
        self._logs = []

    def begin(self, model, epochs, initial_epoch=0):
        """Puts the kept state into a model; returns the epoch to begin with."""
        self._pending, self._logs = None, []
        with _of_first(self.folder) as folder:
            return self._begin(folder, model, epochs, initial_epoch)

    def _begin(self, folder, model, epochs, initial_epoch):
        state = _read(folder / STATE)
        if state is None:
            return initial_epoch
        build_optimizer(model)
        before = values(variables(model))
        try:
            logs, drawn = _checked(state)
            path = folder / state["weights"]
            if path.is_symlink():
                raise ValueError(f"{state['weights']} is a link")
            _hdf5.check_weights(path)
            model.load_weights(path)
            assign(seeds(model), drawn)
            set_random_state(state["random"])
        except Exception as error:
            assign(variables(model), before)
            raise ValueError(
                "The kept state is of another model, or is damaged: delete it to begin again. "
                f"Received: {type(error).__name__}: {error} in {self.folder}"
            ) from error
        self._logs = logs
        return epochs if state["stopped"] else max(initial_epoch, state["epoch"])

    def shuffled(self, x, y, sample_weight, batch_size):
        """Arrays as batches whose order is a function of seed and epoch."""
        return Shuffled(x, y, batch_size or 32, self.seed, sample_weight)

    def on_epoch_begin(self, epoch, logs=None):
        self._commit()
        self._complete_history()
        if self.dataset is not None:
            self.dataset.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if not processes.current().is_first:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"epoch_{epoch + 1}.weights.h5"
        with processes.alone():
            self.model.save_weights(self.folder / name)
        self._logs.append({"epoch": epoch, **{k: float(v) for k, v in (logs or {}).items()}})
        # Committed later: the callbacks after this one have not finished their epoch yet.
        self._pending = {
            "epoch": epoch + 1,
            "weights": name,
            "logs": self._logs,
            "seeds": [value.tolist() for value in values(seeds(self.model))],
            "random": random_state(),
        }

    def on_train_end(self, logs=None):
        self._commit(stopped=self.model.stop_training)
        self._complete_history()
        if not self.keep and processes.current().is_first:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _commit(self, stopped=False):
        if self._pending is None:
            return
        state, self._pending = {**self._pending, "stopped": bool(stopped)}, None
        _atomic.write_text(self.folder / STATE, json.dumps(state))
        for file in self.folder.glob("epoch_*.weights.h5"):
            if file.name != state["weights"]:
                file.unlink(missing_ok=True)
        if self.log is not None:
            self._write_log()

    def _complete_history(self):
        """Puts the epochs before the interruption into the history that `fit` returns."""
        history = self.model.history
        if history.epoch:
            return
        for row in self._logs:
            history.epoch.append(row["epoch"])
            for name, value in row.items():
                if name != "epoch":
                    history.history.setdefault(name, []).append(value)

    def _write_log(self):
        names = sorted({name for row in self._logs for name in row} - {"epoch"})
        with _atomic.file(self.log) as new, open(new, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["epoch", *names], restval="NA", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._logs)


@contextlib.contextmanager
def _of_first(folder):
    """A folder with the state that the first process has kept."""
    if not processes.several():
        yield folder
        return

    def files():
        found = [path for path in (folder / STATE, *folder.glob("epoch_*.weights.h5"))]
        found = [path for path in found if path.is_file() and not path.is_symlink()]
        return {path.name: np.fromfile(path, "uint8") for path in found}

    with tempfile.TemporaryDirectory() as copy:
        for name, content in processes.of_first(files).items():
            content.tofile(Path(copy) / name)
        yield Path(copy)


def _read(path):
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes, of at most {MOST_BYTES:,}")
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"The kept state is damaged: delete it to begin again. Received: {error} in {path}"
        ) from error


def _checked(state):
    """The logs and the generators' states of a kept state, which may have come with a folder.

    Its weights are those of its epoch, beside it: it cannot name another file.
    """
    if not isinstance(state, dict) or type(state.get("epoch")) is not int:
        raise ValueError("no number of an epoch")
    if state.get("weights") != f"epoch_{state['epoch']}.weights.h5":
        raise ValueError(f"weights of {str(state.get('weights'))[:80]!r}")
    logs = state.get("logs")
    if not isinstance(logs, list) or not all(isinstance(row, dict) for row in logs):
        raise ValueError("no list of logs")
    if not all(isinstance(v, (int, float)) for row in logs for v in row.values()):
        raise ValueError("logs that are no numbers")
    return logs, [np.array(seed) for seed in state["seeds"]]


class Shuffled(keras.utils.PyDataset):
    """Batches of arrays in an order that depends on seed and epoch only.

    Args:
        x: data `(n, ...)`.
        y: conditions `(n, ...)`, or None.
        batch_size: examples per batch.
        seed: int; None for the rows in the order that they have.
        sample_weight: `(n,)` or None.
    """

    # On several processes: which rows of a batch this one reads.
    shares = processes.Shares()

    def __init__(self, x, y=None, batch_size=32, seed=0, sample_weight=None):
        super().__init__()
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self._order = (None, None)

    def __len__(self):
        whole, rest = divmod(len(self.x), self.batch_size)
        return whole + (rest >= self.shares.replicas)

    def check(self):
        """Raises `ValueError` where batches cannot be divided among the processes."""
        replicas = self.shares.replicas
        if self.batch_size % replicas or len(self.x) < replicas:
            raise ValueError(
                f"A batch is divided among {replicas} devices, those of all processes: give a "
                "`batch_size` that is a multiple of their number, and as many rows at least. "
                f"Received: batch_size={self.batch_size}, {len(self.x)} rows"
            )

    def __getitem__(self, index):
        epoch = self.epoch
        ordered, order = self._order
        # TensorFlow reads ahead in another thread, past the end of the epoch.
        if ordered != epoch:
            order = np.arange(len(self.x))
            if self.seed is not None:
                order = np.random.default_rng([self.seed, epoch]).permutation(order)
            self._order = (epoch, order)
        rows = order[index * self.batch_size : (index + 1) * self.batch_size]
        rank, size, replicas = self.shares
        own = len(rows) // replicas * replicas // size
        rows = rows[rank * own : (rank + 1) * own] if replicas > 1 else rows
        # Each process changes its rows by numbers of its own.
        numbers = [self.seed or 0, epoch, index, rank][: 4 if rank else 3]
        x = self.changed(self.x[rows], np.random.default_rng(numbers))
        if self.y is None:
            return (x,)
        return (x, *(a[rows] for a in (self.y, self.sample_weight) if a is not None))

    def on_epoch_end(self):
        self.epoch += 1

    def changed(self, x, rng):
        """The batch that is trained on in place of x; here x itself. For augmentation."""
        return x


def random_state():
    """NumPy's and Python's global states as JSON: augmentation may draw from them."""
    name, keys, *rest = np.random.get_state()
    version, inner, following = random.getstate()
    return {
        "numpy": [name, keys.tolist(), *rest],
        "python": [version, list(inner), following],
    }


def set_random_state(state):
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, "uint32"), *rest))
    version, inner, following = state["python"]
    random.setstate((version, tuple(inner), following))
