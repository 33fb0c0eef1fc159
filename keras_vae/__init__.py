"""Variational autoencoders for Keras 3, on TensorFlow, JAX and PyTorch."""

from keras_vae import (
    autoregressive,
    conditions,
    datasets,
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
    quantizers,
    schedules,
    zoo,
)
from keras_vae._version import __version__

__all__ = [
    "__version__",
    "autoregressive",
    "conditions",
    "datasets",
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
    "quantizers",
    "schedules",
    "zoo",
]
