"""Augmentation of pictures that gradients pass, for both sides of a discriminator."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae._registry import register
from keras_vae.training import noise

POLICIES = ("brightness", "saturation", "contrast", "translation", "cutout")
COLOUR = POLICIES[:3]


@register
class DifferentiableAugmentation(keras.layers.Layer):
    """Random augmentation of real and generated pictures, differentiable in the pictures.

    Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020. The
    discriminator sees augmented pictures only, real and generated ones, and the generator's
    gradient passes the augmentation: with few pictures the discriminator cannot learn them by
    heart. Each picture has random amounts of its own.

    Args:
        policy: some of "brightness", "saturation", "contrast", "translation" and "cutout", in a
            tuple or as words that commas separate; "colour" (or "color") is the first three.
            They are applied in that order.
        data_range: `(low, high)` of the pictures. Brightness moves by up to a quarter of the
            range; what is cut out, and what a translation uncovers, becomes its middle.
        translation: largest shift, as a part of height and width.
        cutout: side of the square that is cut out, as a part of height and width.
        seed: an int or None.

    Call arguments: pictures `(n, h, w, c)`, or a list of several such batches of one shape,
    which get the same random amounts, row by row; and `training`. Without `training`
    the output is the input.

    Raises:
        ValueError: an unknown policy, or a number that is out of range.
    """

    def __init__(
        self,
        policy: str | Sequence[str] = ("colour", "translation", "cutout"),
        data_range: Sequence[float] = (0.0, 1.0),
        translation: float = 0.125,
        cutout: float = 0.5,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.policy = _policies(policy)
        low, high = (float(limit) for limit in data_range)
        if not low < high < np.inf:
            raise ValueError(
                "`data_range` must be (low, high), two finite numbers in that order. "
                f"Received: data_range={tuple(data_range)}"
            )
        self.data_range = (low, high)
        for name, value in (("translation", translation), ("cutout", cutout)):
            if not 0.0 <= value < 1.0:
                raise ValueError(
                    f"`{name}` is a part of height and width: at least 0 and below 1. "
                    f"Received: {name}={value!r}"
                )
        self.translation, self.cutout, self.seed = float(translation), float(cutout), seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, x, training=False):
        if not training:
            return x
        several = isinstance(x, (list, tuple))
        first = x[0] if several else x
        amounts = self.draw(ops.shape(first)[0], self.seed_generator)
        if several:
            return [self.augmented(pictures, amounts) for pictures in x]
        return self.augmented(x, amounts)

    def draw(self, n, seed):
        """Random amounts for n pictures: uniform numbers `(n, 1, 1, 7)` in [0, 1).

        Args:
            n: number of pictures, an int or an integer scalar.
            seed: an int or a `keras.random.SeedGenerator`.
        """
        return noise.uniform((n, 1, 1, 7), seed, rows=0)

    def augmented(self, x, amounts):
        """Pictures augmented by given amounts, without any further draw.

        Args:
            x: pictures `(n, h, w, c)`.
            amounts: `(n, 1, 1, 7)` as `draw` gives them: brightness, saturation, contrast,
                translation down and right, row and column of what is cut out.
        """
        amounts = ops.cast(amounts, x.dtype)
        drawn = [amounts[..., i : i + 1] for i in range(7)]
        low, high = self.data_range
        middle = 0.5 * (low + high)
        if "brightness" in self.policy:
            x = x + 0.5 * (high - low) * (drawn[0] - 0.5)
        if "saturation" in self.policy:
            grey = ops.mean(x, axis=-1, keepdims=True)
            x = grey + (x - grey) * (2.0 * drawn[1])
        if "contrast" in self.policy:
            mean = ops.mean(x, axis=(1, 2, 3), keepdims=True)
            x = mean + (x - mean) * (0.5 + drawn[2])
        if "translation" in self.policy:
            x = self._translated(x - middle, drawn[3], drawn[4]) + middle
        if "cutout" in self.policy:
            x = (x - middle) * self._mask(x, drawn[5], drawn[6]) + middle
        return x

    def _translated(self, x, down, right):
        height, width, channels = x.shape[1:]
        rows = _places(height) - _shift(down, height, self.translation)[:, :, 0]
        columns = _places(width) - _shift(right, width, self.translation)[:, :, 0]
        inside = ops.expand_dims(_inside(rows, height), 2) * ops.expand_dims(
            _inside(columns, width), 1
        )
        rows, columns = ops.clip(rows, 0, height - 1), ops.clip(columns, 0, width - 1)
        places = ops.expand_dims(rows, 2) * width + ops.expand_dims(columns, 1)
        places = ops.reshape(places, (-1, height * width, 1))
        flat = ops.reshape(x, (-1, height * width, channels))
        places = ops.broadcast_to(places, ops.shape(flat))
        moved = ops.reshape(
            ops.take_along_axis(flat, places, axis=1), (-1, height, width, channels)
        )
        return moved * ops.cast(ops.expand_dims(inside, -1), x.dtype)

    def _mask(self, x, row, column):
        """1 outside of a rectangle in each picture and 0 inside: `(n, h, w, 1)`."""
        sides = []
        for size, drawn in zip(x.shape[1:3], (row, column), strict=True):
            length = int(self.cutout * size + 0.5)
            # The centre is anywhere in the picture, so that a part may be outside.
            centre = ops.cast(ops.floor(drawn * (size + 1 - length % 2)), "int32")[:, :, 0, 0]
            start = centre - length // 2
            places = _places(size)
            sides.append(ops.logical_and(places >= start, places < start + length))
        inside = ops.logical_and(ops.expand_dims(sides[0], 2), ops.expand_dims(sides[1], 1))
        return 1.0 - ops.cast(ops.expand_dims(inside, -1), x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "policy": list(self.policy),
            "data_range": list(self.data_range),
            "translation": self.translation,
            "cutout": self.cutout,
            "seed": self.seed,
        }


def _policies(policy):
    """The names of a policy in the order in which they are applied."""
    words = policy.split(",") if isinstance(policy, str) else list(policy)
    words = [str(word).strip() for word in words]
    chosen = set()
    for word in words:
        names = COLOUR if word in ("colour", "color") else (word,)
        if not set(names) <= set(POLICIES):
            raise ValueError(
                f"`policy` must be some of {', '.join(POLICIES)}, or 'colour' for the first "
                f"three. Received: policy={policy!r}"
            )
        chosen.update(names)
    return tuple(name for name in POLICIES if name in chosen)


def _places(size):
    return ops.expand_dims(ops.arange(size, dtype="int32"), 0)


def _shift(drawn, size, part):
    """Whole pixels from -most to most, each as probable: `(n, 1, 1)` int32."""
    most = int(part * size + 0.5)
    return ops.cast(ops.floor(drawn[..., 0] * (2 * most + 1)), "int32") - most


def _inside(places, size):
    return ops.cast(ops.logical_and(places >= 0, places < size), "float32")
