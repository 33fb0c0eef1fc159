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

from keras_vae import _checks, initializers
from keras_vae.networks.convolutional import conv_decoder, conv_encoder
from keras_vae.networks.dense import dense_decoder, dense_encoder
from keras_vae.networks.maps import spatial_decoder, spatial_encoder
from keras_vae.networks.recurrent import CELLS, recurrent_decoder, recurrent_encoder

NETWORKS = ("dense", "conv", "residual", "recurrent")
# The value of `spatial` for an encoder that ends with features.
FEATURES = "features"
# Of a default network, by the number of axes: the stages leave at most this side.
_SIDES = {1: 64, 2: 16, 3: 4}


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
        network: "dense", "conv", "residual" or "recurrent".
        input_shape: shape of one example without the batch axis. "conv" and "residual" take
            series `(time, channels)`, pictures `(height, width, channels)` and volumes
            `(depth, height, width, channels)`; "recurrent" takes series `(time, features)`.
        latent_dim: number of latent dimensions.
        units: widths from the data inwards: of dense layers, or channels of
            the stages that halve the resolution. Default: (512, 256) for
            "dense", (32, 64) else, and as many times 64 more as leave 16 x 16 of pictures
            above 64 x 64, 64 steps of series above 256 steps, or 4 x 4 x 4 of volumes above
            16 x 16 x 16; (64,) for "recurrent".
        condition_dim: length of the condition vector that both networks see,
            or None.
        seed: int for the initial weights, the same on every backend; or None.
        spatial: whether codes are maps `(height, width, latent_dim)`. The encoder gives
            them itself, or with "features" the features `(height, width, units[-1])` that a
            `posteriors.SpatialNormal` makes them of.
        per_value: outputs of the decoder per value of data, side by side in the last axis, such
            as a mean and a dispersion: `per_value` of the likelihood.
        **options: `activation`; for "recurrent" `cell` ("gru" or "lstm"); and
            for "conv" and "residual" `hidden` (width of a dense layer beside
            the code; 0, the default of "conv", for none), `blocks` (residual blocks of
            each stage, from the data inwards, or one number for all),
            `decoder_blocks` (those of the decoder, where they differ),
            `stages` ("compact", the default of "conv": 2 × 2 convolutions beside
            space-to-depth, which see 4 × 4 pixels; "blocks", the default of
            "residual": 3 × 3 there, for twice the arithmetic; or "strided": 4 × 4
            convolutions of stride 2 and their transposes, as much arithmetic as
            "compact", and a bound that falls more slowly), `film` (whether
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
        units = _default_units(network, input_shape)
        units = units[:2] if spatial else units
    units = shape_of(units)
    if not all(map(_checks.is_integer, units)):
        raise ValueError(f"`units` must be positive integers. Received: units={units}")
    input_shape, units = tuple(map(int, input_shape)), tuple(map(int, units))
    latent_dim = int(latent_dim)
    if network == "dense":
        pair: Any = (dense_encoder, dense_decoder)
    elif network == "recurrent":
        pair = recurrent_encoder, recurrent_decoder
        _check_series(input_shape, units, options.get("cell", "gru"))
    else:
        pair = conv_encoder, conv_decoder
        _check_axes(network, input_shape, spatial)
        residual = network == "residual"
        options.setdefault("blocks", 1 if residual else 0)
        # Per minute no other bound falls faster on faces; on digits one with five times the weights
        # is as fast (tools/speed/README.md). Beside residual blocks neither was measured.
        options.setdefault("stages", "blocks" if residual else "compact")
        options.setdefault("hidden", 256 if residual else 0)
        if options.get("film") and condition_dim is None:
            raise ValueError(
                "`film` modulates features by the condition, and there is none. "
                "Received: film=True, condition_dim=None"
            )
    seeds = initializers.seeds(seed)
    # The decoder's alone.
    own = {name: options.pop(name) for name in ("output_activation",) if name in options}
    if pair[0] is conv_encoder and "decoder_blocks" in options:
        own["blocks"] = options.pop("decoder_blocks")
    outputs = (*input_shape[:-1], input_shape[-1] * per_value)
    shapes: Any = (input_shape,), (outputs, latent_dim)
    if spatial:
        if pair[0] is not conv_encoder:
            raise ValueError(
                "Maps of codes need network='conv' or 'residual', and pictures. "
                f"Received: network={network!r}"
            )
        pair = spatial_encoder, spatial_decoder
        shapes = (input_shape, None if spatial == FEATURES else latent_dim), shapes[1]
        options.pop("hidden", None)
        options["identity"] = spatial == FEATURES
    encoder = pair[0](*shapes[0], units, condition_dim, seed=next(seeds), **options)
    options |= own
    decoder = pair[1](*shapes[1], units, condition_dim, seed=next(seeds), **options)
    return encoder, decoder


def shape_of(sizes: int | Sequence[int]) -> tuple[int, ...]:
    """Sizes as a tuple; one number is a shape of one axis."""
    return (sizes,) if isinstance(sizes, (int, np.integer)) else tuple(sizes)


def _default_units(network, input_shape):
    if network == "dense":
        return (512, 256)
    return (64,) if network == "recurrent" else (32, *[64] * (_stages(input_shape) - 1))


def _check_series(input_shape, units, cell):
    if len(input_shape) != 2 or not units:
        raise ValueError(
            "network='recurrent' needs series (time, features), and `units` of at least one "
            "layer. Series of one feature are x[..., None]. "
            f"Received: input_shape={input_shape}, units={units}"
        )
    if cell not in CELLS:
        raise ValueError(f"`cell` must be one of {tuple(CELLS)}. Received: cell={cell!r}")


def _stages(input_shape):
    """Stages of a default network: two, or as many as leave the side of `_SIDES`."""
    sizes = input_shape[:-1]
    side = _SIDES.get(len(sizes), max(sizes, default=1))
    return max(2, math.ceil(math.log2(max(sizes, default=1) / side)))


def _check_axes(network, input_shape, spatial):
    if len(input_shape) == 3 or len(input_shape) in (2, 4) and not spatial:
        return
    if spatial:
        raise ValueError(
            "Maps of codes are of images (height, width, channels): series and volumes have "
            f"codes that are vectors. Received: input_shape={input_shape}"
        )
    raise ValueError(
        f"network={network!r} needs series (time, channels), images (height, width, channels) "
        "or volumes (depth, height, width, channels). Of vectors use 'dense'; series of one "
        f"channel are x[..., None]. Received: input_shape={input_shape}"
    )
