"""Directions of attributes in the latent space of an unconditional model."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae._registry import register
from keras_vae.conditions import Attributes


@register
class Directions(keras.layers.Layer):
    """One vector per attribute: the mean code with it minus the mean code without it.

    Larsen et al., "Autoencoding beyond Pixels using a Learned Similarity
    Metric", 2016. Attributes that are correlated in the data, such as lipstick and
    make-up, have similar directions.

    Args:
        latent_dim: number of latent dimensions d.
        names: names of the k attributes.
    """

    def __init__(self, latent_dim: int, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "name": "directions", **kwargs})
        self.latent_dim = latent_dim
        self.attributes = Attributes(len(names), names)
        self.vectors = self.add_weight(
            shape=(len(names), latent_dim), initializer="zeros", trainable=False, name="vectors"
        )
        self.built = True

    @property
    def names(self):
        """The attributes' names, a tuple."""
        return self.attributes.names

    def fit(self, codes, y):
        """Estimates the directions from codes and attributes.

        Args:
            codes: posterior means `(n, d)`.
            y: attributes of 0 and 1, `(n, k)`.

        Raises:
            ValueError: wrong shapes, or an attribute that all or none have.
        """
        codes, y = np.asarray(codes, "float64"), np.asarray(y) > 0.5
        shapes = (len(y), self.latent_dim), (len(codes), len(self.names))
        if (codes.shape, y.shape) != shapes:
            raise ValueError(
                f"Expected codes of shape (n, {self.latent_dim}) and attributes of shape "
                f"(n, {len(self.names)}). Received: {codes.shape} and {y.shape}"
            )
        count = y.sum(0)
        alike = [self.names[i] for i in np.flatnonzero((count == 0) | (count == len(y)))]
        if alike:
            raise ValueError(
                "A direction needs examples with the attribute and without it. "
                f"Received: none of one kind for {', '.join(alike)}"
            )
        with_it = y.T.astype("float64") @ codes / count[:, None]
        without = (~y).T.astype("float64") @ codes / (len(y) - count)[:, None]
        self.vectors.assign((with_it - without).astype("float32"))

    def vector(self, name):
        """The direction of an attribute, `(d,)` NumPy; an error suggests similar names."""
        return ops.convert_to_numpy(self.vectors)[self.attributes.index(name)]

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim, "names": self.names}
