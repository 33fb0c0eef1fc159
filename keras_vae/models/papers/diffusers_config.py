"""The arguments of diffusers' `config.json`, checked; nothing is built here."""

import math
from typing import Any

import numpy as np

from keras_vae import _checks, networks

# Activations by diffusers' names, as Keras names them.
ACTIVATIONS = {"silu": "silu", "swish": "silu", "mish": "mish", "gelu": "gelu", "relu": "relu"}
PLAIN = {"down": "DownEncoderBlock2D", "up": "UpDecoderBlock2D"}
ATTENDED = {"down": "AttnDownEncoderBlock2D", "up": "AttnUpDecoderBlock2D"}
# Wider or deeper than any published autoencoder.
_MOST_CHANNELS, _MOST_STAGES, _MOST_BLOCKS, _MOST_CODES = 2**14, 12, 64, 2**20


def kl_config(given: dict[str, Any]) -> dict[str, Any]:
    """The `config.json` of the arguments of `autoencoder_kl`, checked; nothing is built.

    Raises:
        ValueError: a value is out of its range, unknown, or given twice.
    """
    means, stds = given["latents_mean"], given["latents_std"]
    return _plain(
        {
            **_shared_config("AutoencoderKL", given, 4),
            "shift_factor": _finite("shift_factor", given["shift_factor"], optional=True),
            "latents_mean": None if means is None else [_finite("latents_mean", m) for m in means],
            "latents_std": None if stds is None else [_finite("latents_std", s) for s in stds],
            **{
                name: _flag(name, given[name])
                for name in ("force_upcast", "use_quant_conv", "use_post_quant_conv")
            },
        }
    )


def vq_config(given: dict[str, Any]) -> dict[str, Any]:
    """The same of `vq_model`."""
    config = _shared_config("VQModel", given, 3)
    norm_type, width, d = given["norm_type"], given["vq_embed_dim"], config["latent_channels"]
    if norm_type not in ("group", "spatial"):
        raise ValueError(
            f"`norm_type` must be 'group' or 'spatial'. Received: norm_type={norm_type!r}"
        )
    if width is not None:
        _width("vq_embed_dim", width)
    if norm_type == "spatial" and width not in (None, d):
        raise ValueError(
            "norm_type='spatial' needs `vq_embed_dim` to be `latent_channels`. "
            f"Received: vq_embed_dim={width!r}, latent_channels={d!r}"
        )
    if norm_type == "spatial" and any(width % 32 for width in config["block_out_channels"]):
        raise ValueError(
            "norm_type='spatial' has 32 groups, which must divide the channels of all stages. "
            f"Received: block_out_channels={config['block_out_channels']}"
        )
    number = given["num_vq_embeddings"]
    if not _checks.is_integer(number, 2, _MOST_CODES):
        raise ValueError(
            f"`num_vq_embeddings` must be an integer from 2 to {_MOST_CODES}. "
            f"Received: num_vq_embeddings={number!r}"
        )
    return _plain(
        {
            **config,
            "num_vq_embeddings": int(number),
            "vq_embed_dim": width,
            "norm_type": norm_type,
            "lookup_from_codebook": _flag("lookup_from_codebook", given["lookup_from_codebook"]),
            "force_upcast": _flag("force_upcast", given["force_upcast"]),
        }
    )


def _shared_config(class_name, given, latent_dim):
    """What the configurations of `AutoencoderKL` and `VQModel` have in common."""
    _fixed("network", given["network"], "kl", "the networks of this model are its own")
    pictures = _channels(given)
    widths = _stages(
        "block_out_channels",
        _either("block_out_channels", given["block_out_channels"], "units", given["units"], (64,)),
    )
    groups = _checks.count(given["norm_num_groups"], "norm_num_groups")
    if any(width % groups for width in widths):
        raise ValueError(
            "`norm_num_groups` must divide the channels of all stages. "
            f"Received: norm_num_groups={groups}, block_out_channels={widths}"
        )
    blocks = given["layers_per_block"]
    if not _checks.is_integer(blocks, 1, _MOST_BLOCKS):
        raise ValueError(
            f"`layers_per_block` must be an integer from 1 to {_MOST_BLOCKS}. "
            f"Received: layers_per_block={blocks!r}"
        )
    return {
        "_class_name": class_name,
        "in_channels": pictures,
        "out_channels": pictures,
        "down_block_types": _kinds("down", given["down_block_types"], widths),
        "up_block_types": _kinds("up", given["up_block_types"], widths),
        "block_out_channels": widths,
        "layers_per_block": int(blocks),
        "act_fn": _activation(given["act_fn"]),
        "latent_channels": _latent_channels(given, latent_dim),
        "norm_num_groups": groups,
        "sample_size": _sample_size(given["sample_size"]),
        "scaling_factor": _finite("scaling_factor", given["scaling_factor"]),
        "mid_block_add_attention": _flag(
            "mid_block_add_attention", given["mid_block_add_attention"]
        ),
    }


def tiny_config(given: dict[str, Any]) -> dict[str, Any]:
    """The same of `autoencoder_tiny`; `pooled_blocks` is an argument that diffusers lacks."""
    _fixed("network", given["network"], "tiny", "the networks of this model are its own")
    _fixed("upsample_fn", given["upsample_fn"], "nearest", "backends resize differently otherwise")
    _fixed(
        "upsampling_scaling_factor",
        given["upsampling_scaling_factor"],
        2,
        "a reconstruction would not have the size of its picture",
    )
    pictures, units = _channels(given), given["units"]
    found: dict[str, Any] = {}
    for part in ("encoder", "decoder"):
        name = f"{part}_block_out_channels"
        widths = _stages(name, units if given[name] is None else given[name])
        if len(set(widths)) > 1:
            raise ValueError(
                f"All stages of the {part} must have as many channels, as their convolutions keep "
                f"it. Received: {name}={widths}"
            )
        counts = given[f"num_{part}_blocks"]
        several = isinstance(counts, (list, tuple)) and len(counts) == len(widths)
        if not several or not all(_checks.is_integer(n, 0, _MOST_BLOCKS) for n in counts):
            raise ValueError(
                f"`num_{part}_blocks` must list one number for each of {len(widths)} stages, "
                f"at most {_MOST_BLOCKS}. Received: num_{part}_blocks={counts!r}"
            )
        found |= {name: widths, f"num_{part}_blocks": tuple(map(int, counts))}
    if len(found["num_encoder_blocks"]) != len(found["num_decoder_blocks"]):
        raise ValueError(
            "Encoder and decoder must have as many stages. Received: "
            f"{len(found['num_encoder_blocks'])} and {len(found['num_decoder_blocks'])}"
        )
    return _plain(
        {
            "_class_name": "AutoencoderTiny",
            "in_channels": pictures,
            "out_channels": pictures,
            **found,
            "act_fn": _activation(given["act_fn"]),
            "upsample_fn": given["upsample_fn"],
            "latent_channels": _latent_channels(given, 4),
            "upsampling_scaling_factor": given["upsampling_scaling_factor"],
            "latent_magnitude": _finite("latent_magnitude", given["latent_magnitude"]),
            "latent_shift": _finite("latent_shift", given["latent_shift"]),
            "force_upcast": _flag("force_upcast", given["force_upcast"]),
            "scaling_factor": _finite("scaling_factor", given["scaling_factor"]),
            "shift_factor": _finite("shift_factor", given["shift_factor"], optional=True),
            "pooled_blocks": _flag("pooled_blocks", given["pooled_blocks"]),
        }
    )


def known(given):
    """The arguments, if there are no others besides."""
    if given["options"]:
        raise TypeError(
            "These arguments are not known here, of this class of diffusers or of models. "
            f"Received: {', '.join(sorted(given['options']))}"
        )
    return given


def _latent_channels(given, default):
    found = _either(
        "latent_channels", given["latent_channels"], "latent_dim", given["latent_dim"], default
    )
    return _width("latent_channels", found)


def _plain(config):
    """As JSON holds it: lists for tuples."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}


def _fixed(name, value, wanted, why):
    if value != wanted:
        raise ValueError(f"`{name}` must be {wanted!r}: {why}. Received: {name}={value!r}")


def _either(name, value, other, otherwise, default):
    """An argument that has two names."""
    if value is None:
        return otherwise
    if otherwise not in (default, value):
        raise ValueError(
            f"`{name}` and `{other}` are one argument: give one of them. "
            f"Received: {name}={value!r}, {other}={otherwise!r}"
        )
    return value


def _channels(given):
    shape = networks.shape_of(given["input_shape"])
    inputs, outputs = given["in_channels"], given["out_channels"]
    if len(shape) != 3 or not all(s is None or _checks.is_integer(s) for s in shape):
        raise ValueError(
            "`input_shape` must be (height, width, channels), with None for any height or width. "
            f"Received: input_shape={shape}"
        )
    found = shape[2] if inputs is None else inputs
    out = found if outputs is None else outputs
    if not (found == out and shape[2] in (None, 3, found)):
        raise ValueError(
            "A reconstruction has the channels of its picture: `in_channels`, `out_channels` and "
            "the last number of `input_shape` must be the same. Received: "
            f"in_channels={inputs!r}, out_channels={outputs!r}, input_shape={shape}"
        )
    return _width("in_channels", found)


def _width(name, value):
    if not _checks.is_integer(value, 1, _MOST_CHANNELS):
        raise ValueError(
            f"`{name}` must be an integer from 1 to {_MOST_CHANNELS}. Received: {name}={value!r}"
        )
    return int(value)


def _stages(name, widths):
    several = isinstance(widths, (list, tuple)) and 1 <= len(widths) <= _MOST_STAGES
    if not several:
        raise ValueError(
            f"`{name}` must list 1 to {_MOST_STAGES} numbers of channels. "
            f"Received: {name}={widths!r}"
        )
    return tuple(_width(name, width) for width in widths)


def _kinds(direction, kinds, widths):
    """The type of each stage; all plain by default."""
    if kinds is None:
        return (PLAIN[direction],) * len(widths)
    name, known = f"{direction}_block_types", (PLAIN[direction], ATTENDED[direction])
    several = isinstance(kinds, (list, tuple)) and len(kinds) == len(widths)
    if not several or any(kind not in known for kind in kinds):
        raise ValueError(
            f"`{name}` must name one of {', '.join(known)} for each of the {len(widths)} stages of "
            f"`block_out_channels`. Received: {name}={kinds!r}"
        )
    return tuple(kinds)


def _activation(name):
    if not isinstance(name, str) or name.lower() not in ACTIVATIONS:
        raise ValueError(
            f"`act_fn` must be one of {sorted(ACTIVATIONS)}. Received: act_fn={name!r}"
        )
    return name.lower()


def _finite(name, value, optional=False):
    if value is None and optional:
        return None
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise ValueError(f"`{name}` must be a finite number. Received: {name}={value!r}")
    return value


def _flag(name, value):
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")
    return value


def _sample_size(value):
    sides = value if isinstance(value, (list, tuple)) else (value,)
    if not sides or len(sides) > 2 or not all(_checks.is_integer(side) for side in sides):
        raise ValueError(
            f"`sample_size` must be a positive integer, or two. Received: sample_size={value!r}"
        )
    return value
