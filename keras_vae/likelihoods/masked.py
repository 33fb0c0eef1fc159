"""Binary pictures whose pixels depend on each other: a local autoregressive likelihood."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, distributions, initializers, layers
from keras_vae._registry import register
from keras_vae.likelihoods.base import Likelihood
from keras_vae.likelihoods.pixelwise import Bernoulli

_FIRST = 5
# Pictures per compiled call of a draw.
_DRAWN_TOGETHER = 256


class _Block(layers.MaskedConv2D):
    """x + masked 3 × 3 convolution of silu(x)."""

    def call(self, x):
        return x + super().call(ops.silu(x))


@register
class MaskedConvolutions(Bernoulli):
    """Binary pixels given z and the pixels before: log p(x|z) = Σ_i log p(x_i | f_i(z), x_<i).

    Chen et al., "Variational Lossy Autoencoder", 2017; Gulrajani et al., "PixelVAE", 2017: the
    likelihood knows strokes by the pixels around, so that the code need not hold them. The order
    is row by row, from left to right. Masked convolutions (van den Oord et al., "Pixel Recurrent
    Neural Networks", 2016) read the pixels before: one of 5 × 5 pixels, then residual blocks of
    3 × 3. The decoder ends in a map f(z) of `features` numbers per pixel, without an activation,
    which is added to what the blocks have read. The blocks before that see the picture alone, and
    run once for all codes of an example; those after it see picture and code together.

    `log_prob` is exact. `sample_outputs`, and `sample(n, noise=True)` of a model, draw one pixel
    after the other. E[x|z] has no closed form: it is a sum over all pictures. `mean`, and so
    `decode` and `reconstruct`, is the estimate of a head of its own: a 3 × 3 and a 1 × 1
    convolution of the features alone. While the model is trained, the head learns the probability
    of each pixel given z by its cross-entropy with the data. Its gradient stops at the features:
    log p(x|z) and what encoder and decoder learn are the same without it. Means are smoother than
    draws. Files of `export` give means: their graphs have no loop over pixels.

    Args:
        features: channels of the decoder's output.
        width: channels of the masked convolutions.
        before: residual blocks before the features come in.
        after: residual blocks after that.
        dynamic: see `Bernoulli`.
        seed: int for the initial weights, the same on every backend; or None.

    Raises:
        ValueError: a number that is out of range; in a model, data that are no pictures of one
            channel, or a decoder of other features.
    """

    needs_outputs = in_order = True
    takes = "features, any real numbers, and makes logits of them and of the pixels before"

    def __init__(
        self,
        features: int = 16,
        width: int = 32,
        before: int = 0,
        after: int = 4,
        dynamic: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dynamic, **{"dtype": keras.config.dtype_policy(), **kwargs})
        self.features, self.width = (
            _checks.count(features, "features"),
            _checks.count(width, "width"),
        )
        self.before, self.after = (
            _checks.count(before, "before", 0),
            _checks.count(after, "after", 0),
        )
        self.seed = seed
        self.per_value = self.features
        seeds, policy = initializers.seeds(seed), self.dtype_policy

        def glorot():
            return initializers.GlorotUniform(next(seeds))

        self.first = layers.MaskedConv2D(
            width, _FIRST, own=False, seed=next(seeds), dtype=policy, name="first"
        )
        self.first.build((None, None, None, 1))
        self.join = _pointwise(features, width, glorot(), policy, "join")
        self.residual = [
            _Block(width, 3, seed=next(seeds), dtype=policy, name=f"block_{i}")
            for i in range(before + after)
        ]
        for block in self.residual:
            block.build((None, None, None, width))
        self.head = [
            _pointwise(width, width, glorot(), policy, "hidden"),
            _pointwise(width, 1, glorot(), policy, "logit"),
        ]
        self.picture = [
            layers.Conv2D(
                features,
                3,
                padding="same",
                activation="silu",
                data_format="channels_last",
                kernel_initializer=glorot(),
                dtype=policy,
                name="picture",
            ),
            _pointwise(features, 1, glorot(), policy, "picture_logit"),
        ]
        self.picture[0].build((None, None, None, features))

    def data_shape(self, output_shape):
        shape = tuple(output_shape)
        if len(shape) != 3 or shape[-1] != self.features:
            raise ValueError(
                f"MaskedConvolutions takes a map of features (height, width, {self.features}) and "
                "gives pictures of one channel: end the decoder with a convolution of "
                f"{self.features} channels, or set `features`. Of data without rows and columns, "
                "or of more channels, take 'bernoulli'. "
                f"Received: outputs of shape {shape}"
            )
        return (*shape[:-1], 1)

    def logits(self, x, outputs):
        """Logits of p(x_i = 1 | f_i(z), x_<i).

        Args:
            x: pictures `(n, h, w, 1)`.
            outputs: of the decoder `(k, n, h, w, features)`.

        Returns:
            `(k, n, h, w, 1)`, float32.
        """
        shape = ops.shape(outputs)
        h = self.first(x)
        for block in self.residual[: self.before]:
            h = block(h)
        h = ops.reshape(h + self.join(outputs), (-1, *shape[2:-1], self.width))
        for block in self.residual[self.before :]:
            h = block(h)
        return ops.reshape(self._read(h), (*shape[:-1], 1))

    def _read(self, h):
        for layer in self.head:
            h = layer(ops.silu(h))
        return ops.cast(h, "float32")

    def log_prob(self, x, outputs, training=False):
        total = _summed(x, self.logits(x, outputs))
        if training:
            # Its value is 0 and its gradient that of the head of `mean`.
            own = _summed(x, self._mean_logits(ops.stop_gradient(outputs)))
            total = total + own - ops.stop_gradient(own)
        return total

    def log_prob_each(self, x, outputs, training=False):
        raise ValueError(
            "Pixels of this likelihood are not independent: call `log_prob`, whose sum over the "
            "pixels is exact. Received: a call of `log_prob_each`"
        )

    def _mean_logits(self, outputs):
        shape = ops.shape(outputs)
        h = ops.reshape(outputs, (-1, *shape[-3:-1], self.features))
        for layer in self.picture:
            h = layer(h)
        return ops.reshape(ops.cast(h, "float32"), (*shape[:-1], 1))

    def mean(self, outputs):
        """The probability of each pixel given z alone, as a head of its own has learned it.

        Args:
            outputs: `(..., h, w, features)`.

        Returns:
            `(..., h, w, 1)`, float32.
        """
        return ops.sigmoid(self._mean_logits(outputs))

    def sample(self, mean, rng):
        return Likelihood.sample(self, mean, rng)

    def sample_outputs(self, outputs, rng, row=None):
        """Draws pixel by pixel, with NumPy's uniform noise: the same on every backend.

        A row reads what the convolutions have kept of the rows before, and a pixel what they
        have kept of those to its left: a picture costs about as much as one pass.

        Args:
            outputs: of the decoder, a NumPy array `(n, h, w, features)`.
            rng: a `numpy.random.Generator`.
            row: the method `row`, compiled; without it each row is drawn eagerly.

        Returns:
            NumPy array `(n, h, w, 1)`, float32, of 0 and 1.

        Raises:
            ValueError: outputs of another shape.
        """
        outputs = np.asarray(outputs, "float32")
        n, *shape = outputs.shape
        noise = rng.random((n, *self.data_shape(shape)[:-1]), dtype="float32")
        row, drawn = row or self.row, []
        # Few are padded to a power of two, so that few shapes are compiled.
        size = min(_DRAWN_TOGETHER, 1 << (n - 1).bit_length())
        for start in range(0, n, size):
            part, own = outputs[start : start + size], noise[start : start + size]
            missing = size - len(part)
            part, own = (np.pad(a, ((0, missing),) + ((0, 0),) * (a.ndim - 1)) for a in (part, own))
            seen = [
                np.zeros((size, layer.side, shape[1], layer.kernel.shape[1]), "float32")
                for layer in (self.first, *self.residual)
            ]
            rows = []
            for i in range(shape[0]):
                seen = row(part[:, i], own[:, i], *seen)
                rows.append(ops.convert_to_numpy(seen[0])[: size - missing, -1])
            drawn.append(np.stack(rows, axis=1))
        return np.concatenate(drawn)

    def row(self, outputs, noise, *seen):
        """Draws one row.

        Args:
            outputs: of the decoder for the row, `(n, w, features)`.
            noise: uniform in [0, 1), `(n, w)`.
            *seen: for each masked convolution what it has read in the last rows,
                `(n, rows, w, c)`; first are the pixels.

        Returns:
            Tuple of the same with this row as the last.
        """
        masked = (self.first, *self.residual)
        above = [layer.above(rows) for layer, rows in zip(masked, seen, strict=True)]
        joined = ops.cast(self.join(outputs), "float32")
        by_column = [
            ops.transpose(ops.convert_to_tensor(a), (1, 0, 2))
            for a in (*above, joined, ops.expand_dims(noise, -1))
        ]
        left = tuple(ops.zeros_like(rows[:, :, 0]) for rows in map(ops.convert_to_tensor, seen))
        _, read = ops.scan(self._pixel, left, tuple(by_column))
        new = [ops.transpose(values[:, :, -1:], (1, 2, 0, 3)) for values in read]
        return tuple(
            ops.concatenate([rows[:, 1:], last], axis=1)
            for rows, last in zip(seen, new, strict=True)
        )

    def _pixel(self, left, column):
        """Draws one pixel; `left` is what each convolution has read to its left."""
        above, joined, noise = column[:-2], column[-2], column[-1]
        h, kept = above[0] + self.first.along(left[0]), []
        for i, block in enumerate(self.residual):
            h = h + joined if i == self.before else h
            read = ops.concatenate([left[i + 1], ops.expand_dims(ops.silu(h), 1)], axis=1)
            h = h + above[i + 1] + block.along(read)
            kept.append(read[:, 1:])
        h = h if self.after else h + joined
        x = ops.cast(noise < ops.sigmoid(self._read(h)), "float32")
        left = (ops.concatenate([left[0][:, 1:], ops.expand_dims(x, 1)], axis=1), *kept)
        return left, left

    def get_config(self):
        own = ("features", "width", "before", "after", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _pointwise(inputs, width, initializer, policy, name):
    """A linear map of each pixel's features."""
    layer = keras.layers.Dense(width, kernel_initializer=initializer, dtype=policy, name=name)
    layer.build((None, inputs))
    return layer


def _summed(x, logits):
    """log p of pixels `(n, h, w, 1)` under logits `(k, n, h, w, 1)`, summed: `(k, n)`."""
    each = distributions.Bernoulli(logits).log_prob_each(ops.cast(x, "float32"))
    return ops.sum(each, axis=(2, 3, 4))
