"""Averaged weights, swapped in and out without rounding."""

import keras
import numpy as np


class SwapAverages(keras.callbacks.SwapEMAWeights):
    """Keras' `SwapEMAWeights`, after which the weights are to the bit what they were.

    Keras 3.15 swaps by additions under TensorFlow, which round, and through an array
    that shares its memory with the weights under PyTorch, which loses them. Training
    that is interrupted could not go on to the same result.
    """

    def _tf_swap_variables(self, optimizer):
        averages = optimizer._model_variables_moving_average
        for variable, average in zip(optimizer._trainable_variables, averages, strict=True):
            one, other = (np.array(keras.ops.convert_to_numpy(v)) for v in (variable, average))
            variable.assign(other)
            average.assign(one)

    _backend_swap_variables = _tf_swap_variables
