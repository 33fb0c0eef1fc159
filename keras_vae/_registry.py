"""Registration and serialization of this library's classes."""

import keras

# Decorates a class; `keras_vae>Name` is its name in files for ever.
register = keras.saving.register_keras_serializable("keras_vae")


def serialize_parts(parts):
    """Layers as a part's configuration holds them."""
    return [keras.saving.serialize_keras_object(part) for part in parts]


def deserialize_parts(configs):
    """Inverse of `serialize_parts`."""
    return [deserialize(config) for config in configs]


def deserialize(config):
    """A layer from its configuration, frozen all through where it was frozen.

    Keras gives a layer its own `trainable`, and not the layers that its constructor makes.
    """
    part = keras.saving.deserialize_keras_object(config)
    if isinstance(part, keras.layers.Layer) and not part.trainable:
        # Set twice: on TensorFlow an attribute that is set to what it is already is not set.
        part.trainable = True
        part.trainable = False
    return part
