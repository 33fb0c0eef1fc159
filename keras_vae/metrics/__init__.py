"""Measures of trained models: NumPy in, numbers out."""

from keras_vae.metrics.attributes import (
    AttributeControl,
    attribute_control,
    sampled_attributes,
)
from keras_vae.metrics.autoencoders import active_share, squared_jacobian
from keras_vae.metrics.clusters import (
    cluster_probabilities,
    clustering_accuracy,
    normal_total_correlation,
)
from keras_vae.metrics.codes import CodebookUsage, codebook_usage
from keras_vae.metrics.collapse import (
    CollapseReport,
    active_units,
    collapse_report,
    kl_per_dimension,
)
from keras_vae.metrics.likelihood import Estimate, elbo, log_likelihood
from keras_vae.metrics.pictures import frechet_distance, ms_ssim, psnr

__all__ = [
    "AttributeControl",
    "CodebookUsage",
    "CollapseReport",
    "Estimate",
    "active_share",
    "active_units",
    "attribute_control",
    "cluster_probabilities",
    "clustering_accuracy",
    "codebook_usage",
    "collapse_report",
    "elbo",
    "frechet_distance",
    "kl_per_dimension",
    "log_likelihood",
    "ms_ssim",
    "normal_total_correlation",
    "psnr",
    "sampled_attributes",
    "squared_jacobian",
]
