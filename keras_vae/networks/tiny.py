"""The small convolutional networks of the tiny autoencoders (TAESD, Bohan 2023).

They were distilled from the large autoencoders of diffusion models. Layers have the names of
their weights in diffusers, as in `networks.kl`.
"""

from collections.abc import Sequence

import keras

from keras_vae import initializers, layers
from keras_vae.networks.kl import LAST, layer_name

# Of the normalisation in pooled blocks, see `tiny_encoder`.
_GROUPS, _EPSILON, _WIDER = 4, 1e-5, 4
# The decoder bounds codes smoothly to ±this.
_REACH = 3.0


def tiny_encoder(
    input_shape: Sequence[int | None],
    channels: Sequence[int],
    outputs: int,
    blocks: Sequence[int],
    activation: str = "relu",
    pooled: bool = False,
    seed: int | None = None,
) -> keras.Model:
    """Stages of residual blocks, each but the first behind a convolution of stride 2.

    Args:
        input_shape: `(height, width, channels)` of a picture in [0, 1]; None for any height
            or width.
        channels: of each stage, from the data inwards.
        outputs: channels of the codes.
        blocks: residual blocks of each stage.
        activation: inside the residual blocks, Keras' name.
        pooled: whether the blocks of the last stage, at the lowest resolution, begin with
            x + P(ReLU(group norm(E(x)))), E and P 1 × 1 convolutions to 4 times the
            channels and back. The statistics of the normalisation are over the whole picture.
        seed: int for the initial weights, or None.

    Returns:
        A functional `keras.Model` from `(n, height, width, channels)` to `(n, h, w, outputs)`.
    """
    make = _Layers(activation, seed)
    data = keras.Input(tuple(input_shape), name="data")
    x = data
    for i, (width, count) in enumerate(zip(channels, blocks, strict=True)):
        if i == 0:
            x = make.convolution(x, width)
        else:
            x = keras.layers.ZeroPadding2D(1, **LAST)(x)
            x = make.convolution(x, width, strides=2, padding="valid", use_bias=False)
        for _ in range(count):
            x = make.residual(x, width, pooled and i == len(channels) - 1)
    return keras.Model(data, make.convolution(x, outputs), name="encoder")


def tiny_decoder(
    code_shape: Sequence[int | None],
    channels: Sequence[int],
    outputs: int,
    blocks: Sequence[int],
    activation: str = "relu",
    scale: int = 2,
    pooled: bool = False,
    seed: int | None = None,
) -> keras.Model:
    """The reverse of `tiny_encoder`: from a map of codes to a picture in [0, 1].

    Args:
        code_shape: `(h, w, channels)` of a map of codes; None for any height or width.
        channels: of each stage, from the codes outwards; all but the last enlarge the map.
        outputs: channels of the pictures.
        blocks: residual blocks of each stage.
        activation: see `tiny_encoder`.
        scale: by how much a stage enlarges the map.
        pooled: whether the blocks of the first stage are pooled, see `tiny_encoder`.
        seed: int for the initial weights, or None.

    Returns:
        A functional `keras.Model` from `(n, h, w, d)` to `(n, height, width, outputs)`.
    """
    make = _Layers(activation, seed)
    codes = keras.Input(tuple(code_shape), name="code")
    # 3 tanh(x / 3) keeps codes in ±3.
    x = keras.layers.Rescaling(1.0 / _REACH, name="narrowed")(codes)
    x = keras.layers.Activation("tanh", name="bounded")(x)
    x = keras.layers.Rescaling(_REACH, name="widened")(x)
    x = make.activated(make.convolution(x, channels[0]))
    for i, (width, count) in enumerate(zip(channels, blocks, strict=True)):
        last = i == len(channels) - 1
        for _ in range(count):
            x = make.residual(x, width, pooled and i == 0)
        if not last:
            make.index += 1
            x = keras.layers.UpSampling2D(scale, **LAST)(x)
        x = make.convolution(x, outputs if last else width, use_bias=last)
    return keras.Model(codes, x, name="decoder")


class _Layers:
    """Layers that are numbered as diffusers' are, with initial weights of one seed."""

    def __init__(self, activation, seed):
        self.activation, self.index = activation, 0
        self.seeds = initializers.seeds(seed)

    def _named(self):
        name = f"layers.{self.index}"
        self.index += 1
        return name

    def convolution(self, x, channels, name=None, size=3, **options):
        return layers.Conv2D(
            channels,
            size,
            **{"padding": "same", **LAST, **options},
            kernel_initializer=initializers.GlorotUniform(next(self.seeds)),
            name=layer_name(name or self._named()),
        )(x)

    def activated(self, x):
        return keras.layers.Activation(self.activation, name=layer_name(self._named()))(x)

    def residual(self, x, channels, pooled):
        name = self._named()
        if pooled:
            x = self._pooled(x, channels, f"{name}.pool")
        change = x
        for i in (0, 2, 4):
            last = {} if i == 4 else {"activation": self.activation}
            change = self.convolution(change, channels, f"{name}.conv.{i}", **last)
        x = keras.layers.Add(name=layer_name(f"{name}.add"))([change, x])
        return keras.layers.Activation("relu", name=layer_name(f"{name}.fuse"))(x)

    def _pooled(self, x, channels, name):
        change = self.convolution(x, _WIDER * channels, f"{name}.0", 1, use_bias=False)
        change = layers.GroupNormalization(_GROUPS, epsilon=_EPSILON, name=layer_name(f"{name}.1"))(
            change
        )
        change = keras.layers.Activation("relu", name=layer_name(f"{name}.2"))(change)
        change = self.convolution(change, channels, f"{name}.3", 1, use_bias=False)
        return keras.layers.Add(name=layer_name(f"{name}.add"))([x, change])
