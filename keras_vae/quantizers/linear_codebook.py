"""SimVQ: a frozen codebook behind a learned linear map."""

from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks, initializers
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.quantizers import base


@register
class SimVQ(base.Quantizer):
    """The nearest of the vectors s C W, with a frozen random C and a learned matrix W.

    Zhu et al., "Addressing Representation Collapse in Vector Quantized Models with One Linear
    Layer", 2024: each gradient moves all codes, so that none is left behind. The loss is
    ‖sg(z) - e‖², besides the commitment. The number s makes the codes as long as the features
    of the first batch in training: among much longer ones the shortest is the nearest to all.

    Args:
        num_codes: number of codes K.
        latent_dim: number of dimensions d of the features and vectors.
        code_dim: columns of C; `latent_dim` by default.
        gradient: "straight_through" or "rotation"; see `rotate`.
        seed: int for C and W, the same on every backend; or None.

    Input shape: `(n, ..., d)`. Output: codes `(n, ...)`, int32.

    Raises:
        ValueError: a value is out of its range, or unknown.
    """

    def __init__(
        self,
        num_codes: int,
        latent_dim: int,
        code_dim: int | None = None,
        gradient: str = "straight_through",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_codes = _checks.count(num_codes, "num_codes", 2)
        self.latent_dim = _checks.count(latent_dim, "latent_dim")
        width = self.latent_dim if code_dim is None else _checks.count(code_dim, "code_dim")
        self.code_dim = width
        self.gradient = base.one_of(gradient, "gradient", base.GRADIENTS)
        self.seed = seed
        seeds = initializers.seeds(seed)
        # Of length 1 on average, as the paper's.
        self.frozen = self.add_weight(
            shape=(self.num_codes, width),
            initializer=initializers.StandardNormal(next(seeds)),
            trainable=False,
            name="frozen",
        )
        self.kernel = self.add_weight(
            shape=(width, self.latent_dim),
            initializer=initializers.GlorotUniform(next(seeds)),
            name="kernel",
        )

        def state(name, start):
            return self.add_weight(shape=(), initializer=start, trainable=False, name=name)

        self.scale, self.started = state("scale", "ones"), state("started", "zeros")
        self.built = True

    @property
    def vectors(self):
        """The codes' vectors `(num_codes, latent_dim)`, a tensor."""
        # A copy: PyTorch's gradients need the value that `adapt` then overwrites.
        scale = ops.convert_to_tensor(self.scale) + 0.0
        kernel = scale * ops.convert_to_tensor(self.kernel)
        return ops.matmul(self.code_dim**-0.5 * ops.convert_to_tensor(self.frozen), kernel)

    def call(self, features, training=False):
        """The nearest codes."""
        features = self._checked(features)
        rows = ops.reshape(features, (-1, self.latent_dim))
        codes = base.nearest(rows, self.vectors, training)
        return ops.reshape(codes, (-1, *features.shape[1:-1]))

    def lookup(self, codes):
        """Vectors `(n, ..., d)` of codes `(n, ...)`, float32."""
        return ops.take(self.vectors, codes, axis=0)

    def discretize(
        self, features: Tensor, training: bool = False, seed: Any = None
    ) -> base.Discretized:
        features = self._checked(features)
        codes = self(features, training=training)
        vectors = self.lookup(codes)
        return base.Discretized(
            base.pass_gradient(self.gradient, features, vectors),
            codes,
            base.squared_distance(features, ops.stop_gradient(vectors)),
            base.squared_distance(ops.stop_gradient(features), vectors),
            ops.stop_gradient(features),
        )

    def adapt(self, record, seed, weights=None, pending=None, ended=1):
        if not self.trainable:
            return
        share = ops.ones_like(record[..., 0])
        if weights is not None:
            weights = ops.cast(weights, "float32")
            share = share * ops.reshape(weights, (-1,) + (1,) * (len(share.shape) - 1))
        length = ops.sum(share * ops.mean(ops.square(record), axis=-1)) / ops.sum(share)
        scale = self.scale * ops.sqrt(length / ops.mean(ops.square(self.vectors)))
        # Not of features that are all 0, or that count nothing.
        first = ops.logical_and(self.started < 1.0, ops.logical_and(scale > 0.0, scale < np.inf))
        self.scale.assign(ops.where(first, scale, ops.convert_to_tensor(self.scale)))
        self.started.assign(ops.where(first, 1.0, ops.convert_to_tensor(self.started)))

    def get_config(self):
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "latent_dim": self.latent_dim,
            "code_dim": self.code_dim,
            "gradient": self.gradient,
            "seed": self.seed,
        }
