"""Encoders of packaged presets as networks that compare pictures."""

import keras

from keras_vae.models.papers import by_likelihood
from keras_vae.zoo import presets

_PRESETS = {(28, 28, 1): "mnist_conv", (64, 64, 3): "celeba_vae"}


def packaged(input_shape):
    """The encoder of the preset for data of this shape, and the names of its convolutions.

    Raises:
        ValueError: there is no preset for this shape.
    """
    name = _PRESETS.get(tuple(input_shape))
    if name not in presets.list_models():
        by_likelihood.no_features(tuple(input_shape))
    encoder = presets.load(name, compile=False).encoder
    convolutions = [la.name for la in encoder.layers if isinstance(la, keras.layers.Conv2D)]
    return encoder, convolutions


by_likelihood.packaged_features = packaged
