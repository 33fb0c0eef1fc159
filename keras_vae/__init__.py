"""Variational autoencoders for Keras 3, on TensorFlow, JAX and PyTorch."""

from keras_vae import (
    conditions,
    datasets,
    directions,
    distributions,
    initializers,
    layers,
    likelihoods,
    metrics,
    models,
    networks,
    objectives,
    plots,
    posteriors,
    priors,
    schedules,
    zoo,
)
from keras_vae._version import __version__

__all__ = [
    "__version__",
    "conditions",
    "datasets",
    "directions",
    "distributions",
    "initializers",
    "layers",
    "likelihoods",
    "metrics",
    "models",
    "networks",
    "objectives",
    "plots",
    "posteriors",
    "priors",
    "schedules",
    "zoo",
]
