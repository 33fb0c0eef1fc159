"""Posteriors whose codes are maps: one vector for each position of the features."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vae import distributions, initializers
from keras_vae._registry import register
from keras_vae.posteriors.base import Posterior

# Axes of one map: height, width, channels.
AXES = 3


class _Spatial(Posterior):
    """Base class: parameters are a 1 × 1 convolution of the features, or the features."""

    codes_are_maps = True

    def __init__(
        self, latent_dim: int, project: bool = True, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(latent_dim, seed, **kwargs)
        self.project = bool(project)
        self.projection: Any = None
        if project:
            # The name of its weights in diffusers.
            self.projection = keras.layers.Conv2D(
                self.num_parameters * self.latent_dim,
                1,
                data_format="channels_last",
                kernel_initializer=initializers.GlorotUniform(seed),
                dtype=self.dtype_policy,
                name="quant_conv",
            )

    def build(self, input_shape):
        wanted = self.num_parameters * self.latent_dim
        if len(input_shape) != 4 or (self.projection is None and input_shape[-1] != wanted):
            channels = "features" if self.project else wanted
            raise ValueError(
                f"{type(self).__name__}({self.latent_dim}, project={self.project}) takes maps "
                f"(n, height, width, {channels}): have the encoder end with such a map, and make "
                "a `models.SpatialVAE`; of vectors use `posteriors.DiagonalNormal`. "
                f"Received: shape {input_shape}"
            )
        if self.projection is not None:
            self.projection.build(input_shape)
        self.built = True

    def _projected(self, features):
        return (
            ops.cast(features, "float32") if self.projection is None else self.projection(features)
        )

    def get_config(self):
        return {**super().get_config(), "project": self.project}


@register
class SpatialNormal(_Spatial):
    """q(z|x) = N(mean, diag(exp(log_var))) of a map of codes.

    Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022.

    Args:
        latent_dim: channels d of a code.
        project: whether mean and log-variance are a 1 × 1 convolution of the features;
            otherwise the features are the means, then the log-variances.
        log_var_bounds: the log-variance is clipped to this range.
        seed: int for the initial weights, or None.

    Input shape: `(n, h, w, features)`. Output: `(mean, log_var)`, each `(n, h, w, d)`,
    float32 under every precision policy.

    Raises:
        ValueError: bounds that are no range; when built, features that are no maps or, without
            `project`, have another number of channels than 2d.
    """

    is_diagonal_normal = True
    num_parameters = 2

    def __init__(
        self,
        latent_dim: int,
        project: bool = True,
        log_var_bounds: Sequence[float] = (-30.0, 20.0),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_dim, project, seed, **kwargs)
        bounds = tuple(map(float, log_var_bounds))
        if len(bounds) != 2 or not -float("inf") < bounds[0] < bounds[1] < float("inf"):
            raise ValueError(
                "`log_var_bounds` must be (low, high), finite. "
                f"Received: log_var_bounds={log_var_bounds!r}"
            )
        self.log_var_bounds = bounds

    def call(self, features):
        mean, raw = ops.split(self._projected(features), 2, axis=-1)
        return mean, ops.clip(raw, *self.log_var_bounds)

    def distribution(self, mean, log_var):
        """The `Normal` with these parameters, whose events are maps."""
        return distributions.Normal(mean, log_var, event_ndim=AXES)

    def get_config(self):
        return {**super().get_config(), "log_var_bounds": self.log_var_bounds}


@register
class SpatialPoint(_Spatial):
    """A map of codes without noise, in place of q(z|x): the code of an autoencoder.

    Args:
        latent_dim: channels d of a code.
        project: whether the code is a 1 × 1 convolution of the features, or the features.
        seed: int for the initial weights, or None.

    Input shape: `(n, h, w, features)`. Output: `(mean,)`, `(n, h, w, d)`, float32.

    Raises:
        ValueError: when built, see `SpatialNormal`.
    """

    has_density = False

    def call(self, features):
        return (self._projected(features),)

    def distribution(self, mean):
        """The `distributions.Point` at this map."""
        return distributions.Point(mean, event_ndim=AXES)
