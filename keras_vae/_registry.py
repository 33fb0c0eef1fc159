"""Registration and serialization of this library's classes."""

import keras

# Decorates a class; `keras_vae>Name` is its name in files for ever.
register = keras.saving.register_keras_serializable("keras_vae")


def serialize_parts(parts):
    """Layers as a part's configuration holds them."""
    return [keras.saving.serialize_keras_object(part) for part in parts]


def deserialize_parts(configs):
    """Inverse of `serialize_parts`."""
    return [keras.saving.deserialize_keras_object(config) for config in configs]
