"""Encoders and decoders of series, pictures and volumes, whose codes are vectors."""

import math
from collections.abc import Sequence

import keras
from keras import layers

from keras_vae.networks.stages import LAST, Layers, inputs_of, joined, map_size, only


def conv_encoder(
    input_shape: Sequence[int],
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    hidden: int = 0,
    blocks: int | Sequence[int] = 0,
    stages: str = "compact",
    film: bool = False,
    seed: int | None = None,
) -> keras.Model:
    """Stages that halve the resolution, then a dense layer.

    Of series `(time, channels)`, pictures `(height, width, channels)` and volumes
    `(depth, height, width, channels)`, by the number of axes of `input_shape`. A condition
    enters twice: as one more channel, a picture drawn from it by a dense layer, or with `film`
    in every stage; and beside the flattened features. See `build`.
    """
    *sizes, _ = input_shape
    make = Layers(seed, stages, condition_dim if film else None, axes=len(sizes))
    inputs, condition = inputs_of(input_shape, condition_dim, "data")
    x = inputs[0]
    if condition is not None and not film:
        drawn = make.dense(math.prod(sizes))(condition)
        x = joined(x, layers.Reshape((*sizes, 1))(drawn))
    x = make.stages_in(x, units, activation, blocks, condition)
    x = joined(layers.Flatten(**LAST)(x), condition)
    if hidden:
        x = make.dense(hidden, activation=activation)(x)
    return keras.Model(only(inputs), x, name="encoder")


def conv_decoder(
    input_shape: Sequence[int],
    latent_dim: int,
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    hidden: int = 0,
    blocks: int | Sequence[int] = 0,
    stages: str = "compact",
    film: bool = False,
    output_activation: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Dense layers, then stages that double the resolution. See `build`."""
    make = Layers(seed, stages, condition_dim if film else None, axes=len(input_shape) - 1)
    inputs, condition = inputs_of((latent_dim,), condition_dim, "code")
    sizes = map_size(input_shape, units)
    x = joined(inputs[0], condition)
    if hidden:
        x = make.dense(hidden, activation=activation)(x)
    x = make.dense(math.prod(sizes) * units[-1], activation=activation)(x)
    x = layers.Reshape((*sizes, units[-1]))(x)
    x = make.stages_out(x, input_shape, units, activation, blocks, output_activation, condition)
    return keras.Model(only(inputs), x, name="decoder")
