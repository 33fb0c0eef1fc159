"""Likelihoods p(x|z): decoder outputs in, densities out."""

from keras_vae.likelihoods.base import Likelihood
from keras_vae.likelihoods.pictures import MSSSIM, Features, PictureLoss, positive
from keras_vae.likelihoods.pixelwise import Bernoulli, LogCosh, Normal, Observed

__all__ = [
    "Bernoulli",
    "Features",
    "Likelihood",
    "LogCosh",
    "MSSSIM",
    "Normal",
    "Observed",
    "PictureLoss",
    "get",
    "positive",
]


def get(identifier):
    """A likelihood from its name or itself.

    Args:
        identifier: "bernoulli", "dynamic_bernoulli", "normal", "optimal_normal",
            "logcosh", or a `Likelihood`.

    Raises:
        ValueError: unknown name.
    """
    named = {
        "bernoulli": Bernoulli,
        "dynamic_bernoulli": lambda: Bernoulli(dynamic=True),
        "normal": Normal,
        "optimal_normal": lambda: Normal("optimal"),
        "logcosh": LogCosh,
    }
    if isinstance(identifier, Likelihood):
        return identifier
    if identifier not in named:
        raise ValueError(
            f"`likelihood` must be one of {sorted(named)} or a Likelihood layer. "
            f"Received: likelihood={identifier!r}"
        )
    return named[identifier]()
