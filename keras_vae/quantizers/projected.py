"""A quantizer of other dimensions than the features'."""

from typing import Any

from keras import ops

from keras_vae import _checks, initializers
from keras_vae._registry import deserialize_parts, register, serialize_parts
from keras_vae._types import Tensor
from keras_vae.quantizers import base


@register
class Projected(base.Quantizer):
    """A quantizer between two linear maps: features down to its dimensions, vectors up again.

    Codes of few dimensions keep more of a large codebook in use (Yu et al., "Vector-quantized
    Image Modeling with Improved VQGAN", 2022); and it lets finite scalars and bits, whose
    dimensions are their codes, stand in wider networks. Both maps have a bias and are trained by
    the gradient.

    Args:
        quantizer: any other.
        latent_dim: dimensions d of the features.
        seed: int for the maps, the same on every backend; or None.

    Raises:
        ValueError: `latent_dim` is out of range, or no quantizer.

    Example:
        >>> quantizers.Projected(quantizers.VectorQuantizer(8192, 32, distance="cosine"), 256)
    """

    takes_residuals = False

    def __init__(
        self,
        quantizer: base.Quantizer,
        latent_dim: int,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        (self.quantizer,) = base.parts_of([quantizer], None, "quantizer")
        self.latent_dim = _checks.count(latent_dim, "latent_dim")
        self.seed = seed
        self.num_codes = self.quantizer.num_codes
        self.codes_per_position = self.quantizer.codes_per_position
        self.moves_trained_codes = self.quantizer.moves_trained_codes
        inner, seeds = self.quantizer.latent_dim, initializers.seeds(seed)

        def linear(width, height, name):
            start = initializers.GlorotUniform(next(seeds))
            kernel = self.add_weight(
                shape=(width, height), initializer=start, name=f"{name}_kernel"
            )
            return kernel, self.add_weight(
                shape=(height,), initializer="zeros", name=f"{name}_bias"
            )

        self.down_kernel, self.down_bias = linear(self.latent_dim, inner, "down")
        self.up_kernel, self.up_bias = linear(inner, self.latent_dim, "up")
        self.built = True

    def call(self, features, training=False):
        """Codes of the projected features."""
        return self.quantizer(self._down(features), training=training)

    def lookup(self, codes):
        """Vectors `(n, ..., d)` of codes, float32."""
        return self._up(self.quantizer.lookup(codes))

    def discretize(
        self, features: Tensor, training: bool = False, seed: Any = None
    ) -> base.Discretized:
        """See `Quantizer.discretize`; losses are those of the inner dimensions."""
        found = self.quantizer.discretize(self._down(features), training, seed)
        return found._replace(vectors=self._up(found.vectors))

    def adapt(self, record, seed, weights=None, pending=None, ended=1):
        self.quantizer.adapt(record, seed, weights, pending, ended)

    def pending_sums(self):
        return self.quantizer.pending_sums()

    def _down(self, features):
        kernel, bias = map(ops.convert_to_tensor, (self.down_kernel, self.down_bias))
        return ops.matmul(self._checked(features), kernel) + bias

    def _up(self, vectors):
        kernel, bias = map(ops.convert_to_tensor, (self.up_kernel, self.up_bias))
        return ops.matmul(vectors, kernel) + bias

    def get_config(self):
        return {
            **super().get_config(),
            "quantizer": serialize_parts([self.quantizer])[0],
            "latent_dim": self.latent_dim,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        (quantizer,) = deserialize_parts([config["quantizer"]])
        return cls(**{**config, "quantizer": quantizer})
