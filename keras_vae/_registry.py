"""Registration and serialization of this library's classes."""

import keras


def register(cls):
    """Decorates a class; `keras_vae>Name` is its name in files for ever.

    Raises:
        TypeError: another module has registered that name. Keras would give it to the second
            class, and files of the first would load as the second.
    """
    name = f"keras_vae>{cls.__name__}"
    other = keras.saving.get_registered_object(name)
    if other is not None and other.__module__ != cls.__module__:
        raise TypeError(
            f"Each registered class needs a name of its own: rename {cls.__module__}."
            f"{cls.__name__}. Received: {name!r}, which is of {other.__module__}"
        )
    return keras.saving.register_keras_serializable("keras_vae")(cls)


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
