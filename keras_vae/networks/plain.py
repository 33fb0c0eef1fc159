"""Encoders and decoders: ordinary Keras functional models.

An encoder maps data, or `[data, condition]`, to features `(n, f)`; a decoder
maps codes, or `[codes, condition]`, to outputs in data shape, the parameters of the
likelihood. `units` are widths from the data inwards, also for the decoder. Any
functional model with the same inputs and outputs can replace them.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_vae import _checks, initializers
from keras_vae.layers import Conv2DTranspose, DepthToSpace, FeatureModulation, SpaceToDepth

NETWORKS = ("dense", "conv", "residual")
STAGES = ("blocks", "compact", "strided")
# The value of `spatial` for an encoder that ends with features.
FEATURES = "features"
# Data is so everywhere here, whatever `keras.config.image_data_format()` says.
LAST = {"data_format": "channels_last"}


def build(
    network: str,
    input_shape: Sequence[int],
    latent_dim: int,
    units: Sequence[int] | None = None,
    condition_dim: int | None = None,
    seed: int | None = None,
    spatial: bool | str = False,
    per_value: int = 1,
    **options: Any,
) -> tuple[keras.Model, keras.Model]:
    """An encoder and its decoder.

    Args:
        network: "dense", "conv" or "residual".
        input_shape: shape of one example without the batch axis.
        latent_dim: number of latent dimensions.
        units: widths from the data inwards: of dense layers, or channels of
            the stages that halve the resolution. Default: (512, 256) for
            "dense", (32, 64) else,
            and as many times 64 more as leave 16 x 16 of pictures above 64 x 64.
        condition_dim: length of the condition vector that both networks see,
            or None.
        seed: int for the initial weights, the same on every backend; or None.
        spatial: whether codes are maps `(height, width, latent_dim)`. The encoder gives
            them itself, or with "features" the features `(height, width, units[-1])` that a
            `posteriors.SpatialNormal` makes them of.
        per_value: outputs of the decoder per value of data, side by side in the last axis, such
            as a mean and a dispersion: `per_value` of the likelihood.
        **options: `activation`, and for images `hidden` (width of a dense
            layer beside the code; 0 for none), `blocks` (residual blocks of
            each stage, from the data inwards, or one number for all),
            `decoder_blocks` (those of the decoder, where they differ),
            `stages` ("blocks": 3 × 3 convolutions beside space-to-depth;
            "compact": 2 × 2 there, which see 4 × 4 pixels for less than half of
            the arithmetic; or "strided": 4 × 4 convolutions of stride 2 and
            their transposes, as much arithmetic as "compact"), `film` (whether
            the condition also scales and shifts the channels of every stage)
            and `output_activation` (of the decoder's last layer; none by
            default, as for logits).

    Returns:
        `(encoder, decoder)`, two functional `keras.Model`s.

    Raises:
        ValueError: unknown network or a shape, width or size that does not fit.
    """
    if network not in NETWORKS:
        raise ValueError(f"`network` must be one of {NETWORKS}. Received: network={network!r}")
    input_shape = shape_of(input_shape)
    if not input_shape or not all(map(_checks.is_integer, input_shape)):
        raise ValueError(
            "`input_shape` must be positive integers without the batch axis, such as "
            f"(28, 28, 1). Received: input_shape={input_shape}"
        )
    if not _checks.is_integer(latent_dim):
        raise ValueError(f"`latent_dim` must be an integer of at least 1. Received: {latent_dim!r}")
    if units is None:
        units = (512, 256) if network == "dense" else (32, *[64] * (_stages(input_shape) - 1))
        units = units[:2] if spatial else units
    units = shape_of(units)
    if not all(map(_checks.is_integer, units)):
        raise ValueError(f"`units` must be positive integers. Received: units={units}")
    input_shape, units = tuple(map(int, input_shape)), tuple(map(int, units))
    latent_dim = int(latent_dim)
    if network == "dense":
        pair: Any = (dense_encoder, dense_decoder)
    else:
        pair = conv_encoder, conv_decoder
        if len(input_shape) != 3:
            raise ValueError(
                f"network={network!r} needs images (height, width, channels). Of series and "
                "volumes use 'dense', or give networks of your own, such as of `Conv1D` or "
                "`Conv3D`, to `models.VAE(encoder, decoder, latent_dim)`. "
                f"Received: input_shape={input_shape}"
            )
        options.setdefault("blocks", 1 if network == "residual" else 0)
        if options.get("film") and condition_dim is None:
            raise ValueError(
                "`film` modulates features by the condition, and there is none. "
                "Received: film=True, condition_dim=None"
            )
    outputs = (*input_shape[:-1], input_shape[-1] * per_value)
    seeds = initializers.seeds(seed)
    decoder_blocks = options.get("blocks")
    if network != "dense":
        decoder_blocks = options.pop("decoder_blocks", decoder_blocks)
    if spatial:
        if network == "dense":
            raise ValueError(
                "Maps of codes need network='conv' or 'residual', and pictures. "
                f"Received: network={network!r}"
            )
        options.pop("hidden", None)
        width = None if spatial == FEATURES else latent_dim
        options |= {"condition_dim": condition_dim, "identity": spatial == FEATURES}
        encoder = spatial_encoder(input_shape, width, units, seed=next(seeds), **options)
        options["blocks"] = decoder_blocks
        decoder = spatial_decoder(outputs, latent_dim, units, seed=next(seeds), **options)
        return encoder, decoder
    encoder = pair[0](input_shape, units, condition_dim, seed=next(seeds), **options)
    if network != "dense":
        options["blocks"] = decoder_blocks
    decoder = pair[1](outputs, latent_dim, units, condition_dim, seed=next(seeds), **options)
    return encoder, decoder


def shape_of(sizes: int | Sequence[int]) -> tuple[int, ...]:
    """Sizes as a tuple; one number is a shape of one axis."""
    return (sizes,) if isinstance(sizes, (int, np.integer)) else tuple(sizes)


def _stages(input_shape):
    """Stages of a default network: two up to 64 x 64, then as many as leave 16 x 16."""
    largest = max(input_shape[:2])
    return max(2, math.ceil(math.log2(largest / 16)))


def dense_encoder(
    input_shape: Sequence[int],
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    seed: int | None = None,
) -> keras.Model:
    """Flatten, then a stack of dense layers. See `build`."""
    make = _Layers(seed)
    inputs, condition = _inputs(input_shape, condition_dim, "data")
    x = _join(layers.Flatten(**LAST)(inputs[0]), condition)
    for width in units:
        x = make.dense(width, activation=activation)(x)
    return keras.Model(_only(inputs), x, name="encoder")


def dense_decoder(
    input_shape: Sequence[int],
    latent_dim: int,
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    seed: int | None = None,
) -> keras.Model:
    """A stack of dense layers to data shape. See `build`."""
    make = _Layers(seed)
    inputs, condition = _inputs((latent_dim,), condition_dim, "code")
    x = _join(inputs[0], condition)
    for width in reversed(units):
        x = make.dense(width, activation=activation)(x)
    x = make.dense(math.prod(input_shape))(x)
    x = layers.Reshape(input_shape)(x)
    return keras.Model(_only(inputs), x, name="decoder")


def conv_encoder(
    input_shape: Sequence[int],
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    hidden: int = 256,
    blocks: int | Sequence[int] = 0,
    stages: str = "blocks",
    film: bool = False,
    output_activation: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Stages that halve the resolution, then a dense layer.

    A condition enters twice: as one more channel, a picture drawn from it by a
    dense layer, or with `film` in every stage; and beside the flattened
    features. See `build`.
    """
    make = _Layers(seed, stages, condition_dim if film else None)
    inputs, condition = _inputs(input_shape, condition_dim, "data")
    height, width, _ = input_shape
    x = inputs[0]
    if condition is not None and not film:
        drawn = make.dense(height * width)(condition)
        x = _join(x, layers.Reshape((height, width, 1))(drawn))
    x = make.stages_in(x, units, activation, blocks, condition)
    x = _join(layers.Flatten(**LAST)(x), condition)
    if hidden:
        x = make.dense(hidden, activation=activation)(x)
    return keras.Model(_only(inputs), x, name="encoder")


def conv_decoder(
    input_shape: Sequence[int],
    latent_dim: int,
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    hidden: int = 256,
    blocks: int | Sequence[int] = 0,
    stages: str = "blocks",
    film: bool = False,
    output_activation: str | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Dense layers, then stages that double the resolution. See `build`."""
    make = _Layers(seed, stages, condition_dim if film else None)
    inputs, condition = _inputs((latent_dim,), condition_dim, "code")
    height, width = _map_size(input_shape, units)
    x = _join(inputs[0], condition)
    if hidden:
        x = make.dense(hidden, activation=activation)(x)
    x = make.dense(height * width * units[-1], activation=activation)(x)
    x = layers.Reshape((height, width, units[-1]))(x)
    x = make.stages_out(x, input_shape, units, activation, blocks, output_activation, condition)
    return keras.Model(_only(inputs), x, name="decoder")


def spatial_encoder(
    input_shape: Sequence[int],
    latent_dim: int | None,
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    blocks: int | Sequence[int] = 0,
    stages: str = "blocks",
    film: bool = False,
    output_activation: str | None = None,
    identity: bool = False,
    seed: int | None = None,
) -> keras.Model:
    """The stages of `conv_encoder`, then `latent_dim` numbers of each position.

    With `latent_dim=None` the features of the last stage. A condition enters with `film` in
    every stage, and otherwise beside the features of each position. With `identity` residual
    blocks start as the identity, so that features stay as large. See `build`.
    """
    make = _Layers(seed, stages, condition_dim if film else None, identity)
    inputs, condition = _inputs(input_shape, condition_dim, "data")
    x = make.stages_in(inputs[0], units, activation, blocks, condition)
    if condition is not None and not film:
        x = make.beside(x, condition, activation)
    x = x if latent_dim is None else make.dense(latent_dim)(x)
    return keras.Model(_only(inputs), x, name="encoder")


def spatial_decoder(
    input_shape: Sequence[int],
    latent_dim: int,
    units: Sequence[int],
    condition_dim: int | None = None,
    activation: str = "relu",
    blocks: int | Sequence[int] = 0,
    stages: str = "blocks",
    film: bool = False,
    output_activation: str | None = None,
    identity: bool = False,
    seed: int | None = None,
) -> keras.Model:
    """From a map of codes' vectors through the stages of `conv_decoder`. See `build`.

    A condition enters, and blocks start, as in `spatial_encoder`.
    """
    make = _Layers(seed, stages, condition_dim if film else None, identity)
    inputs, condition = _inputs((*_map_size(input_shape, units), latent_dim), condition_dim, "code")
    x = make.convolution(units[-1], activation)(inputs[0])
    if condition is not None and not film:
        x = make.beside(x, condition, activation)
    x = make.stages_out(x, input_shape, units, activation, blocks, output_activation, condition)
    return keras.Model(_only(inputs), x, name="decoder")


def _inputs(shape, condition_dim, name):
    inputs = [keras.Input(shape, name=name)]
    if condition_dim is None:
        return inputs, None
    inputs.append(keras.Input((condition_dim,), name="condition"))
    return inputs, inputs[1]


def _only(inputs):
    return inputs if len(inputs) > 1 else inputs[0]


def _join(x, other):
    return x if other is None else layers.Concatenate()([x, other])


class _Layers:
    """Layers whose initial weights follow from one seed."""

    def __init__(self, seed, stages="blocks", modulated_by=None, identity=False):
        if stages not in STAGES:
            raise ValueError(f"`stages` must be one of {STAGES}. Received: stages={stages!r}")
        self.seeds = initializers.seeds(seed)
        self.stages = stages
        self.film = modulated_by is not None
        self.identity = identity

    def initializer(self):
        if self.stages == "strided":
            return initializers.HeUniform(next(self.seeds))
        return initializers.GlorotUniform(next(self.seeds))

    def dense(self, width, activation=None):
        return layers.Dense(width, activation=activation, kernel_initializer=self.initializer())

    def convolution(self, channels, activation, initializer=None):
        return layers.Conv2D(
            channels,
            3,
            **LAST,
            padding="same",
            activation=activation,
            kernel_initializer=initializer or self.initializer(),
        )

    def small_convolution(self, channels, activation):
        return layers.Conv2D(
            channels, 2, activation=activation, kernel_initializer=self.initializer(), **LAST
        )

    def halved(self, x, channels, activation):
        """Half the resolution."""
        if self.stages == "blocks":
            return self.convolution(channels, activation)(SpaceToDepth()(x))
        if self.stages == "compact":
            return self.small_convolution(channels, activation)(
                layers.ZeroPadding2D(((0, 1), (0, 1)), **LAST)(SpaceToDepth()(x))
            )
        return layers.Conv2D(channels, **self.strided(activation, self.initializer()))(x)

    def doubled(self, x, channels, activation):
        """Twice the resolution."""
        if self.stages == "blocks":
            return DepthToSpace()(self.convolution(4 * channels, activation)(x))
        if self.stages == "compact":
            # The padding is opposite to that of `halved`: together they see both sides.
            x = layers.ZeroPadding2D(((1, 0), (1, 0)), **LAST)(x)
            return DepthToSpace()(self.small_convolution(4 * channels, activation)(x))
        initializer = initializers.HeUniform(next(self.seeds), upsampling=2)
        return Conv2DTranspose(channels, **self.strided(activation, initializer))(x)

    def strided(self, activation, initializer):
        return {
            "kernel_size": 4,
            "strides": 2,
            "padding": "same",
            **LAST,
            "activation": activation,
            "kernel_initializer": initializer,
        }

    def modulated(self, x, condition):
        """Channels scaled and shifted by the condition, where that was asked for."""
        if not self.film:
            return x
        return FeatureModulation()([x, condition])

    def beside(self, x, condition, activation):
        """The features of each position, made of themselves and the condition."""
        height, width, channels = x.shape[1:]
        everywhere = layers.RepeatVector(height * width)(condition)
        everywhere = layers.Reshape((height, width, condition.shape[-1]))(everywhere)
        return self.dense(channels, activation)(_join(x, everywhere))

    def residual(self, x, channels, activation, blocks):
        for _ in range(blocks):
            change = self.convolution(channels, activation)(x)
            last = "zeros" if self.identity else None
            change = self.convolution(channels, None, last)(change)
            x = layers.Add()([x, change])
        return x

    def stages_in(self, x, units, activation, blocks, condition=None):
        """Stages that halve the resolution."""
        padding = _padding(x.shape[1:], len(units))
        if any(sum(pads) for pads in padding):
            x = layers.ZeroPadding2D(padding, **LAST)(x)
        for channels, count in zip(units, _each_stage(blocks, units), strict=True):
            x = self.halved(x, channels, activation)
            x = self.residual(x, channels, activation, count)
            x = self.modulated(x, condition)
        return x

    def stages_out(
        self, x, input_shape, units, activation, blocks, output_activation, condition=None
    ):
        """Stages that double the resolution, to data shape."""
        outwards = (*reversed(units[:-1]), input_shape[-1])
        counts = reversed(_each_stage(blocks, units))
        for i, (channels, count) in enumerate(zip(outwards, counts, strict=True)):
            x = self.modulated(x, condition)
            x = self.residual(x, x.shape[-1], activation, count)
            last = i == len(outwards) - 1
            x = self.doubled(x, channels, output_activation if last else activation)
        padding = _padding(input_shape, len(units))
        if any(sum(pads) for pads in padding):
            x = layers.Cropping2D(padding, **LAST)(x)
        return x


def _map_size(input_shape, units):
    """Height and width after the stages of `units`."""
    padding = _padding(input_shape, len(units))
    return tuple(
        (size + sum(pads)) >> len(units) for size, pads in zip(input_shape, padding, strict=False)
    )


def _each_stage(blocks, units):
    blocks = (blocks,) * len(units) if _checks.is_integer(blocks, 0) else tuple(blocks)
    if len(blocks) != len(units):
        raise ValueError(
            f"`blocks` must be a number or one for each of the {len(units)} stages. "
            f"Received: blocks={blocks}"
        )
    return blocks


def _padding(input_shape, stages):
    """Zeros on each side that make height and width multiples of 2**stages."""
    block = 2**stages
    missing = [-size % block for size in input_shape[:2]]
    return tuple((n // 2, n - n // 2) for n in missing)
