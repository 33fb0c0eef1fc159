"""Encoders and decoders of series, of one step after another."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_vae import initializers
from keras_vae.layers import Known
from keras_vae.networks.stages import Layers, inputs_of, joined, only

CELLS = {"gru": layers.GRU, "lstm": layers.LSTM}


def recurrent_encoder(
    input_shape: Sequence[int],
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "tanh",
    cell: str = "gru",
    output_activation: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Recurrent layers over `(time, features)`; the state after the last known step.

    It sees which values are known, and skips steps of which none is, see `layers.Known`. A
    condition enters beside the state, before one more dense layer. See `build`.
    """
    make = Layers(seed)
    inputs, condition = inputs_of(input_shape, condition_dim, "data")
    x = Known()(inputs[0])
    for i, width in enumerate(units):
        x = _recurrent(make, cell, width, activation, i < len(units) - 1)(x)
    if condition is not None:
        x = make.dense(units[-1], activation=activation)(joined(x, condition))
    return keras.Model(only(inputs), x, name="encoder")


def recurrent_decoder(
    input_shape: Sequence[int],
    latent_dim: int,
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "tanh",
    cell: str = "gru",
    output_activation: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """The code at each step, recurrent layers, and a dense layer of each step. See `build`.

    Steps are not told those before them: a series follows from its code.
    """
    make = Layers(seed)
    inputs, condition = inputs_of((latent_dim,), condition_dim, "code")
    x = layers.RepeatVector(input_shape[0])(joined(inputs[0], condition))
    for width in reversed(units):
        x = _recurrent(make, cell, width, activation, True)(x)
    x = make.dense(input_shape[-1], activation=output_activation)(x)
    return keras.Model(only(inputs), x, name="decoder")


def _recurrent(make, cell, width, activation, sequences):
    return CELLS[cell](
        width,
        activation=activation,
        kernel_initializer=make.initializer(),
        recurrent_initializer=initializers.Orthogonal(next(make.seeds)),
        return_sequences=sequences,
    )
