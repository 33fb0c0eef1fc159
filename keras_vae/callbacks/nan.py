"""Training that stops at a loss that is not finite."""

import threading

import keras
import numpy as np

from keras_vae.callbacks.state import assign, finite, variables


class StopAtNaN(keras.callbacks.Callback):
    """Stops `fit` at the first loss that is no finite number; `fit` gives it to itself.

    The weights are then put back to those at the beginning of the epoch, or of the last
    one that began with finite weights.
    """

    # The first of several that are found at once is the one that counts.
    async_safe = True

    def __init__(self):
        super().__init__()
        self.epoch = 0
        self.found = self._saved = self._since = None
        self._lock = threading.Lock()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        # With slots, which a NaN goes into as well.
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        values = [keras.ops.convert_to_numpy(v) for v in variables(self.model)]
        if all(map(finite, values)):
            self._save(values)
            self._since = epoch

    def _save(self, values):
        if self._saved is None:
            self._saved = [np.empty_like(value) for value in values]
        # New memory each epoch would cost more than what is copied into it.
        for kept, value in zip(self._saved, values, strict=True):
            np.copyto(kept, value)

    def on_train_batch_end(self, batch, logs=None):
        bad = {k: float(v) for k, v in (logs or {}).items() if not np.isfinite(v)}
        if bad:
            with self._lock:
                if self.found is None or batch < self.found[0]:
                    self.found = (batch, bad)
            raise FloatingPointError("The loss is no finite number.")

    def error(self):
        """What went wrong, once the weights are put back; see `fit`."""
        batch, bad = self.found
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
            f"(`global_clipnorm`). Received: {shown}"
        )
