"""Objectives: evidence in, a loss per example and its named terms out.

`Evidence` holds the results of a forward pass over a batch. An objective is a
function of the evidence with a configuration; it names its `terms` and the number
of `samples` of z per example. Losses are nats, summed over pixels and latent
dimensions.
"""

# ruff: noqa: F403

from keras_vae.objectives import (
    adversarial,
    auxiliary,
    base,
    contraction,
    elbo,
    iwae,
    matching,
    mean_field,
    quantized,
    regularized,
    sparsity,
    total_correlation,
)
from keras_vae.objectives.adversarial import *
from keras_vae.objectives.auxiliary import *
from keras_vae.objectives.base import *
from keras_vae.objectives.contraction import *
from keras_vae.objectives.elbo import *
from keras_vae.objectives.iwae import *
from keras_vae.objectives.matching import *
from keras_vae.objectives.mean_field import *
from keras_vae.objectives.quantized import *
from keras_vae.objectives.regularized import *
from keras_vae.objectives.sparsity import *
from keras_vae.objectives.total_correlation import *

__all__: list[str] = []
__all__ += adversarial.__all__
__all__ += auxiliary.__all__
__all__ += base.__all__
__all__ += contraction.__all__
__all__ += elbo.__all__
__all__ += iwae.__all__
__all__ += matching.__all__
__all__ += mean_field.__all__
__all__ += quantized.__all__
__all__ += regularized.__all__
__all__ += sparsity.__all__
__all__ += total_correlation.__all__
