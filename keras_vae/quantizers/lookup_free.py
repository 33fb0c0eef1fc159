"""Lookup-free quantization: the sign of each dimension is one bit of the code."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.quantizers import base
from keras_vae.training import kernels

# Up to here the entropy of a batch is that of all codes; above it that of independent bits.
EXACT_BITS = 10
MOST_BITS = 24


@register
class LookupFree(base.Quantizer):
    """The sign of each dimension is one bit of the code.

    Yu et al., "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation", 2024
    (LFQ). With `spherical=True` features are divided by their length and vectors are
    ±1/√bits: Zhao, Xiong & Krähenbühl, "Image and Video Tokenization with Binary Spherical
    Quantization", 2024 (BSQ).

    An entropy keeps the codes in use: with q(c|z) ∝ exp(2 z·c / temperature), the loss at each
    position is `entropy` × (H[q(c|z)] - `diversity` × H[mean of q over the batch]). The first
    is exact, as the bits of a position are independent. The second is exact up to 10 bits;
    above, it is the sum of the entropies of the bits, its upper bound, as in BSQ.

    Args:
        bits: number of bits and of dimensions, at most 24.
        spherical: whether features and vectors are unit vectors.
        entropy: weight of the entropy loss, at least 0; nats.
        diversity: weight of the batch's entropy in it, at least 0.
        temperature: above 0.

    Attributes:
        num_codes: 2^bits.
        latent_dim: `bits`; see `Projected` for wider features.

    Input shape: `(n, ..., bits)`. Output: codes `(n, ...)`, int32; the first dimension is the
    highest bit.

    Raises:
        ValueError: a value is out of its range.
    """

    def __init__(
        self,
        bits: int,
        spherical: bool = False,
        entropy: float = 0.1,
        diversity: float = 1.0,
        temperature: float = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not _checks.is_integer(bits, 1, MOST_BITS):
            raise ValueError(
                f"`bits` must be an integer from 1 to {MOST_BITS}: more are several heads, "
                f"`quantizers.Heads`. Received: bits={bits!r}"
            )
        self.bits = self.latent_dim = int(bits)
        self.num_codes = 2**self.bits
        self.spherical = bool(spherical)
        self.entropy = _checks.at_least_0("entropy", entropy)
        self.diversity = _checks.at_least_0("diversity", diversity)
        self.temperature = _checks.positive("temperature", temperature)
        self._scale = 1.0 / math.sqrt(self.bits) if self.spherical else 1.0
        self._powers = 2 ** np.arange(self.bits - 1, -1, -1, dtype="int32")
        self.built = True

    def call(self, features, training=False):
        """Codes of the features' signs; 0 counts as negative."""
        positive = ops.cast(self._checked(features) > 0.0, "int32")
        return ops.sum(positive * ops.convert_to_tensor(self._powers), axis=-1)

    def lookup(self, codes):
        """Vectors `(n, ..., bits)` of codes `(n, ...)`: ±1, or ±1/√bits; float32."""
        codes = ops.expand_dims(ops.cast(codes, "int32"), -1)
        ones = ops.mod(ops.floor_divide(codes, ops.convert_to_tensor(self._powers)), 2)
        return self._scale * (2.0 * ops.cast(ones, "float32") - 1.0)

    def discretize(
        self, features: Tensor, training: bool = False, seed: Any = None
    ) -> base.Discretized:
        features = self._checked(features)
        codes = self(features, training=training)
        vectors = self.lookup(codes)
        if self.spherical:
            features = base.unit(features)
        commitment = base.squared_distance(features, vectors)
        own = ops.zeros_like(commitment)
        if self.entropy:
            own = self.entropy * self._entropies(features)
        return base.Discretized(base.straight_through(features, vectors), codes, commitment, own)

    def _entropies(self, features):
        """H[q(c|z)] - diversity × H[mean of q], summed over positions: `(n,)`, nats."""
        # Log-odds of the bits of q, which are independent of each other.
        odds = (4.0 * self._scale / self.temperature) * features
        each = ops.sum(_bit_entropy(odds), axis=-1)
        positions = math.prod(each.shape[1:])
        each = ops.sum(ops.reshape(each, (-1, positions)), axis=-1)
        if not self.diversity:
            return each
        rows = ops.reshape(odds, (-1, self.bits))
        if self.bits <= EXACT_BITS:
            signs = 0.5 / self._scale * self.lookup(np.arange(self.num_codes, dtype="int32"))
            shares = ops.softmax(ops.matmul(rows, ops.transpose(signs)), axis=-1)
            whole = _entropy(ops.mean(shares, axis=0))
        else:
            share = ops.mean(ops.sigmoid(rows), axis=0)
            whole = _entropy(share) + _entropy(1.0 - share)
        return each - self.diversity * positions * whole

    def get_config(self):
        return {
            **super().get_config(),
            "bits": self.bits,
            "spherical": self.spherical,
            "entropy": self.entropy,
            "diversity": self.diversity,
            "temperature": self.temperature,
        }


def _bit_entropy(odds):
    """Entropy of a bit with these log-odds, nats."""
    size = ops.abs(odds)
    return kernels.softplus(-size) + size * ops.sigmoid(-size)


def _entropy(shares):
    return -ops.sum(shares * ops.log(ops.maximum(shares, 1e-30)))
