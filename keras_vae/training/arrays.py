"""What each backend does faster than through Keras."""

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
elif keras.backend.backend() == "jax":
    import functools

    import jax
    import jax.numpy as jnp
elif keras.backend.backend() == "torch":
    import torch

# Whether `conv_transpose` is faster than Keras' own.
OWN_TRANSPOSED_CONVOLUTION = keras.backend.backend() in ("torch", "jax")


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
    """Transposed convolution of pictures `(n, h, w, c)`, less a border on each side.

    PyTorch: Keras' computes the border and cuts it off. JAX: a gradient of its own, because
    XLA's is many times slower on a CPU; the border is what "same" leaves away.
    """
    x, kernel = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(kernel)
    bias = None if bias is None else keras.ops.convert_to_tensor(bias)
    if keras.backend.backend() == "jax":
        outputs = _conv_transpose(x, kernel, tuple(strides))
        return outputs if bias is None else outputs + bias
    x, kernel = x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)
    outputs = torch.nn.functional.conv_transpose2d(x, kernel, bias, strides, border)
    return outputs.permute(0, 2, 3, 1)


if keras.backend.backend() == "jax":

    @functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
    def _conv_transpose(x, kernel, strides):
        return keras.ops.conv_transpose(x, kernel, strides, "same", data_format="channels_last")

    def _forward(x, kernel, strides):
        return _conv_transpose(x, kernel, strides), (x, kernel)

    def _backward(strides, saved, slope):
        """It is the gradient of a convolution by its input: both are that convolution's."""
        x, kernel = saved

        def convolved(kernel):
            return keras.ops.conv(slope, kernel, strides, "same", data_format="channels_last")

        by_x, by_kernel = jax.vjp(convolved, kernel)
        return by_x, *by_kernel(x)

    _conv_transpose.defvjp(_forward, _backward)
