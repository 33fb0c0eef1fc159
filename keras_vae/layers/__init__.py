"""Building blocks of encoders and decoders."""

from keras_vae.layers.augmentation import DifferentiableAugmentation
from keras_vae.layers.latents import Bottom, NormalOf, Sampling, bounded
from keras_vae.layers.maps import Conv2D, GroupNormalization, SpatialAttention
from keras_vae.layers.masked import MaskedConv2D
from keras_vae.layers.parts import Code, CodeVectors, ConditionVectors, DataMean
from keras_vae.layers.pictures import (
    Augment,
    Conv2DTranspose,
    DepthToSpace,
    FeatureModulation,
    SpaceToDepth,
)
from keras_vae.layers.series import Known

__all__ = [
    "Augment",
    "Bottom",
    "Code",
    "CodeVectors",
    "ConditionVectors",
    "Conv2D",
    "Conv2DTranspose",
    "DataMean",
    "DepthToSpace",
    "DifferentiableAugmentation",
    "FeatureModulation",
    "GroupNormalization",
    "Known",
    "MaskedConv2D",
    "NormalOf",
    "Sampling",
    "SpaceToDepth",
    "SpatialAttention",
    "bounded",
]
