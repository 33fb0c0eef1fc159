"""Encoders and decoders of dense layers."""

import math
from collections.abc import Sequence

import keras
from keras import layers

from keras_vae.networks.stages import LAST, Layers, inputs_of, joined, only


def dense_encoder(
    input_shape: Sequence[int],
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    seed: int | None = None,
) -> keras.Model:
    """Flatten, then a stack of dense layers. See `build`."""
    make = Layers(seed)
    inputs, condition = inputs_of(input_shape, condition_dim, "data")
    x = joined(layers.Flatten(**LAST)(inputs[0]), condition)
    for width in units:
        x = make.dense(width, activation=activation)(x)
    return keras.Model(only(inputs), x, name="encoder")


def dense_decoder(
    input_shape: Sequence[int],
    latent_dim: int,
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    seed: int | None = None,
) -> keras.Model:
    """A stack of dense layers to data shape. See `build`."""
    make = Layers(seed)
    inputs, condition = inputs_of((latent_dim,), condition_dim, "code")
    x = joined(inputs[0], condition)
    for width in reversed(units):
        x = make.dense(width, activation=activation)(x)
    x = make.dense(math.prod(input_shape))(x)
    x = layers.Reshape(input_shape)(x)
    return keras.Model(only(inputs), x, name="decoder")
