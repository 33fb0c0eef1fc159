"""Objectives: evidence in, a loss per example and its named terms out.

`Evidence` holds the results of a forward pass over a batch. An objective is a
function of the evidence with a configuration; it names its `terms` and the number
of `samples` of z per example. Losses are nats, summed over pixels and latent
dimensions.
"""

from keras_vae.objectives.auxiliary import Auxiliary, AuxiliaryEvidence
from keras_vae.objectives.base import Evidence, Objective
from keras_vae.objectives.contraction import Contractive
from keras_vae.objectives.elbo import ELBO, Capacity, Reconstruction
from keras_vae.objectives.iwae import IWAE
from keras_vae.objectives.matching import MMD, SlicedWasserstein, mmd, sliced_wasserstein
from keras_vae.objectives.mean_field import MixtureELBO, local_mean_field
from keras_vae.objectives.quantized import Quantized, QuantizedEvidence
from keras_vae.objectives.sparsity import PENALTIES, Sparse
from keras_vae.objectives.total_correlation import (
    DIP,
    DensityRatio,
    TotalCorrelation,
    stratified_log_weights,
)

__all__ = [
    "Auxiliary",
    "AuxiliaryEvidence",
    "Capacity",
    "Contractive",
    "DIP",
    "DensityRatio",
    "ELBO",
    "Evidence",
    "IWAE",
    "MMD",
    "MixtureELBO",
    "Objective",
    "PENALTIES",
    "Quantized",
    "QuantizedEvidence",
    "Reconstruction",
    "SlicedWasserstein",
    "Sparse",
    "TotalCorrelation",
    "local_mean_field",
    "mmd",
    "sliced_wasserstein",
    "stratified_log_weights",
]
