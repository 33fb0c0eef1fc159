"""Training that stops at a loss that is not finite."""

import contextlib
import threading

import keras
import numpy as np

from keras_vae.callbacks.state import assign, build_optimizer, finite, variables


@contextlib.contextmanager
def watched(run):
    """Stops a run at a loss that is not finite, with the error of `StopAtNaN`.

    Args:
        run: a `models.run.Run`, of which `callbacks` gets one more.
    """
    stop = StopAtNaN(checked=run.has_arrays)
    run.callbacks = [*run.callbacks, stop]
    # The optimizer's slots can become NaN too, so they are kept too. And on JAX, variables that
    # the first step creates would be lost with that step.
    build_optimizer(run.model)
    try:
        yield
    except BaseException as error:
        # A function whose tracing failed must not be used again: TensorFlow would believe that
        # it has created its variables, and refuse to create them.
        run.model.train_function = None
        if stop.bad is not None and isinstance(error, FloatingPointError):
            raise stop.error() from None
        raise


class StopAtNaN(keras.callbacks.Callback):
    """Stops at the first loss that is not a finite number; every `fit` has one.

    The weights are then set back to those at the beginning of the epoch, or of the last
    epoch that began with finite weights.
    """

    # Keras may call it from a thread of its own, later than the step, and for several steps:
    # the first bad step counts.
    async_safe = True

    def __init__(self, checked: bool = True) -> None:
        super().__init__()
        self.checked = checked
        self.epoch = 0
        # The first bad step: its number, and its losses that are not finite.
        self.bad = None
        self._saved = self._since = None
        self._guard = threading.Lock()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        values = [keras.ops.convert_to_numpy(v) for v in variables(self.model)]
        if all(map(finite, values)):
            self._save(values)
            self._since = epoch

    def _save(self, values):
        if self._saved is None:
            self._saved = [np.empty_like(value) for value in values]
        # Allocating new memory at each epoch would cost more than the copy.
        for kept, value in zip(self._saved, values, strict=True):
            np.copyto(kept, value)

    def on_train_batch_end(self, batch, logs=None):
        bad = {k: float(v) for k, v in (logs or {}).items() if not np.isfinite(v)}
        if bad:
            with self._guard:
                if self.bad is None or batch < self.bad[0]:
                    self.bad = (batch, bad)
            raise FloatingPointError("The loss is no finite number.")

    def error(self):
        """Sets the weights back; returns the error that `fit` raises."""
        batch, bad = self.bad
        broken = [v.path for v in self.model.variables if not finite(v)]
        where = "No weight was touched"
        if broken:
            where = f"{len(broken)} of {len(self.model.variables)} variables had gone bad too, " + (
                "first " + ", ".join(broken[:3])
            )
        back = "There were no finite weights to go back to."
        if self._saved is not None:
            assign(variables(self.model), self._saved)
            back = f"The weights are again those at the beginning of epoch {self._since + 1}."
        shown = ", ".join(f"{name}={value}" for name, value in bad.items())
        return FloatingPointError(
            f"The loss is no finite number since epoch {self.epoch + 1}, batch {batch + 1}. "
            f"{where}. {back} Lower the learning rate, or clip gradients "
            f"(`global_clipnorm`).{_unchecked(self.checked)} Received: {shown}"
        )


def _unchecked(checked):
    """What to look at besides, where not all data was checked."""
    if checked:
        return ""
    return (
        " If the source gives tensors of a GPU, or trains on several devices, its batches were not "
        "looked at: search them for NaN and infinities first."
    )
