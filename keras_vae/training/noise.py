"""Noise of training steps, the same with and without XLA, and on one process and several.

On TensorFlow the numbers that a seed gives depend on whether XLA compiled the program: both
draw the same bits, but convert them to floats in different ways. So the conversion is here.

Where several processes or devices share a batch, each draws the noise of the whole batch and
takes that of its own examples: else all would draw the same numbers. On JAX a step sees the
whole batch already.
"""

import functools
import math

import keras

from keras_vae.training import processes

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def normal(shape, seed, rows=None):
    """Standard normal float32 numbers.

    Args:
        shape: of the tensor.
        seed: an int, a `keras.random.SeedGenerator`, or None for Keras' own.
        rows: number of the axis along which the examples of a batch lie, or None.
    """
    return _of_own_rows(functools.partial(_normal, seed=seed), shape, rows)


def uniform(shape, seed, rows=None):
    """float32 numbers in [0, 1); see `normal`."""
    return _of_own_rows(functools.partial(_uniform, seed=seed), shape, rows)


def _of_own_rows(draw, shape, axis):
    part, parts = _part()
    if axis is None or parts == 1:
        return draw(shape)
    n = shape[axis]
    whole = draw((*shape[:axis], parts * n, *shape[axis + 1 :]))
    return whole[(slice(None),) * axis + (slice(part * n, (part + 1) * n),)]


def _part():
    """Which part of a batch a step sees, and of how many."""
    if keras.backend.backend() != "tensorflow":
        return processes.part
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 0, 1
    return context.replica_id_in_sync_group, context.num_replicas_in_sync


def _normal(shape, seed):
    if keras.backend.backend() != "tensorflow":
        return keras.random.normal(shape, dtype="float32", seed=seed)
    # Box and Muller (1958).
    radius, angle = tf.unstack(_uniform((2, *shape), seed))
    return tf.sqrt(-2.0 * tf.math.log(1.0 - radius)) * tf.cos(2.0 * math.pi * angle)


def _uniform(shape, seed):
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
