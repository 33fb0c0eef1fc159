"""Layers of series, whose values may be missing and whose lengths may differ."""

import keras
from keras import ops

from keras_vae._registry import register


@register
class Known(keras.layers.Layer):
    """Values beside marks of which are known: `(n, t, f)` with NaN to `(n, t, 2f)`.

    The first half has 0 in place of NaN; the second is 1 where a value is known, and else 0.
    Steps of which no value is known are masked: recurrent layers skip them, so that a series is
    encoded as it would be without the NaN that fill it up to the common length.
    """

    # Asked by models: their encoder then sees NaN as they are.
    takes_missing = True

    def call(self, x):
        missing = ops.isnan(x)
        # In ONNX files any other choice between two values is a sum of products, and NaN stays.
        values = ops.where(missing, 0.0, x)
        return ops.concatenate([values, ops.cast(ops.logical_not(missing), x.dtype)], axis=-1)

    def compute_mask(self, inputs, previous_mask=None):
        return ops.any(ops.logical_not(ops.isnan(inputs)), axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2 * input_shape[-1])
