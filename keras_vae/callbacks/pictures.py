"""Callbacks that draw a model's pictures while `fit` trains it."""

from pathlib import Path

import keras
import numpy as np

from keras_vae import _checks, plots
from keras_vae.training import processes


class _Watching(keras.callbacks.Callback):
    """Draws samples and reconstructions every few epochs, and after the last."""

    def __init__(self, x=None, condition=None, every=5, n=16, seed=0):
        super().__init__()
        for name, value in (("every", every), ("n", n)):
            _checks.count(value, name)
        self.x = None if x is None else x[:n]
        self.condition = None if condition is None else np.asarray(condition)[:n]
        self.every, self.n, self.seed = every, n, seed

    def on_train_begin(self, logs=None):
        kind = getattr(self.model, "condition", None)
        if kind is not None and not kind.optional and self.condition is None:
            raise ValueError(
                "The samples of a conditional model need conditions: give `condition` to the "
                f"callback too. Received: condition=None, {type(kind).__name__}"
            )

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params["epochs"]:
            self.show(epoch + 1, logs or {})

    def show(self, epoch, logs):
        """Draws the model as it is after `epoch` epochs."""
        raise NotImplementedError

    def samples(self):
        """`(n, ...)` new pictures; None of an autoencoder, which has no prior yet."""
        if not self.model.can_sample:
            return None
        condition = self.condition
        if condition is not None:
            condition = condition[np.arange(self.n) % len(condition)]
        return self.model.sample(self.n, condition=condition, seed=self.seed)

    def pairs(self):
        """`(m, 2, ...)` data and reconstructions; None without data."""
        if self.x is None:
            return None
        rebuilt = self.model.reconstruct(self.x, condition=self.condition)
        return np.stack([self.x, rebuilt], axis=1)


class Watch(_Watching):
    """Training in pictures: curves, samples and reconstructions as files in a folder.

    `curves.png` is replaced each time; `samples_0005.png` and `reconstructions_0005.png`
    (data above reconstructions) are those of epoch 5. With a `Resume` that goes on, the
    curves show the earlier epochs as well. Put this after the callbacks that change
    weights, such as `SwapAverages`.

    Args:
        folder: where the files go; created if it is missing.
        x, condition, every, n, seed: see `TensorBoardPictures`.

    Raises:
        ValueError: `every` or `n` below 1; in `fit`, a conditional model without
            conditions.
    """

    def __init__(self, folder, x=None, condition=None, every=5, n=16, seed=0):
        super().__init__(x, condition, every, n, seed)
        self.folder, self._logs = Path(folder), []

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._logs = []

    def on_epoch_end(self, epoch, logs=None):
        self._logs.append(dict(logs or {}))
        super().on_epoch_end(epoch, logs)

    def show(self, epoch, logs):
        logs = self._before() + self._logs
        names = dict.fromkeys(name for row in logs for name in row)
        curves = {name: [row.get(name) for row in logs] for name in names}
        # All processes compute, as JAX needs them all, and one writes.
        first = processes.current().is_first
        if curves and first:
            plots.training_curves(curves, self.folder / "curves.png")
        drawn = self.samples()
        if drawn is not None and first:
            plots.image_grid(drawn, path=self.folder / f"samples_{epoch:04}.png")
        pairs = self.pairs()
        if pairs is not None and first:
            pictures = np.concatenate([pairs[:, 0], pairs[:, 1]])
            path = self.folder / f"reconstructions_{epoch:04}.png"
            plots.image_grid(pictures, len(pairs), path, row_labels=["data", "model"])

    def _before(self):
        """Logs of the epochs of an earlier run, which `Resume` puts into the history."""
        history = self.model.history.history
        known = len(self.model.history.epoch) - (len(self._logs) - 1)
        return [{name: values[i] for name, values in history.items()} for i in range(known)]


class TensorBoardPictures(_Watching):
    """Samples and reconstructions as pictures of TensorBoard, beside Keras' `TensorBoard`.

    TensorFlow writes them on every backend. The package `tensorboard` shows them and is
    not needed here: `tensorboard --logdir <log_dir>`.

    Args:
        log_dir: where the files go, such as the folder of `keras.callbacks.TensorBoard`.
        x: data `(m, height, width, channels)` to reconstruct, or None for samples only.
        condition: conditions of a conditional model, one for each of `x`; samples
            take them in turn.
        every: epochs from one drawing to the next.
        n: pictures of each kind.
        seed: int; all drawings have the same codes, so that they can be compared.

    Raises:
        ImportError: TensorFlow is missing.
        ValueError: `every` or `n` below 1; in `fit`, a conditional model without
            conditions.
    """

    def __init__(self, log_dir, x=None, condition=None, every=1, n=16, seed=0):
        super().__init__(x, condition, every, n, seed)
        self.log_dir, self._tf = str(log_dir), _tensorflow()
        self._writer = None

    def show(self, epoch, logs):
        if not processes.current().is_first:
            self.pairs(), self.samples()
            return
        if self._writer is None:
            self._writer = self._tf.summary.create_file_writer(str(Path(self.log_dir) / "pictures"))
        pairs = self.pairs()
        if pairs is not None:
            # Data above reconstructions, in one picture.
            self._write(
                "reconstructions", np.concatenate([pairs[:, 0], pairs[:, 1]], axis=1), epoch
            )
        drawn = self.samples()
        if drawn is not None:
            self._write("samples", drawn, epoch)
        self._writer.flush()

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, name, pictures, epoch):
        tf = self._tf
        _, height, width, _ = pictures.shape
        greys = np.rint(255 * np.clip(pictures, 0, 1)).astype("uint8")
        # The format of TensorBoard's image plugin: sizes first, then PNGs.
        values = [b"%d" % width, b"%d" % height, *(tf.io.encode_png(p).numpy() for p in greys)]
        metadata = tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "images"
        with self._writer.as_default():
            tf.summary.write(name, tf.constant(values), epoch, metadata)


def _tensorflow():
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            "TensorFlow writes TensorBoard's files and cannot be imported. Install it with "
            f"`pip install tensorflow`. Received: {error}"
        ) from error
    if keras.config.backend() != "tensorflow":
        # By default it would reserve the memory of the GPU that the model is on.
        try:
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            pass  # Too late: TensorFlow has already initialised the GPU.
    return tf
