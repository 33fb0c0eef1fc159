"""Metrics of trained models; NumPy arrays in, numbers out."""

from keras_vae.metrics.activity import active_share, squared_jacobian
from keras_vae.metrics.attributes import AttributeControl, attribute_control, sampled_attributes
from keras_vae.metrics.clusters import (
    cluster_probabilities,
    clustering_accuracy,
    normal_total_correlation,
)
from keras_vae.metrics.codebooks import CodebookUsage, codebook_usage
from keras_vae.metrics.collapse import (
    CollapseReport,
    active_units,
    collapse_report,
    kl_per_dimension,
)
from keras_vae.metrics.dci import DCI, dci, disentanglement_scores
from keras_vae.metrics.disentanglement import (
    beta_vae_score,
    factor_vae_score,
    grid_sampler,
    mig,
    modularity,
    mutual_information_matrix,
    row_sampler,
    sap,
)
from keras_vae.metrics.information import (
    bits_per_dimension,
    dequantized,
    mutual_information,
)
from keras_vae.metrics.likelihood import Estimate, elbo, log_likelihood
from keras_vae.metrics.neighbours import auroc, nearest_labels, precision_recall
from keras_vae.metrics.pictures import (
    KernelDistance,
    frechet_distance,
    kernel_distance,
    psnr,
)
from keras_vae.similarity import ms_ssim

__all__ = [
    "AttributeControl",
    "CodebookUsage",
    "CollapseReport",
    "DCI",
    "Estimate",
    "KernelDistance",
    "active_share",
    "active_units",
    "attribute_control",
    "auroc",
    "beta_vae_score",
    "bits_per_dimension",
    "cluster_probabilities",
    "clustering_accuracy",
    "codebook_usage",
    "collapse_report",
    "dci",
    "dequantized",
    "disentanglement_scores",
    "elbo",
    "factor_vae_score",
    "frechet_distance",
    "grid_sampler",
    "kernel_distance",
    "kl_per_dimension",
    "log_likelihood",
    "mig",
    "modularity",
    "ms_ssim",
    "mutual_information",
    "mutual_information_matrix",
    "nearest_labels",
    "normal_total_correlation",
    "precision_recall",
    "psnr",
    "row_sampler",
    "sampled_attributes",
    "sap",
    "squared_jacobian",
]
