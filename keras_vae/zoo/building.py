"""Configurations become models: checked, bounded, and with weights that fit them."""

import contextlib
import io

import h5py
import keras

from keras_vae import _budget, _hdf5
from keras_vae.zoo import allowed, bounds, plain, untrusted
from keras_vae.zoo.description import CONFIG, WEIGHTS


def is_vae(model):
    """Whether a model is a `models.VAE`."""
    return isinstance(model, keras.Model) and hasattr(model, "posterior_layer")


def without_optimizers(config):
    """A configuration without optimizers: a preset must load on every backend."""
    if isinstance(config, dict):
        return {k: without_optimizers(v) for k, v in config.items() if k != "compile_config"}
    if isinstance(config, list):
        return [without_optimizers(value) for value in config]
    return config


def build(config, path, trusted=False, objects=None, numbers=None):
    """Checks a configuration, then builds its model.

    Args:
        config: parsed JSON, which is used up.
        path: for error messages.
        trusted: whether nothing is checked or limited.
        objects: dict of the caller's own classes and functions.
        numbers: of the weights that follow, so that none is initialised; None where none do.
    """
    if not trusted:
        allowed.check_config(config, path, objects or ())
    wall = contextlib.nullcontext()
    if not trusted:
        most = untrusted.MOST_NUMBERS // 2 if numbers is None else numbers
        # Twice the numbers, because Keras may instantiate a part twice.
        wall = bounds.budget(2 * most + 2**16, numbers is not None, objects)
    try:
        with wall:
            model = keras.saving.deserialize_keras_object(
                config, custom_objects=objects, safe_mode=not trusted
            )
    except _budget.Exhausted as error:
        raise no_fit(error, path) from error
    except Exception as error:
        raise ValueError(
            "The configuration describes no model. "
            f"Received: {type(error).__name__}: {plain.text(error)} in {path}"
        ) from error
    if not is_vae(model):
        raise ValueError(
            f"The configuration describes no VAE. Received: {type(model).__name__} in {path}"
        )
    return model


def with_weights(config, files, path, weights, wall, slots=False):
    """Builds the model of a configuration, with the weights beside it unless `weights` is None."""
    if not weights:
        return build(config, path / CONFIG, *wall)
    with weights_fit(path / WEIGHTS):
        numbers = _hdf5.check_weights(files / WEIGHTS, slots)
    model = build(config, path / CONFIG, *wall, numbers)
    with weights_fit(path / WEIGHTS):
        # Keras ignores numbers in the file that the model lacks; here the counts must agree.
        model.load_weights(files / WEIGHTS)
        if numbers != model.count_params():
            raise ValueError(
                f"{numbers:,} numbers in the file, {model.count_params():,} in the model"
            )
    return model


def save_weights(model, path):
    """Saves a weights file of Keras with compressed arrays, which Keras can read."""
    plain = path.with_name("plain.weights.h5")
    model.save_weights(plain)
    # In memory, because HDF5 does not handle a full disk.
    packed = io.BytesIO()
    with h5py.File(plain) as old, h5py.File(packed, "w") as new:

        def copy(name, item):
            if isinstance(item, h5py.Group):
                twin = new.require_group(name)
            else:
                how = {"compression": "gzip", "shuffle": True, "chunks": item.shape}
                # The index of a packed array takes more than packing a small one saves.
                large = item.size * item.dtype.itemsize >= 2048
                twin = new.create_dataset(name, data=item[()], **(how if large else {}))
            twin.attrs.update(item.attrs)

        old.visititems(copy)
        new.attrs.update(old.attrs)
    plain.unlink()
    path.write_bytes(packed.getvalue())


@contextlib.contextmanager
def weights_fit(path):
    """Turns every error of the block into a `ValueError` about the weights at `path`."""
    try:
        yield
    except Exception as error:
        raise no_fit(error, path) from error


def no_fit(error, path):
    """The `ValueError` of weights that do not fit their configuration."""
    return ValueError(
        "The weights do not fit the configuration, or the file is damaged. "
        f"Received: {type(error).__name__}: {plain.text(error)} in {path}"
    )
