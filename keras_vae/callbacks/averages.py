"""Averaged weights, swapped in and out without rounding."""

import keras
import numpy as np

from keras_vae.training import keras_private


class SwapAverages(keras_private.SwapHook):
    """Keras' `SwapEMAWeights`, with weights that afterwards are the same to the bit.

    Keras 3.15 swaps by additions on TensorFlow, which round, and through an array that
    shares its memory with the weights on PyTorch, which loses them. Training that is
    interrupted could not go on to the same result.
    """

    def swap(self, optimizer):
        for variable, average in keras_private.averages(optimizer):
            one, other = (np.array(keras.ops.convert_to_numpy(v)) for v in (variable, average))
            variable.assign(other)
            average.assign(one)
