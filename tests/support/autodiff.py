"""Derivatives on the backend that runs: Keras has no common call for them."""

import keras
import numpy as np
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

        found = jax.jit(jax.grad(fn))(ops.convert_to_tensor(value))
    else:
        import torch

        tensor = ops.convert_to_tensor(value).detach().requires_grad_()
        (found,) = torch.autograd.grad(fn(tensor), tensor)
    return ops.convert_to_numpy(found)


def jacobian(function, x):
    """∂function(x)/∂x as NumPy, shape `(*output, *input)`."""
    x = keras.ops.convert_to_tensor(np.asarray(x, "float32"))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = function(x)
        found = tape.jacobian(y, x, experimental_use_pfor=False)
    elif keras.backend.backend() == "jax":
        import jax

        found = jax.jit(jax.jacobian(function))(x)
    else:
        import torch

        found = torch.autograd.functional.jacobian(function, x)
    return np.asarray(keras.ops.convert_to_numpy(found), "float64")
