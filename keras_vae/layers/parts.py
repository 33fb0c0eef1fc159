"""Parts of a model as layers of a functional one."""

from typing import Any

import keras
from keras import ops

from keras_vae import _registry
from keras_vae._registry import register


class _Wrapped(keras.layers.Layer):
    """A layer of a part of a model, which it shares; float32 under every precision policy."""

    def __init__(self, part: Any, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.part = part
        self.built = True

    def build(self, input_shape):
        self.built = True

    def get_config(self):
        return {**super().get_config(), "part": keras.saving.serialize_keras_object(self.part)}

    @classmethod
    def from_config(cls, config):
        part = _registry.deserialize(config["part"])
        return cls(**{**config, "part": part})


@register
class Code(_Wrapped):
    """The code that `VAE.encode` gives, from features `(n, f)` or `(n, h, w, f)`.

    Args:
        part: a posterior; or a quantizer, whose codes are integers.
    """

    def build(self, input_shape):
        if not self.part.built:
            self.part.build(input_shape)
        self.built = True

    def call(self, features):
        found = self.part(features)
        return self.part.distribution(*found).center if isinstance(found, tuple) else found

    def compute_output_shape(self, input_shape):
        if hasattr(self.part, "num_codes"):
            return self.part.compute_output_shape(input_shape)
        return (*input_shape[:-1], self.part.latent_dim)

    def compute_output_spec(self, features):
        dtype = "int32" if hasattr(self.part, "num_codes") else "float32"
        return keras.KerasTensor(self.compute_output_shape(features.shape), dtype)


@register
class CodeVectors(_Wrapped):
    """The vectors of integer codes `(n, h, w)`.

    Args:
        part: one of `quantizers`.
    """

    def call(self, codes):
        return self.part.lookup(ops.cast(codes, "int32"))

    def compute_output_shape(self, input_shape):
        return self.part.vectors_shape(input_shape)

    def compute_output_spec(self, codes):
        return keras.KerasTensor(self.compute_output_shape(codes.shape), "float32")


@register
class DataMean(_Wrapped):
    """Means of p(x|z) in data space, from a decoder's outputs.

    Args:
        part: a likelihood.
    """

    def call(self, outputs):
        return self.part.mean(outputs)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.part.data_shape(tuple(input_shape[1:])))


@register
class ConditionVectors(_Wrapped):
    """Vectors `(n, c)` of conditions, as encoder and decoder see them.

    Args:
        part: one of `conditions`.
    """

    def call(self, y):
        return self.part.encode(y)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.part.dim)

    def compute_output_spec(self, y):
        return keras.KerasTensor(self.compute_output_shape(y.shape), "float32")
