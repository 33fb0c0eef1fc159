"""What all quantizers share: their interface, gradients, and how codes are laid out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae._registry import deserialize_parts, serialize_parts
from keras_vae._types import Tensor
from keras_vae.training import kernels

GRADIENTS = ("straight_through", "rotation")
# Codes are int32, and histograms have one number per code.
MOST_CODES = 2**24
SMALL = 1e-6


class Discretized(NamedTuple):
    """What `Quantizer.discretize` gives. n examples, d dimensions of features.

    Attributes:
        vectors: vectors of the codes, `(n, ..., d)`, float32, with a gradient to the features.
        codes: `(n, ...)`, int32.
        commitment_loss: ‖features - vectors‖² with a gradient to the features only, summed
            over positions and dimensions, `(n,)`.
        codebook_loss: the quantizer's other losses (of learned codes, of an entropy), `(n,)`.
        record: what `Quantizer.adapt` needs of this batch; nested tuples of tensors.
    """

    vectors: Tensor
    codes: Tensor
    commitment_loss: Tensor
    codebook_loss: Tensor
    record: Any = ()

    def loss(self, commitment: float = 0.25) -> Tensor:
        """commitment × `commitment_loss` + `codebook_loss`, `(n,)`."""
        return commitment * self.commitment_loss + self.codebook_loss


class Quantizer(keras.layers.Layer):
    """Base class: from features `(n, ..., d)` to integer codes, and back to vectors.

    A subclass sets `num_codes`, `latent_dim` and, with several codes per position,
    `codes_per_position`; it has `call` and `lookup`, and where the defaults do not fit
    `discretize`, `adapt` and `pending_sums`. Codes of several codebooks lie beside each other
    along the last axis: features `(n, h, w, d)` have codes `(n, h, w * q)`, the q codes of a
    position in a row.

    Attributes:
        num_codes: number of codes K; a code is from 0 to K - 1.
        latent_dim: dimensions d of the features and of the vectors.
        codes_per_position: q.
        moves_trained_codes: whether `adapt` assigns to variables that gradients train.
        takes_residuals: whether it may be a stage of `Residual`.
        gradient: how the gradient passes the choice of a code; see `pass_gradient`.
    """

    num_codes: int
    latent_dim: int
    codes_per_position = 1
    moves_trained_codes = False
    takes_residuals = True
    gradient = "straight_through"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "name": "quantizer", **kwargs})

    def call(self, features, training=False):
        """Codes `(n, ...)`, int32, of features `(n, ..., d)`."""
        raise NotImplementedError

    def lookup(self, codes):
        """Vectors `(n, ..., d)` of codes `(n, ...)`, float32."""
        raise NotImplementedError

    def discretize(self, features: Tensor, training: bool = False, seed: Any = None) -> Discretized:
        """Codes, their vectors with a gradient, and losses.

        For a training loop of one's own: decode `vectors`, add the mean of `loss()`, and call
        `adapt(record, seed)` after the gradient step. `Quantize` does that inside `fit`.

        Args:
            features: `(n, ..., d)`.
            training: whether random choices are made.
            seed: a `SeedGenerator` for these, or None for Keras' own.

        Returns:
            `Discretized`.

        Raises:
            ValueError: features of another shape.
        """
        features = self._checked(features)
        codes = self(features, training=training)
        vectors = self.lookup(codes)
        distance = squared_distance(features, ops.stop_gradient(vectors))
        passed = pass_gradient(self.gradient, features, vectors)
        return Discretized(passed, codes, distance, ops.zeros_like(distance))

    def adapt(self, record, seed, weights=None, pending=None, ended=1):
        """Updates what no gradient trains, after a training step; nothing by default.

        Args:
            record: of what `discretize` gave.
            seed: a `SeedGenerator`.
            weights: `(n,)`, weights of the examples, or None.
            pending: what `pending_sums` gave; None where each batch is a step.
            ended: 1 where the batch ends a step, else 0; a scalar.
        """

    def pending_sums(self):
        """Variables in which `adapt` sums up over the batches of one step, in nested tuples."""
        return ()

    def histogram(self, codes, weights=None):
        """Counts of the codes: `(num_codes,)`, or `(q, num_codes)` with q per position; float32.

        Args:
            codes: `(n, ...)`.
            weights: `(n,)`, weights of the examples; 1 by default.
        """
        counted, q = self._counted(codes, weights), self.codes_per_position
        if q == 1:
            return self._summed(counted, codes)
        each = self._apart(codes) + self.num_codes * ops.arange(q, dtype="int32")
        counts = ops.segment_sum(counted, ops.reshape(each, (-1,)), num_segments=q * self.num_codes)
        return ops.reshape(counts, (q, self.num_codes))

    def perplexity(self, codes: Tensor) -> Tensor:
        """exp(entropy) of the codes' frequencies; the mean over several codebooks; a scalar."""
        return ops.mean(perplexity(self.histogram(codes)))

    def usage(self, codes: Tensor) -> Tensor:
        """The share of the codes that occur, from 0 to 1; a scalar."""
        return ops.mean(ops.cast(self.histogram(codes) > 0, "float32"))

    def code_map_shape(self, feature_map_shape: Sequence[Any]) -> tuple[Any, ...]:
        """Shape of the codes of features `(*feature_map_shape, d)`, without the batch axis."""
        if self.codes_per_position == 1:
            return tuple(feature_map_shape)
        if not feature_map_shape:
            self._refuse_rows(("n", self.latent_dim))
        *others, last = feature_map_shape
        return (*others, None if last is None else last * self.codes_per_position)

    def feature_map_shape(self, code_map_shape: Sequence[Any]) -> tuple[Any, ...]:
        """Inverse of `code_map_shape`.

        Raises:
            ValueError: the last axis is no multiple of `codes_per_position`.
        """
        if self.codes_per_position == 1:
            return tuple(code_map_shape)
        *others, last = code_map_shape
        if last is not None and last % self.codes_per_position:
            shape = ", ".join(map(str, code_map_shape))
            raise ValueError(
                f"The last axis of the codes must be a multiple of {self.codes_per_position}, the "
                f"codes per position. Received: codes of shape (n, {shape})"
            )
        return (*others, None if last is None else last // self.codes_per_position)

    def vectors_shape(self, codes_shape: Sequence[Any]) -> tuple[Any, ...]:
        """Shape of `lookup`'s result, batch axis included."""
        return (codes_shape[0], *self.feature_map_shape(codes_shape[1:]), self.latent_dim)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.code_map_shape(tuple(input_shape[1:-1])))

    def compute_output_spec(self, features, training=False):
        return keras.KerasTensor(self.compute_output_shape(features.shape), dtype="int32")

    def _checked(self, features):
        """Features as float32, of a shape that fits."""
        features = ops.cast(features, "float32")
        shape = features.shape
        if len(shape) < 2 or shape[-1] != self.latent_dim:
            raise ValueError(
                f"`features` must have shape (n, ..., {self.latent_dim}), channels last. "
                f"Received: shape {tuple(shape)}"
            )
        if len(shape) < 3 and self.codes_per_position > 1:
            self._refuse_rows(tuple(shape))
        return features

    def _refuse_rows(self, shape):
        raise ValueError(
            "Several codes per position lie along the last axis of positions: give features an "
            f"axis of one position, `features[:, None]`. Received: shape {shape}"
        )

    def _apart(self, codes):
        """Codes `(n, ..., w, q)` of codes `(n, ..., w * q)`."""
        shape = self.feature_map_shape(tuple(codes.shape[1:]))
        return ops.reshape(codes, (-1, *shape, self.codes_per_position))

    def _beside(self, codes):
        """Codes `(n, ..., w * q)` of a list of codes `(n, ..., w, q_i)`."""
        codes = ops.concatenate(codes, axis=-1)
        *others, width, q = codes.shape[1:]
        return ops.reshape(codes, (-1, *others, width * q))

    def _counted(self, codes, weights):
        """Weights of the positions: `(positions,)`."""
        ones = ops.ones_like(codes, dtype="float32")
        if weights is not None:
            weights = ops.cast(weights, "float32")
            ones = ones * ops.reshape(weights, (-1,) + (1,) * (len(codes.shape) - 1))
        return ops.reshape(ones, (-1,))

    def _summed(self, values, codes):
        return ops.segment_sum(values, ops.reshape(codes, (-1,)), num_segments=self.num_codes)


class Composed(Quantizer):
    """A quantizer made of others, its `parts`, whose codes lie beside each other."""

    def _take(self, parts):
        """Keeps the parts, which must have equally many codes."""
        numbers = [part.num_codes for part in parts]
        if len(set(numbers)) != 1:
            raise ValueError(
                "The quantizers must have equally many codes, as one prior models them all. "
                f"Received: num_codes of {numbers}"
            )
        self.parts = list(parts)
        self.num_codes = numbers[0]
        self.codes_per_position = sum(part.codes_per_position for part in parts)
        self.moves_trained_codes = any(part.moves_trained_codes for part in parts)
        self.takes_residuals = all(part.takes_residuals for part in parts)
        self.built = True

    def _codes_of_parts(self, codes):
        """The codes of each part, as it gave them."""
        places = np.cumsum([part.codes_per_position for part in self.parts])[:-1]
        split = ops.split(self._apart(codes), [int(p) for p in places], axis=-1)
        return [part._beside([c]) for part, c in zip(self.parts, split, strict=True)]

    def _laid_out(self, codes):
        """One map of the codes of the parts."""
        return self._beside([part._apart(c) for part, c in zip(self.parts, codes, strict=True)])

    def pending_sums(self):
        return tuple(part.pending_sums() for part in self.parts)

    def _pending_of_parts(self, pending):
        return [None] * len(self.parts) if pending is None else pending

    def get_config(self):
        return {**super().get_config(), "quantizers": serialize_parts(self.parts)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "quantizers": deserialize_parts(config["quantizers"])})


def parts_of(quantizers, count, name):
    """A list of quantizers: as given, or `count` copies of one with seeds of their own.

    Raises:
        ValueError: no quantizers, or a count that does not fit.
    """
    if isinstance(quantizers, keras.layers.Layer):
        count = _checks.count(count, name)
        return [quantizers, *(copy(quantizers, i) for i in range(1, count))]
    quantizers = list(quantizers) if isinstance(quantizers, (list, tuple)) else [quantizers]
    if not quantizers or not all(hasattr(q, "discretize") for q in quantizers):
        raise ValueError(
            "`quantizers` must be one quantizer or a list of them, such as "
            f"`quantizers.VectorQuantizer(512, 64)`. Received: quantizers={quantizers!r}"
        )
    if count not in (None, len(quantizers)):
        raise ValueError(
            f"`{name}` must be left out with a list of quantizers. "
            f"Received: {name}={count!r} and {len(quantizers)} quantizers"
        )
    return quantizers


def copy(quantizer: Quantizer, index: int) -> Quantizer:
    """A fresh quantizer of the same configuration, whose seeds follow from the index."""

    def reseeded(value):
        if isinstance(value, dict):
            return {
                k: _next_seed(v, index) if k == "seed" else reseeded(v) for k, v in value.items()
            }
        return [reseeded(v) for v in value] if isinstance(value, list) else value

    return type(quantizer).from_config(reseeded(quantizer.get_config()))


def _next_seed(seed, index):
    if not _checks.is_integer(seed, 0):
        return seed
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def perplexity(counts: Tensor) -> Tensor:
    """exp(entropy) of the frequencies of the codes, from 1 to the number of codes.

    Args:
        counts: `(..., num_codes)`, not all 0 along the last axis.

    Returns:
        `(...)`, float32: a scalar of the counts of one codebook.
    """
    counts = ops.cast(counts, "float32")
    share = counts / ops.sum(counts, axis=-1, keepdims=True)
    return ops.exp(-ops.sum(share * ops.log(ops.maximum(share, 1e-30)), axis=-1))


def straight_through(features: Tensor, vectors: Tensor) -> Tensor:
    """The vectors, with the gradient of the features.

    van den Oord et al. 2017: the gradient at the decoder's input is copied to the
    encoder's output.
    """
    return features + ops.stop_gradient(vectors - features)


def rotate(features: Tensor, vectors: Tensor) -> Tensor:
    """The vectors as a rotated and scaled copy of the features, which have the gradient.

    Fifty et al., "Restructuring Vector Quantization with the Rotation Trick", 2025: e is
    (‖q‖ / ‖z‖) R z, with R the rotation from z to its vector q in the plane of both, and only
    z has a gradient. The angle between a gradient and z becomes that between the gradient
    and q.

    Args:
        features, vectors: `(..., d)`.

    Returns:
        `(..., d)`, equal to the vectors.
    """
    z, q = ops.stop_gradient(features), ops.stop_gradient(vectors)
    length = ops.sqrt(ops.sum(ops.square(z), axis=-1, keepdims=True))
    wanted = ops.sqrt(ops.sum(ops.square(q), axis=-1, keepdims=True))
    from_, to = z / ops.maximum(length, SMALL), q / ops.maximum(wanted, SMALL)
    middle = unit(from_ + to)

    def along(direction):
        return ops.sum(features * direction, axis=-1, keepdims=True)

    turned = features - 2.0 * along(middle) * middle + 2.0 * along(from_) * to
    turned = turned * (wanted / ops.maximum(length, SMALL))
    # Exactly the vectors: of the rotation only the gradient.
    return turned + ops.stop_gradient(vectors - turned)


def pass_gradient(how: str, features: Tensor, vectors: Tensor) -> Tensor:
    """The vectors with a gradient to the features: `straight_through` or `rotate`.

    Args:
        how: one of `GRADIENTS`.
        features, vectors: `(..., d)`.
    """
    return {"straight_through": straight_through, "rotation": rotate}[how](features, vectors)


def unit(vectors):
    """Vectors divided by their length; those shorter than 1e-6 by that."""
    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    return vectors * ops.rsqrt(ops.maximum(squares, SMALL**2))


def squared_distance(a, b):
    """‖a - b‖² of each example, summed over positions and dimensions: `(n,)`."""
    return ops.sum(ops.square(a - b), axis=tuple(range(1, len(a.shape))))


def nearest(rows, vectors, training=False):
    """Indices `(positions,)` of the nearest vectors, int32.

    Args:
        rows: `(positions, d)`.
        vectors: `(K, d)`.
        training: take the way that is fast, not the one that exports well.
    """
    # ‖z - e‖² without ‖z‖², which is the same for all codes. Relative to the centre of
    # the codes the remaining terms are small, and so are their rounding errors.
    centre = ops.mean(vectors, axis=0, keepdims=True)
    rows, vectors = rows - centre, vectors - centre
    half = 0.5 * ops.sum(ops.square(vectors), axis=-1)
    return most(ops.matmul(rows, ops.transpose(vectors)) - half, training)


def most(nearness, training=False):
    """The index of the largest number of each row, int32."""
    if training:
        return kernels.argmax(nearness)
    # Slower than argmax; but `export` would quantize the argument of ArgMax to 8 bits.
    return ops.cast(ops.top_k(nearness, 1)[1], "int32")


def one_of(value, name, values):
    """A word out of several."""
    if value not in values:
        raise ValueError(f"`{name}` must be one of {values}. Received: {name}={value!r}")
    return value
