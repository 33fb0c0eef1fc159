"""Building blocks of encoders and decoders."""

import keras
from keras import ops

from keras_vae import distributions

register = keras.saving.register_keras_serializable("keras_vae")


@register
class Sampling(keras.layers.Layer):
    """Reparameterised sample z = mean + exp(log_var / 2) · noise.

    For models that you wire yourself; `VAE` draws through its posterior.

    Args:
        seed: an int or None.

    Call arguments: `(mean, log_var)`, each `(n, d)`. Returns `(n, d)`.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        return distributions.Normal(*inputs).sample(1, self.seed_generator)[0]

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


class _Blocks(keras.layers.Layer):
    """A layer that trades resolution for channels in blocks of size × size."""

    def __init__(self, size=2, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@register
class SpaceToDepth(_Blocks):
    """Moves blocks of pixels into channels: `(n, h, w, c)` to `(n, h/s, w/s, s²c)`.

    Followed by an ordinary convolution it is a strided one (a k × k kernel
    covers the input of a sk × sk kernel of stride s). Gradients of strided and
    transposed convolutions are many times slower under XLA on a CPU; those of
    stride-1 convolutions are not. Shi et al. 2016.

    Args:
        size: side s of a block; it must divide the height and the width.
    """

    def call(self, x):
        n, h, w, c = self.compute_output_shape(x.shape)
        s = self.size
        x = ops.reshape(x, (-1, h, s, w, s, c // (s * s)))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, h, w, c))

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        s = self.size
        if h % s or w % s:
            raise ValueError(
                f"Height and width must be multiples of {s}: pad the images first. "
                f"Received: input shape {tuple(input_shape)}"
            )
        return n, h // s, w // s, c * s * s


@register
class DepthToSpace(_Blocks):
    """Inverse of `SpaceToDepth`: `(n, h, w, s²c)` to `(n, sh, sw, c)`.

    After an ordinary convolution it is a "sub-pixel" transposed convolution.

    Args:
        size: side s of a block; its square must divide the channels.
    """

    def call(self, x):
        n, h, w, c = x.shape
        s = self.size
        x = ops.reshape(x, (-1, h, w, s, s, c // (s * s)))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, h * s, w * s, c // (s * s)))

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        s = self.size
        if c % (s * s):
            raise ValueError(
                f"Channels must be a multiple of {s * s}. "
                f"Received: input shape {tuple(input_shape)}"
            )
        return n, h * s, w * s, c // (s * s)
