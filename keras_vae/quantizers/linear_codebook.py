"""SimVQ: a frozen codebook behind a learned linear map."""

from typing import Any

from keras import ops

from keras_vae import _checks, initializers
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.quantizers import base


@register
class SimVQ(base.Quantizer):
    """The nearest of the vectors C W, with a frozen random C and a learned matrix W.

    Zhu et al., "Addressing Representation Collapse in Vector Quantized Models with One Linear
    Layer", 2024: each gradient moves all codes, so that none is left behind. The loss is
    ‖sg(z) - e‖², besides the commitment.

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
        self.built = True

    @property
    def vectors(self):
        """The codes' vectors `(num_codes, latent_dim)`, a tensor."""
        frozen = ops.convert_to_tensor(self.frozen)
        return ops.matmul(self.code_dim**-0.5 * frozen, ops.convert_to_tensor(self.kernel))

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
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "latent_dim": self.latent_dim,
            "code_dim": self.code_dim,
            "gradient": self.gradient,
            "seed": self.seed,
        }
