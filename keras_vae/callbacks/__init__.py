"""Callbacks of `fit`: resuming after an interruption, stopping at a NaN, pictures."""

from keras_vae.callbacks.averages import SwapAverages
from keras_vae.callbacks.nan import StopAtNaN
from keras_vae.callbacks.pictures import TensorBoardPictures, Watch
from keras_vae.callbacks.resume import STATE, Resume, Shuffled, random_state, set_random_state
from keras_vae.callbacks.state import assign, finite, seeds, values, variables

__all__ = [
    "Resume",
    "STATE",
    "Shuffled",
    "StopAtNaN",
    "SwapAverages",
    "TensorBoardPictures",
    "Watch",
    "assign",
    "finite",
    "random_state",
    "seeds",
    "set_random_state",
    "values",
    "variables",
]
