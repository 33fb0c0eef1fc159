"""Perceptual losses in place of a likelihood: MS-SSIM, and features of a network.

They are not densities of x: `log_prob` is minus the loss. Models that use them train,
encode and sample, but have no bound on log p(x).
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, similarity
from keras_vae._registry import register
from keras_vae.likelihoods.base import Likelihood


class PictureLoss(Likelihood):
    """Base class: pixels in [0, 1], which are the sigmoid of the decoder's outputs."""

    data_range = (0.0, 1.0)
    is_density = False
    takes_logits = True

    def best_log_prob(self, x):
        return np.zeros(len(x))

    def mean(self, outputs):
        return ops.sigmoid(ops.cast(outputs, "float32"))

    def log_prob(self, x, outputs, training=False):
        shape = tuple(x.shape[1:])
        samples = outputs.shape[0]
        means = ops.reshape(self.mean(outputs), (-1, *shape))
        return -ops.reshape(self.loss(x, means, samples), (samples, -1))

    def loss(self, x, means, samples):
        """The loss of each picture.

        Args:
            x: data `(n, ...)`.
            means: pictures `(samples · n, ...)`, sample by sample.
            samples: number of pictures per example.

        Returns:
            Tensor `(samples · n,)`.
        """
        raise NotImplementedError


@register
class MSSSIM(PictureLoss):
    """weight · (1 - MS-SSIM(x, x̂)), Snell et al. 2017. See `metrics.ms_ssim`.

    Args:
        weight: loss at MS-SSIM 0, in the unit of the KL. By default the number of values
            of a picture, so that it grows with the resolution as sums over pixels do.
        scales: 1 to 5; by default as many as fit the picture.

    Raises:
        ValueError: a weight that is not positive; while the loss is computed, pictures
            too small for the scales.
    """

    def __init__(
        self, weight: float | None = None, scales: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.weight = None if weight is None else _checks.positive("weight", weight)
        self.scales = scales

    def loss(self, x, means, samples):
        weight = math.prod(x.shape[1:]) if self.weight is None else self.weight
        x = ops.tile(x, (samples, 1, 1, 1))
        return weight * (1.0 - similarity.ms_ssim_tensors(x, means, scales=self.scales))

    def get_config(self):
        return {**super().get_config(), "weight": self.weight, "scales": self.scales}


@register
class Features(PictureLoss):
    """weight · Σ_l ‖Φ_l(x) - Φ_l(x̂)‖² / (2 · size of Φ_l), Hou et al. 2017.

    Φ_l are layers of a network, which is copied, frozen and saved with the model.

    Args:
        model: a functional Keras model from pictures in [0, 1], of the data's shape,
            such as a classifier. It is not changed.
        layers: names of layers of the model; its outputs by default.
        weight: β, above 0.

    Raises:
        TypeError: `model` is not a functional Keras model.
        ValueError: an unknown layer, or a weight that is not positive.
    """

    def __init__(
        self,
        model: keras.Model,
        layers: Sequence[str] | None = None,
        weight: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
            raise TypeError(
                f"`model` must be a functional Keras model. Received: {type(model).__name__}"
            )
        known = [layer.name for layer in model.layers]
        unknown = [name for name in layers or () if name not in known]
        if unknown or layers is not None and not len(layers):
            raise ValueError(
                f"`layers` must name layers of the model: {', '.join(known)}. "
                f"Received: layers={layers!r}"
            )
        self.weight = _checks.positive("weight", weight)
        self.layers_used = None if layers is None else list(layers)
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        if layers is not None:
            outputs = [copy.get_layer(name).output for name in layers]
            copy = keras.Model(copy.inputs, outputs, name=model.name)
        copy.trainable = False
        self.network = copy

    def features(self, x):
        """Φ_l of pictures, a list of float32 tensors."""
        outputs = self.network(x, training=False)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return [ops.cast(values, "float32") for values in outputs]

    def loss(self, x, means, samples):
        total = 0.0
        for target, features in zip(self.features(x), self.features(means), strict=True):
            target = ops.tile(target, (samples,) + (1,) * (len(target.shape) - 1))
            axes = tuple(range(1, len(target.shape)))
            total = total + 0.5 * ops.mean(ops.square(target - features), axis=axes)
        return self.weight * total

    def get_config(self):
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.network),
            "layers": self.layers_used,
            "weight": self.weight,
        }

    @classmethod
    def from_config(cls, config):
        model = keras.saving.deserialize_keras_object(config["model"])
        return cls(**{**config, "model": model})
