"""What each backend does faster than through Keras."""

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
elif keras.backend.backend() == "jax":
    import jax.numpy as jnp
elif keras.backend.backend() == "torch":
    import torch

# Whether Keras computes more than asked for and cuts it off.
CROPS_TRANSPOSED_CONVOLUTIONS = keras.backend.backend() == "torch"


def argmax(x):
    """Where a row's largest number is, the first of equal ones; int32, over the last axis.

    Keras' own also tells -0.0 from 0.0, which takes TensorFlow and JAX three times as long.
    """
    if keras.backend.backend() == "tensorflow":
        return tf.argmax(x, axis=-1, output_type="int32")
    if keras.backend.backend() == "jax":
        return jnp.argmax(x, axis=-1).astype("int32")
    return torch.argmax(x, dim=-1).to(torch.int32)


def conv_transpose(x, kernel, bias, strides, border):
    """Transposed convolution of pictures `(n, h, w, c)`, less a border on each side; PyTorch."""
    x = keras.ops.convert_to_tensor(x).permute(0, 3, 1, 2)
    kernel = keras.ops.convert_to_tensor(kernel).permute(3, 2, 0, 1)
    bias = None if bias is None else keras.ops.convert_to_tensor(bias)
    outputs = torch.nn.functional.conv_transpose2d(x, kernel, bias, strides, border)
    return outputs.permute(0, 2, 3, 1)
