"""Gradients on each backend, for tests that compare them."""

import keras
from keras import ops


def gradient(fn, value):
    """∂ fn(value) / ∂ value of a scalar function of one array, NumPy."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tensor = tf.convert_to_tensor(value)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            result = fn(tensor)
        found = tape.gradient(result, tensor)
    elif backend == "jax":
        import jax

        found = jax.grad(fn)(ops.convert_to_tensor(value))
    else:
        import torch

        tensor = ops.convert_to_tensor(value).detach().requires_grad_()
        (found,) = torch.autograd.grad(fn(tensor), tensor)
    return ops.convert_to_numpy(found)
