"""Layers of the networks by name: stages that change the resolution, of one, two or three axes."""

import keras
from keras import layers

from keras_vae import _checks, initializers
from keras_vae.layers import Conv2DTranspose, DepthToSpace, FeatureModulation, SpaceToDepth

STAGES = ("blocks", "compact", "strided")
# Data is so everywhere here, whatever `keras.config.image_data_format()` says.
LAST = {"data_format": "channels_last"}
# By the number of axes: convolutions, transposed ones, and what adds and cuts borders.
_KINDS = {
    1: (layers.Conv1D, layers.Conv1DTranspose, layers.ZeroPadding1D),
    2: (layers.Conv2D, Conv2DTranspose, layers.ZeroPadding2D),
    3: (layers.Conv3D, layers.Conv3DTranspose, layers.ZeroPadding3D),
}


def inputs_of(shape, condition_dim, name):
    inputs = [keras.Input(shape, name=name)]
    if condition_dim is None:
        return inputs, None
    inputs.append(keras.Input((condition_dim,), name="condition"))
    return inputs, inputs[1]


def only(inputs):
    return inputs if len(inputs) > 1 else inputs[0]


def joined(x, other):
    return x if other is None else layers.Concatenate()([x, other])


class Layers:
    """Layers whose initial weights follow from one seed."""

    def __init__(self, seed, stages="blocks", modulated_by=None, identity=False, axes=2):
        if stages not in STAGES:
            raise ValueError(f"`stages` must be one of {STAGES}. Received: stages={stages!r}")
        self.convolutional, self.transposed, self.padding = _KINDS[axes]
        self.axes = axes
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
        return self.convolutional(
            channels,
            3,
            **LAST,
            padding="same",
            activation=activation,
            kernel_initializer=initializer or self.initializer(),
        )

    def small_convolution(self, channels, activation):
        return self.convolutional(
            channels, 2, activation=activation, kernel_initializer=self.initializer(), **LAST
        )

    def halved(self, x, channels, activation):
        """Half the resolution."""
        if self.stages == "blocks":
            return self.convolution(channels, activation)(SpaceToDepth()(x))
        if self.stages == "compact":
            return self.small_convolution(channels, activation)(
                self.padded(SpaceToDepth()(x), ((0, 1),) * self.axes)
            )
        return self.convolutional(channels, **self.strided(activation, self.initializer()))(x)

    def doubled(self, x, channels, activation):
        """Twice the resolution."""
        block = 2**self.axes
        if self.stages == "blocks":
            return DepthToSpace()(self.convolution(block * channels, activation)(x))
        if self.stages == "compact":
            # The padding is opposite to that of `halved`: together they see both sides.
            x = self.padded(x, ((1, 0),) * self.axes)
            return DepthToSpace()(self.small_convolution(block * channels, activation)(x))
        initializer = initializers.HeUniform(next(self.seeds), upsampling=2)
        return self.transposed(channels, **self.strided(activation, initializer))(x)

    def padded(self, x, borders):
        """Zeros before and after each axis."""
        return self.padding(borders if self.axes > 1 else borders[0], **LAST)(x)

    def cropped(self, x, borders):
        """The inverse of `padded`."""
        if self.axes == 1:
            return layers.Cropping1D(borders[0])(x)
        kind = layers.Cropping2D if self.axes == 2 else layers.Cropping3D
        return kind(borders, **LAST)(x)

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
        return self.dense(channels, activation)(joined(x, everywhere))

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
            x = self.padded(x, padding)
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
            x = self.cropped(x, padding)
        return x


def map_size(input_shape, units):
    """Height and width, or the other axes, after the stages of `units`."""
    padding = _padding(input_shape, len(units))
    return tuple(
        (size + sum(pads)) >> len(units)
        for size, pads in zip(input_shape[:-1], padding, strict=True)
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
    """Zeros on each side that make all axes but the channels multiples of 2**stages."""
    block = 2**stages
    missing = [-size % block for size in input_shape[:-1]]
    return tuple((n // 2, n - n // 2) for n in missing)
