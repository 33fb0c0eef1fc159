"""Likelihoods by name."""

from collections.abc import Callable

from keras_vae.likelihoods.base import Likelihood
from keras_vae.likelihoods.categorical import CategoricalLevels
from keras_vae.likelihoods.counts import (
    NegativeBinomial,
    Poisson,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
from keras_vae.likelihoods.discretised import DiscretisedLogisticMixture
from keras_vae.likelihoods.heavy_tails import StudentT
from keras_vae.likelihoods.pixelwise import Bernoulli, LogCosh, Normal

_NAMED: dict[str, Callable[[], Likelihood]] = {
    "bernoulli": Bernoulli,
    "categorical": CategoricalLevels,
    "discretised_logistic_mixture": DiscretisedLogisticMixture,
    "dynamic_bernoulli": lambda: Bernoulli(dynamic=True),
    "logcosh": LogCosh,
    "negative_binomial": NegativeBinomial,
    "normal": Normal,
    "optimal_normal": lambda: Normal("optimal"),
    "poisson": Poisson,
    "student_t": StudentT,
    "zero_inflated_negative_binomial": ZeroInflatedNegativeBinomial,
    "zero_inflated_poisson": ZeroInflatedPoisson,
}


def get(identifier: str | Likelihood) -> Likelihood:
    """A likelihood by its name; a likelihood is returned as it is.

    Args:
        identifier: a `Likelihood`, or one of "bernoulli", "categorical",
            "discretised_logistic_mixture", "dynamic_bernoulli", "logcosh",
            "negative_binomial", "normal", "optimal_normal", "poisson", "student_t",
            "zero_inflated_negative_binomial" and "zero_inflated_poisson".

    Raises:
        ValueError: unknown name.
    """
    if isinstance(identifier, Likelihood):
        return identifier
    if identifier not in _NAMED:
        raise ValueError(
            f"`likelihood` must be one of {sorted(_NAMED)} or a Likelihood layer. "
            f"Received: likelihood={identifier!r}"
        )
    return _NAMED[identifier]()
