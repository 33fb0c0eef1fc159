"""Measures of trained models: NumPy in, numbers out."""

from keras_vae.metrics.attributes import (
    AttributeControl,
    attribute_control,
    sampled_attributes,
)
from keras_vae.metrics.collapse import (
    CollapseReport,
    active_units,
    collapse_report,
    kl_per_dimension,
)
from keras_vae.metrics.likelihood import Estimate, elbo, log_likelihood

__all__ = [
    "AttributeControl",
    "CollapseReport",
    "Estimate",
    "active_units",
    "attribute_control",
    "collapse_report",
    "elbo",
    "kl_per_dimension",
    "log_likelihood",
    "sampled_attributes",
]
