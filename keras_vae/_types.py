"""Names of types for the hints of the public functions."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Array",
    "ArrayLike",
    "Callable",
    "Condition",
    "Features",
    "Floats",
    "Model",
    "PathLike",
    "Sequence",
    "Tensor",
    "Whole",
]

# NumPy in and out.
Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating[Any]]
Whole: TypeAlias = NDArray[np.signedinteger[Any]]
# Of the backend that runs; `keras.ops` takes them.
Tensor: TypeAlias = Any
# A `models.VAE`, which modules below `models` cannot import; Keras has no hints.
Model: TypeAlias = keras.Model
# One label or vector for all examples, or one for each; None for an unconditional model.
Condition: TypeAlias = ArrayLike | None
# From pictures to the features that they are compared by; None for the pixels.
Features: TypeAlias = Callable[[Array], ArrayLike] | None
PathLike: TypeAlias = str | os.PathLike[str]
