"""Noise of training steps, the same with and without XLA.

On TensorFlow the numbers that a seed gives depend on whether XLA compiled the program: both
draw the same bits, but convert them to floats in different ways. So the conversion is here.
"""

import math

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def normal(shape, seed):
    """Standard normal float32 numbers.

    Args:
        shape: of the tensor.
        seed: an int, a `keras.random.SeedGenerator`, or None for Keras' own.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.random.normal(shape, dtype="float32", seed=seed)
    # Box and Muller (1958).
    radius, angle = tf.unstack(uniform((2, *shape), seed))
    return tf.sqrt(-2.0 * tf.math.log(1.0 - radius)) * tf.cos(2.0 * math.pi * angle)


def uniform(shape, seed):
    """float32 numbers in [0, 1); see `normal`."""
    if keras.backend.backend() != "tensorflow" or seed is None:
        return keras.random.uniform(shape, dtype="float32", seed=seed)
    drawn = isinstance(seed, keras.random.SeedGenerator)
    state = seed.next() if drawn else tf.constant([seed, 0], "int64")
    # Keras converts its seeds to TensorFlow's in the same way.
    key = tf.cast(tf.math.floormod(state, tf.int32.max - 1), "int32")
    bits = tf.random.stateless_uniform(shape, key, None, None, "int32", alg="philox")
    # 23 random bits after the exponent of a float32 between 1 and 2.
    floats = tf.bitwise.bitwise_or(tf.bitwise.bitwise_and(bits, 0x7FFFFF), 0x3F800000)
    return tf.bitcast(floats, "float32") - 1.0
