"""Encoders and decoders of pictures, whose codes are maps."""

from collections.abc import Sequence

import keras

from keras_vae.networks.stages import Layers, inputs_of, map_size, only


def spatial_encoder(
    input_shape: Sequence[int],
    latent_dim: int | None,
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    blocks: int | Sequence[int] = 0,
    stages: str = "compact",
    film: bool = False,
    identity: bool = False,
    seed: int | None = None,
) -> keras.Model:
    """The stages of `conv_encoder`, then `latent_dim` numbers of each position.

    With `latent_dim=None` the features of the last stage. A condition enters with `film` in
    every stage, and otherwise beside the features of each position. With `identity` residual
    blocks start as the identity, so that features stay as large. See `build`.
    """
    make = Layers(seed, stages, condition_dim if film else None, identity)
    inputs, condition = inputs_of(input_shape, condition_dim, "data")
    x = make.stages_in(inputs[0], units, activation, blocks, condition)
    if condition is not None and not film:
        x = make.beside(x, condition, activation)
    x = x if latent_dim is None else make.dense(latent_dim)(x)
    return keras.Model(only(inputs), x, name="encoder")


def spatial_decoder(
    input_shape: Sequence[int],
    latent_dim: int,
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    blocks: int | Sequence[int] = 0,
    stages: str = "compact",
    film: bool = False,
    output_activation: str | None = None,
    identity: bool = False,
    seed: int | None = None,
) -> keras.Model:
    """From a map of codes' vectors through the stages of `conv_decoder`. See `build`.

    A condition enters, and blocks start, as in `spatial_encoder`.
    """
    make = Layers(seed, stages, condition_dim if film else None, identity)
    inputs, condition = inputs_of(
        (*map_size(input_shape, units), latent_dim), condition_dim, "code"
    )
    x = make.convolution(units[-1], activation)(inputs[0])
    if condition is not None and not film:
        x = make.beside(x, condition, activation)
    x = make.stages_out(x, input_shape, units, activation, blocks, output_activation, condition)
    return keras.Model(only(inputs), x, name="decoder")
