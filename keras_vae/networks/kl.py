"""The residual networks with attention of latent diffusion's autoencoders.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022; the
networks are those of VQGAN (Esser et al. 2021). Layers have the names of their weights in
diffusers, with "-" for "." (PyTorch allows no dots in names). Pictures are in [0, 1]: the
networks scale them to the [-1, 1] that the published weights expect.
"""

from collections.abc import Sequence
from typing import Any

import keras

from keras_vae import initializers, layers
from keras_vae._types import Tensor

EPSILON = 1e-6
# Groups of the normalisation that the codes modulate; fixed in the published networks.
_MODULATED_GROUPS = 32
LAST = {"data_format": "channels_last"}


def kl_encoder(
    input_shape: Sequence[int | None],
    channels: Sequence[int],
    outputs: int,
    blocks: int = 1,
    groups: int = 32,
    activation: str = "silu",
    attention: Sequence[bool] | None = None,
    middle_attention: bool = True,
    quant_channels: int | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Stages of residual blocks that halve the resolution, to a map of features.

    Args:
        input_shape: `(height, width, channels)` of a picture; None for any height or width.
        channels: of each stage, from the data inwards. All stages but the last halve the
            resolution.
        outputs: channels of the features.
        blocks: residual blocks of each stage.
        groups: of the group normalisations.
        activation: of the residual blocks, Keras' name.
        attention: for each stage whether self-attention follows each of its blocks.
        middle_attention: whether the middle blocks have self-attention between them.
        quant_channels: channels of a 1 × 1 convolution at the end; None for no such layer.
        seed: int for the initial weights, or None.

    Returns:
        A functional `keras.Model` from `(n, height, width, channels)` to `(n, h, w, outputs)`.
    """
    make = _Layers(groups, activation, seed)
    attention = attention or [False] * len(channels)
    data = keras.Input(tuple(input_shape), name="data")
    x = keras.layers.Rescaling(2.0, -1.0, name="to_signed")(data)
    x = make.convolution(x, channels[0], "conv_in")
    for i, (width, attends) in enumerate(zip(channels, attention, strict=True)):
        stage = f"down_blocks.{i}"
        x = make.stage(x, width, blocks, attends, stage)
        if i < len(channels) - 1:
            # Zeros on one side only: Keras' padding "same" depends on the size.
            name = f"{stage}.downsamplers.0"
            x = keras.layers.ZeroPadding2D(
                ((0, 1), (0, 1)), **LAST, name=layer_name(f"{name}.pad")
            )(x)
            x = make.convolution(x, width, f"{name}.conv", strides=2, padding="valid")
    x = make.middle(x, channels[-1], middle_attention)
    x = make.normalised(x, "conv_norm_out", "silu")
    x = make.convolution(x, outputs, "conv_out")
    if quant_channels is not None:
        x = make.convolution(x, quant_channels, "quant_conv", 1)
    return keras.Model(data, x, name="encoder")


def kl_decoder(
    code_shape: Sequence[int | None],
    channels: Sequence[int],
    outputs: int,
    blocks: int = 1,
    groups: int = 32,
    activation: str = "silu",
    attention: Sequence[bool] | None = None,
    middle_attention: bool = True,
    quant_channels: int | None = None,
    modulated: bool = False,
    seed: int | None = None,
) -> keras.Model:
    """The reverse of `kl_encoder`: from a map of codes to a picture in [0, 1].

    Args:
        code_shape: `(h, w, channels)` of a map of codes; None for any height or width.
        channels: of each stage, from the data inwards, as the encoder's.
        outputs: channels of the pictures.
        blocks: residual blocks of each stage; this network has one more.
        groups, activation, middle_attention, seed: see `kl_encoder`.
        attention: for each stage, from the codes outwards.
        quant_channels: channels of a 1 × 1 convolution at the beginning, or None.
        modulated: whether the codes scale and shift each normalisation (Zheng et al.,
            "MoVQ: Modulating Quantized Vectors for High-Fidelity Image Generation", 2022).

    Returns:
        A functional `keras.Model` from `(n, h, w, d)` to `(n, height, width, outputs)`.
    """
    make = _Layers(groups, activation, seed)
    attention = attention or [False] * len(channels)
    codes = keras.Input(tuple(code_shape), name="code")
    if modulated:
        make.codes = codes
    x = codes
    if quant_channels is not None:
        x = make.convolution(x, quant_channels, "post_quant_conv", 1)
    x = make.convolution(x, channels[-1], "conv_in")
    x = make.middle(x, channels[-1], middle_attention)
    for i, (width, attends) in enumerate(zip(reversed(channels), attention, strict=True)):
        stage = f"up_blocks.{i}"
        x = make.stage(x, width, blocks + 1, attends, stage)
        if i < len(channels) - 1:
            x = make.doubled(x, width, f"{stage}.upsamplers.0")
    x = make.normalised(x, "conv_norm_out", "silu")
    x = make.convolution(x, outputs, "conv_out")
    x = keras.layers.Rescaling(0.5, 0.5, name="to_unit")(x)
    return keras.Model(codes, x, name="decoder")


def layer_name(name: str) -> str:
    """The name of a layer from its name in diffusers; see `diffusers_name`."""
    return name.replace(".", "-")


def diffusers_name(name: str) -> str:
    """The name in diffusers of a layer."""
    return name.replace("-", ".")


class _Layers:
    """Layers by diffusers' names, whose initial weights follow from one seed."""

    def __init__(self, groups, activation, seed):
        self.groups, self.activation = groups, activation
        self.seeds = initializers.seeds(seed)
        # Of a decoder whose codes modulate the normalisations, and pixels per code so far.
        self.codes, self.scale = None, 1

    def convolution(self, x, channels, name, size=3, strides=1, padding="same"):
        return layers.Conv2D(
            channels,
            size,
            strides,
            padding=padding,
            **LAST,
            kernel_initializer=initializers.GlorotUniform(next(self.seeds)),
            name=layer_name(name),
        )(x)

    def normalised(self, x: Tensor, name: str, activation: str | None = None) -> Any:
        """Group normalisation, modulated by the codes where that was asked for; activation."""
        if self.codes is None:
            x = self._group_normalised(x, name, self.groups)
        else:
            x = self._group_normalised(x, f"{name}.norm_layer", _MODULATED_GROUPS)
            factor, shift = (
                self._spread(self.convolution(self.codes, x.shape[-1], f"{name}.{part}", 1))
                for part in ("conv_y", "conv_b")
            )
            x = keras.layers.Multiply(name=layer_name(f"{name}.times"))([x, factor])
            x = keras.layers.Add(name=layer_name(f"{name}.plus"))([x, shift])
        if activation is not None:
            x = keras.layers.Activation(activation, name=layer_name(f"{name}.act"))(x)
        return x

    def _group_normalised(self, x, name, groups):
        return layers.GroupNormalization(groups, epsilon=EPSILON, name=layer_name(name))(x)

    def _spread(self, codes):
        """A map of the codes at the present resolution."""
        if self.scale == 1:
            return codes
        return keras.layers.UpSampling2D(self.scale, **LAST)(codes)

    def residual(self, x, channels, name):
        change = self.normalised(x, f"{name}.norm1", self.activation)
        change = self.convolution(change, channels, f"{name}.conv1")
        change = self.normalised(change, f"{name}.norm2", self.activation)
        change = self.convolution(change, channels, f"{name}.conv2")
        if x.shape[-1] != channels:
            x = self.convolution(x, channels, f"{name}.conv_shortcut", 1)
        return keras.layers.Add(name=layer_name(f"{name}.add"))([x, change])

    def attended(self, x, name):
        norm = "group_norm" if self.codes is None else "spatial_norm"
        normalised = self.normalised(x, f"{name}.{norm}")
        attention = layers.SpatialAttention(seed=next(self.seeds), name=layer_name(name))
        return attention([x, normalised])

    def stage(self, x, channels, blocks, attends, name):
        for j in range(blocks):
            x = self.residual(x, channels, f"{name}.resnets.{j}")
            if attends:
                x = self.attended(x, f"{name}.attentions.{j}")
        return x

    def middle(self, x, channels, attends):
        x = self.residual(x, channels, "mid_block.resnets.0")
        if attends:
            x = self.attended(x, "mid_block.attentions.0")
        return self.residual(x, channels, "mid_block.resnets.1")

    def doubled(self, x, channels, name):
        self.scale *= 2
        x = keras.layers.UpSampling2D(2, **LAST, name=layer_name(f"{name}.up"))(x)
        return self.convolution(x, channels, f"{name}.conv")
