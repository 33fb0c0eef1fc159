"""Ready-made encoders and decoders."""

from keras_vae.networks.convolutional import conv_decoder, conv_encoder
from keras_vae.networks.dense import dense_decoder, dense_encoder
from keras_vae.networks.kl import kl_decoder, kl_encoder
from keras_vae.networks.maps import spatial_decoder, spatial_encoder
from keras_vae.networks.plain import FEATURES, NETWORKS, build, shape_of
from keras_vae.networks.recurrent import CELLS, recurrent_decoder, recurrent_encoder
from keras_vae.networks.stages import LAST, STAGES
from keras_vae.networks.tiny import tiny_decoder, tiny_encoder

__all__ = [
    "CELLS",
    "FEATURES",
    "LAST",
    "NETWORKS",
    "STAGES",
    "build",
    "conv_decoder",
    "conv_encoder",
    "dense_decoder",
    "dense_encoder",
    "kl_decoder",
    "kl_encoder",
    "recurrent_decoder",
    "recurrent_encoder",
    "shape_of",
    "spatial_decoder",
    "spatial_encoder",
    "tiny_decoder",
    "tiny_encoder",
]
