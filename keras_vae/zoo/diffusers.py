"""STUB, to be dropped at the merge: arrays of one block in a model that computes nothing of them.

The module of this name on the other branch builds the model. Here the arrays of a plain
configuration are held by a layer, so that the files' doors can be tested.
"""

import keras

from keras_vae import models
from keras_vae._registry import register

CLASSES = ("AutoencoderKL", "AutoencoderTiny", "VQModel")


def shapes_of(config):
    """Names and shapes of the arrays of one block, as diffusers names them."""
    (width,), latent = config["block_out_channels"], config.get("latent_channels", 4)
    if config["_class_name"] == "AutoencoderTiny":
        return {"encoder.layers.0.weight": (width, 3, 3, 3), "decoder.layers.1.bias": (width,)}
    shapes = {}

    def layer(name, *shape):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]

    def residual(name):
        for i in (1, 2):
            layer(f"{name}.norm{i}", width)
            layer(f"{name}.conv{i}", width, width, 3, 3)

    count = config.get("layers_per_block", 1)
    for part, block, more in (("encoder", "down", 0), ("decoder", "up", 1)):
        first, last = (3, 2 * latent) if part == "encoder" else (latent, 3)
        layer(f"{part}.conv_in", width, first, 3, 3)
        for i in range(count + more):
            residual(f"{part}.{block}_blocks.0.resnets.{i}")
        for i in (0, 1):
            residual(f"{part}.mid_block.resnets.{i}")
        layer(f"{part}.mid_block.attentions.0.group_norm", width)
        for name in ("to_q", "to_k", "to_v", "to_out.0"):
            layer(f"{part}.mid_block.attentions.0.{name}", width, width)
        layer(f"{part}.conv_norm_out", width)
        layer(f"{part}.conv_out", last, width, 3, 3)
    layer("quant_conv", 2 * latent, 2 * latent, 1, 1)
    layer("post_quant_conv", latent, latent, 1, 1)
    return shapes


def build(config, tensors, path):
    shapes = shapes_of(config)
    if tensors is not None and set(tensors) != set(shapes):
        raise ValueError(f"Other arrays. Received: {sorted(set(tensors) ^ set(shapes))[:1]}")
    holder = Holder(list(shapes.values()))
    encoder = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), holder])
    plain = models.vae((4, 4, 3), 2, units=(3,), seed=0)
    model = StubVAE(encoder, plain.decoder, 2, seed=0)
    for variable, (name, shape) in zip(holder.held, shapes.items(), strict=True):
        if tensors is not None:
            if tensors[name].shape != shape:
                raise ValueError(f"Another shape. Received: {name} {tensors[name].shape}")
            variable.assign(tensors[name].astype("float32"))
    model.stub_config = dict(config)
    model.stub_names = list(shapes)
    return model


def config_of(model):
    return model.stub_config


def tensors_of(model):
    held = model.encoder.layers[-1].held
    return {n: keras.ops.convert_to_numpy(v) for n, v in zip(model.stub_names, held, strict=True)}


def config_from_tensors(encoder, decoder):
    width = encoder["encoder.layers.0.weight"].shape[0]
    return {"_class_name": "AutoencoderTiny", "block_out_channels": [width]}


@register
class StubVAE(models.VAE):
    pass


@register
class Holder(keras.layers.Layer):
    def __init__(self, shapes, **kwargs):
        super().__init__(**kwargs)
        self.shapes = shapes
        self.held = [self.add_weight(shape=shape, name=f"w{i}") for i, shape in enumerate(shapes)]

    def call(self, x):
        return x

    def get_config(self):
        return {**super().get_config(), "shapes": self.shapes}
