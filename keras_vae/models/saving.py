"""`save` and `save_weights`: whole or not at all, and for every backend."""

import math
from pathlib import Path

import keras

from keras_vae import _atomic
from keras_vae.training import keras_private


class Saving:
    """`save` and `save_weights` of `VAE`, in front of Keras' own."""

    def save(self, filepath, overwrite=True, **kwargs):
        """Keras' `save`; a file that was there is kept until the new one is whole.

        Raises:
            ValueError: another ending than ".keras": an HDF5 file of a whole model would
                not load.
        """
        check_ending(filepath)
        with _new_file(filepath, overwrite) as new:
            super().save(new, **kwargs)

    def save_weights(self, filepath, overwrite=True, **kwargs):
        """Keras' `save_weights`; a file that was there is kept until the new one is whole."""
        if not str(filepath).endswith((".weights.h5", ".weights.json")):
            raise ValueError(
                f"The name of a file of weights must end in `.weights.h5`. Received: {filepath}"
            )
        with _new_file(filepath, overwrite) as new:
            _atomic.reserve(new.parent, self._bytes())
            super().save_weights(new, **kwargs)

    def _bytes(self):
        """The largest size of a weights file, an optimizer's slots included."""
        slots = getattr(getattr(self, "optimizer", None), "variables", [])
        variables = {id(v): v for v in (*self.variables, *self.non_trainable_variables, *slots)}
        # HDF5 stores a few empty groups with each array.
        return sum(8 * math.prod(v.shape) + 2**13 for v in variables.values()) + 2**14

    def save_own_variables(self, store):
        # Keras leaves the states of seed generators out: training could not resume exactly.
        super().save_own_variables(store)
        store["seed"] = keras.ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        own = {key: store[key] for key in store.keys()}
        if "seed" in own:
            self.seed_generator.state.assign(own.pop("seed"))
        super().load_own_variables(own)

    def get_compile_config(self):
        """Keras' own, with optimizers by their public name and `jit_compile` as it was given.

        On PyTorch Keras' optimizers are classes of that backend, which load on another
        backend and fail at the first step. "auto" too depends on the backend: stored as
        the True that it means on JAX, it would have PyTorch compile each step for a minute.
        """
        config = super().get_compile_config()
        if config and config.get("jit_compile") == keras_private.compiles_by_default(self):
            config["jit_compile"] = "auto"
        optimizer = (config or {}).get("optimizer")
        while isinstance(optimizer, dict):
            if hasattr(keras.optimizers, optimizer.get("class_name", "")):
                optimizer.update(module="keras.optimizers", registered_name=None)
            optimizer = optimizer.get("config", {}).get("inner_optimizer")
        return config


def check_ending(filepath):
    """Raises a ValueError where `save` would write a file that does not load."""
    if not str(filepath).endswith(".keras"):
        raise ValueError(
            "A model is saved as a file that ends in `.keras`, which `keras.models.load_model` "
            "and `keras_vae.zoo.load` take back; its weights alone by "
            "`save_weights('name.weights.h5')`. "
            f"Received: {filepath}"
        )


def check_callbacks(callbacks):
    """The same for the files of callbacks, before training has taken an epoch."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.ModelCheckpoint) and not callback.save_weights_only:
            check_ending(callback.filepath)


def _new_file(filepath, overwrite):
    path = Path(filepath)
    if path.exists() and not overwrite:
        raise FileExistsError(f"The file exists and overwrite=False. Received: {filepath}")
    return _atomic.file(path)
