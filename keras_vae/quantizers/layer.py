"""A layer that quantizes inside any Keras model."""

from typing import Any

import keras
from keras import ops

from keras_vae import _checks
from keras_vae._registry import deserialize_parts, register, serialize_parts
from keras_vae.quantizers import base


@register
class Quantize(keras.layers.Layer):
    """A quantizer inside any Keras model: features in, the vectors of their codes out.

    `fit` trains it: its loss is added by `add_loss`, and running averages move at each training
    step. `layer.quantizer(features)` gives the codes, and `layer.quantizer.lookup(codes)` their
    vectors.

    Args:
        quantizer: any of this module.
        commitment: weight of ‖features - sg(vectors)‖², at least 0.
        seed: int for random choices of training, or None.

    Input shape: `(n, ..., d)`. Output: the same.

    Raises:
        ValueError: no quantizer, a negative `commitment`; or a codebook that is trained by
            gradients and revived, which a layer inside `fit` cannot do on JAX.

    Example:
        >>> x = keras.layers.Conv2D(4, 4, 4)(inputs)
        >>> x = quantizers.Quantize(quantizers.FiniteScalar([8, 5, 5, 5]))(x)
    """

    def __init__(
        self,
        quantizer: base.Quantizer,
        commitment: float = 0.25,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", "name": "quantize", **kwargs})
        (self.quantizer,) = base.parts_of([quantizer], None, "quantizer")
        if self.quantizer.moves_trained_codes:
            raise ValueError(
                "A codebook that gradients train stays where they put it in this layer: give "
                '`revive_after=None` and start="features", or codebook="ema". Received: '
                f"{type(quantizer).__name__} that moves trained codes"
            )
        self.commitment = _checks.at_least_0("commitment", commitment)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, features, training=False):
        """Vectors of the codes, with a gradient to the features."""
        found = self.quantizer.discretize(features, training, self.seed_generator)
        self.add_loss(ops.mean(found.loss(self.commitment)))
        if training:
            self.quantizer.adapt(found.record, self.seed_generator)
        return found.vectors

    def compute_output_spec(self, features, training=False):
        return keras.KerasTensor(features.shape, dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "quantizer": serialize_parts([self.quantizer])[0],
            "commitment": self.commitment,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        (quantizer,) = deserialize_parts([config["quantizer"]])
        return cls(**{**config, "quantizer": quantizer})
