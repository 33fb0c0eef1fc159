"""Distributions with NumPy arrays as inputs and outputs."""

import numpy as np
from keras import ops


class Arrays:
    """Wraps a distribution: its methods take and return NumPy arrays."""

    def __init__(self, distribution):
        self._distribution = distribution

    def __getattr__(self, name):
        value = getattr(self._distribution, name)
        if not callable(value):
            return _numpy(value)

        def call(*args, **kwargs):
            result = value(*map(_tensor, args), **kwargs)
            return tuple(map(_numpy, result)) if isinstance(result, tuple) else _numpy(result)

        return call


def _numpy(value):
    return ops.convert_to_numpy(value) if ops.is_tensor(value) else value


def _tensor(value):
    return ops.convert_to_tensor(value) if isinstance(value, np.ndarray) else value
