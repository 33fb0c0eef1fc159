"""`save` and `save_weights`: whole or not at all, and for every backend."""

import math
from pathlib import Path

import keras

from keras_vae import _atomic


class Saving:
    """Methods of `VAE` in front of Keras' own saving."""

    def save(self, filepath, overwrite=True, **kwargs):
        """Keras' `save`; a file that was there is kept until the new one is whole."""
        with _new_file(filepath, overwrite) as new:
            super().save(new, **kwargs)

    def save_weights(self, filepath, overwrite=True, **kwargs):
        """Keras' `save_weights`; a file that was there is kept until the new one is whole."""
        with _new_file(filepath, overwrite) as new:
            _atomic.reserve(new.parent, self._bytes())
            super().save_weights(new, **kwargs)

    def _bytes(self):
        """What a weights file takes at the most, an optimizer's slots included."""
        slots = getattr(getattr(self, "optimizer", None), "variables", [])
        every = {id(v): v for v in (*self.variables, *self.non_trainable_variables, *slots)}
        # Each array comes with a few groups that hold nothing.
        return sum(8 * math.prod(v.shape) + 2**13 for v in every.values()) + 2**14

    def save_own_variables(self, store):
        # Keras leaves the state of seed generators out, and with it exact resumption.
        super().save_own_variables(store)
        store["seed"] = keras.ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        own = {key: store[key] for key in store.keys()}
        if "seed" in own:
            self.seed_generator.state.assign(own.pop("seed"))
        super().load_own_variables(own)

    def get_compile_config(self):
        """Keras' own, with optimizers by their public name and `jit_compile` as asked.

        Under PyTorch Keras' optimizers are classes of that backend, which load
        on another one and fail at the first step. What "auto" means differs too: kept
        as the True of JAX it would have PyTorch trace each step for a minute.
        """
        config = super().get_compile_config()
        if config and config.get("jit_compile") == self._resolve_auto_jit_compile():
            config["jit_compile"] = "auto"
        optimizer = (config or {}).get("optimizer")
        while isinstance(optimizer, dict):
            if hasattr(keras.optimizers, optimizer.get("class_name", "")):
                optimizer.update(module="keras.optimizers", registered_name=None)
            optimizer = optimizer.get("config", {}).get("inner_optimizer")
        return config


def _new_file(filepath, overwrite):
    path = Path(filepath)
    if path.exists() and not overwrite:
        raise FileExistsError(f"The file exists and overwrite=False. Received: {filepath}")
    return _atomic.file(path)
