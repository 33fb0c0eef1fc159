"""Training that goes on from its last completed epoch."""

import csv
import json
import random
import shutil
from pathlib import Path

import keras
import numpy as np

from keras_vae import _atomic
from keras_vae.callbacks.state import assign, seeds, values, variables

STATE = "state.json"


class Resume(keras.callbacks.Callback):
    """Goes on from the last completed epoch, to the same result as without interruption.

    Keras' `BackupAndRestore` keeps weights, optimizer and epoch, in two files of which
    a kill may leave one old and one new. This keeps besides them the order of the data,
    random states and the history, and all of it changes at once: `fit`, killed at any
    moment and called again with the same arguments, ends with the same weights (bit for
    bit on TensorFlow and JAX).

    Give it to the `fit` of a model of this package, which shuffles arrays by a seed of
    their own then. Data sets and generators must give the same batches again by
    themselves; a `Shuffled` does. Callbacks that count epochs, such as `EarlyStopping`,
    begin to count anew.

    Args:
        folder: where to keep the state; made when it is missing.
        seed: int, of the order of the data.
        keep: whether the folder stays when training ends. `fit` does nothing then when
            it is called again, unless it is asked for more epochs.
        log: a `.csv` file to write with the losses of each completed epoch, or None.

    Raises:
        ValueError: in `fit`, a state of another model.
    """

    def __init__(self, folder, seed=0, keep=False, log=None):
        super().__init__()
        self.folder, self.seed, self.keep = Path(folder), seed, keep
        self.log = None if log is None else Path(log)
        self.dataset = self._pending = self._told = None

    def begin(self, model, epochs, initial_epoch=0):
        """Puts the kept state into a model; returns the epoch to begin with."""
        self._pending, self._told = None, []
        state = self._read()
        if state is None:
            return initial_epoch
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        before = values(variables(model))
        try:
            model.load_weights(self.folder / state["weights"])
        except Exception as error:
            assign(variables(model), before)
            raise ValueError(
                "The kept state is of another model, or is damaged: delete it to begin anew. "
                f"Received: {type(error).__name__}: {error} in {self.folder}"
            ) from error
        self._told = state["logs"]
        assign(seeds(model), [np.array(seed) for seed in state["seeds"]])
        set_random_state(state["random"])
        return epochs if state["stopped"] else max(initial_epoch, state["epoch"])

    def shuffled(self, x, y, sample_weight, batch_size):
        """Arrays as batches whose order is a function of seed and epoch."""
        return Shuffled(x, y, batch_size or 32, self.seed, sample_weight)

    def on_epoch_begin(self, epoch, logs=None):
        self._commit()
        self._tell_history()
        if self.dataset is not None:
            self.dataset.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"epoch_{epoch + 1}.weights.h5"
        self.model.save_weights(self.folder / name)
        self._told.append({"epoch": epoch, **{k: float(v) for k, v in (logs or {}).items()}})
        # Not yet the state: callbacks after this one have an epoch's work to do too.
        self._pending = {
            "epoch": epoch + 1,
            "weights": name,
            "logs": self._told,
            "seeds": [value.tolist() for value in values(seeds(self.model))],
            "random": random_state(),
        }

    def on_train_end(self, logs=None):
        self._commit(stopped=self.model.stop_training)
        self._tell_history()
        if not self.keep:
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

    def _read(self):
        path = self.folder / STATE
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"The kept state is damaged: delete it to begin anew. Received: {error} in {path}"
            ) from error

    def _tell_history(self):
        """Puts the epochs before the interruption into what `fit` returns."""
        history = self.model.history
        if history.epoch:
            return
        for row in self._told:
            history.epoch.append(row["epoch"])
            for name, value in row.items():
                if name != "epoch":
                    history.history.setdefault(name, []).append(value)

    def _write_log(self):
        names = sorted({name for row in self._told for name in row} - {"epoch"})
        with _atomic.file(self.log) as new, open(new, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["epoch", *names], restval="NA", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._told)


class Shuffled(keras.utils.PyDataset):
    """Batches of arrays in an order that seed and epoch alone decide.

    Args:
        x: data `(n, ...)`.
        y: conditions `(n, ...)`, or None.
        batch_size: examples a batch.
        seed: int.
        sample_weight: `(n,)` or None.
    """

    def __init__(self, x, y=None, batch_size=32, seed=0, sample_weight=None):
        super().__init__()
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self._order = (None, None)

    def __len__(self):
        return -(-len(self.x) // self.batch_size)

    def __getitem__(self, index):
        epoch = self.epoch
        known, order = self._order
        # TensorFlow reads ahead in a thread of its own, past the end of the epoch.
        if known != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.x))
            self._order = (epoch, order)
        rows = order[index * self.batch_size : (index + 1) * self.batch_size]
        x = self.changed(self.x[rows], np.random.default_rng([self.seed, epoch, index]))
        if self.y is None:
            return (x,)
        return (x, *(a[rows] for a in (self.y, self.sample_weight) if a is not None))

    def on_epoch_end(self):
        self.epoch += 1

    def changed(self, x, rng):
        """What a batch is turned into before it is trained on; here nothing."""
        return x


def random_state():
    """NumPy's and Python's global states as JSON: whoever augments data may draw from them."""
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
