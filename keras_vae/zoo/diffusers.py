"""STUB, to be dropped at the merge: arrays of one block in a model that computes nothing of them.

The module of this name on the other branch builds the model. Here the arrays of a plain
configuration are held by a layer, so that the files' doors can be tested.
"""

import keras

from keras_vae import models
from keras_vae._registry import register

CLASSES = ("AutoencoderKL", "AutoencoderTiny", "VQModel")


def shapes_of(config):
    width, *_ = config["block_out_channels"]
    latent = config.get("latent_channels", 4)
    if config["_class_name"] == "AutoencoderTiny":
        return {"encoder.layers.0.weight": (width, 3, 3, 3), "decoder.layers.1.bias": (width,)}
    shapes = {"quant_conv.weight": (2 * latent, 2 * latent, 1, 1)}
    for part, ends in (("encoder", (3, 2 * latent)), ("decoder", (latent, 3))):
        shapes[f"{part}.conv_in.weight"] = (width, ends[0], 3, 3)
        shapes[f"{part}.conv_out.weight"] = (ends[1], width, 3, 3)
        for i in range(config.get("layers_per_block", 1)):
            shapes[f"{part}.block.{i}.weight"] = (width, width, 3, 3)
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
