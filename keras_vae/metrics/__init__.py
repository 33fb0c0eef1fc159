"""Measures of trained models: NumPy in, numbers out."""

from keras_vae.metrics.collapse import (
    CollapseReport,
    active_units,
    collapse_report,
    kl_per_dimension,
)
from keras_vae.metrics.likelihood import Estimate, elbo, log_likelihood

__all__ = [
    "CollapseReport",
    "Estimate",
    "active_units",
    "collapse_report",
    "elbo",
    "kl_per_dimension",
    "log_likelihood",
]
