"""Names and shapes of the weights that a configuration of diffusers asks for."""

from collections.abc import Iterator, Mapping
from typing import Any

from keras_vae.models.papers.diffusers_config import ATTENDED

# How older files name the projections of an attention.
ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def tensor_shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes, in PyTorch's order of axes, of the weights of a configuration."""
    if config["_class_name"] == "AutoencoderTiny":
        yield from _tiny_shapes(config)
        return
    quantized = config["_class_name"] == "VQModel"
    d = config["latent_channels"]
    code = (config.get("vq_embed_dim") or d) if quantized else d
    parameters = d if quantized else 2 * d
    yield from _kl_encoder_shapes(config, parameters)
    yield from _kl_decoder_shapes(config, code if config.get("norm_type") == "spatial" else None)
    if quantized:
        yield "quantize.embedding.weight", (config["num_vq_embeddings"], code)
    if quantized or config["use_quant_conv"]:
        yield from _convolution("quant_conv", parameters, code if quantized else parameters, 1)
    if quantized or config["use_post_quant_conv"]:
        yield from _convolution("post_quant_conv", code, d, 1)


def _convolution(name, inputs, outputs, size=3, bias=True):
    yield f"{name}.weight", (outputs, inputs, size, size)
    if bias:
        yield f"{name}.bias", (outputs,)


def _norm(name, channels, codes=None):
    if codes is None:
        yield f"{name}.weight", (channels,)
        yield f"{name}.bias", (channels,)
        return
    yield from _norm(f"{name}.norm_layer", channels)
    for part in ("conv_y", "conv_b"):
        yield from _convolution(f"{name}.{part}", codes, channels, 1)


def _residual(name, inputs, outputs, codes=None):
    yield from _norm(f"{name}.norm1", inputs, codes)
    yield from _convolution(f"{name}.conv1", inputs, outputs)
    yield from _norm(f"{name}.norm2", outputs, codes)
    yield from _convolution(f"{name}.conv2", outputs, outputs)
    if inputs != outputs:
        yield from _convolution(f"{name}.conv_shortcut", inputs, outputs, 1)


def _attention(name, channels, codes=None):
    norm = "group_norm" if codes is None else "spatial_norm"
    yield from _norm(f"{name}.{norm}", channels, codes)
    for part in ATTENTION.values():
        yield f"{name}.{part}.weight", (channels, channels)
        yield f"{name}.{part}.bias", (channels,)


def _middle(config, part, channels, codes=None):
    for j in (0, 1):
        yield from _residual(f"{part}.mid_block.resnets.{j}", channels, channels, codes)
    if config["mid_block_add_attention"]:
        yield from _attention(f"{part}.mid_block.attentions.0", channels, codes)


def _kl_encoder_shapes(config, outputs):
    widths = config["block_out_channels"]
    yield from _convolution("encoder.conv_in", config["in_channels"], widths[0])
    inputs = widths[0]
    for i, (width, kind) in enumerate(zip(widths, config["down_block_types"], strict=True)):
        stage = f"encoder.down_blocks.{i}"
        for j in range(config["layers_per_block"]):
            yield from _residual(f"{stage}.resnets.{j}", inputs, width)
            inputs = width
            if kind == ATTENDED["down"]:
                yield from _attention(f"{stage}.attentions.{j}", width)
        if i < len(widths) - 1:
            yield from _convolution(f"{stage}.downsamplers.0.conv", width, width)
    yield from _middle(config, "encoder", widths[-1])
    yield from _norm("encoder.conv_norm_out", widths[-1])
    yield from _convolution("encoder.conv_out", widths[-1], outputs)


def _kl_decoder_shapes(config, codes):
    widths = config["block_out_channels"]
    yield from _convolution("decoder.conv_in", config["latent_channels"], widths[-1])
    yield from _middle(config, "decoder", widths[-1], codes)
    inputs = widths[-1]
    for i, (width, kind) in enumerate(zip(widths[::-1], config["up_block_types"], strict=True)):
        stage = f"decoder.up_blocks.{i}"
        for j in range(config["layers_per_block"] + 1):
            yield from _residual(f"{stage}.resnets.{j}", inputs, width, codes)
            inputs = width
            if kind == ATTENDED["up"]:
                yield from _attention(f"{stage}.attentions.{j}", width, codes)
        if i < len(widths) - 1:
            yield from _convolution(f"{stage}.upsamplers.0.conv", width, width)
    yield from _norm("decoder.conv_norm_out", widths[0], codes)
    yield from _convolution("decoder.conv_out", widths[0], config["out_channels"])


def _tiny_block(name, channels, pooled):
    for i in (0, 2, 4):
        yield from _convolution(f"{name}.conv.{i}", channels, channels)
    if pooled:
        yield from _convolution(f"{name}.pool.0", channels, 4 * channels, 1, bias=False)
        yield from _norm(f"{name}.pool.1", 4 * channels)
        yield from _convolution(f"{name}.pool.3", 4 * channels, channels, 1, bias=False)


def _tiny_shapes(config):
    pooled, d = config.get("pooled_blocks", False), config["latent_channels"]
    (width, *_), counts = config["encoder_block_out_channels"], config["num_encoder_blocks"]
    index = 0
    for i, count in enumerate(counts):
        first = config["in_channels"] if i == 0 else width
        yield from _convolution(f"encoder.layers.{index}", first, width, bias=i == 0)
        for j in range(count):
            name = f"encoder.layers.{index + 1 + j}"
            yield from _tiny_block(name, width, pooled and i == len(counts) - 1)
        index += 1 + count
    yield from _convolution(f"encoder.layers.{index}", width, d)
    (width, *_), counts = config["decoder_block_out_channels"], config["num_decoder_blocks"]
    yield from _convolution("decoder.layers.0", d, width)
    index = 2
    for i, count in enumerate(counts):
        last = i == len(counts) - 1
        for j in range(count):
            yield from _tiny_block(f"decoder.layers.{index + j}", width, pooled and i == 0)
        index += count + (not last)
        outputs = config["out_channels"] if last else width
        yield from _convolution(f"decoder.layers.{index}", width, outputs, bias=last)
        index += 1
