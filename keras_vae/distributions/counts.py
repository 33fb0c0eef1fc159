"""Log-masses of counts: Poisson, negative binomial, and both with more zeros."""

from keras import ops

from keras_vae._types import Tensor
from keras_vae.distributions.base import LOG_2PI
from keras_vae.distributions.special import deviance, stirling_error
from keras_vae.training import kernels


def poisson(x: Tensor, log_mean: Tensor) -> Tensor:
    """log of μˣ e^(-μ) / x!.

    Args:
        x: counts from 0 on.
        log_mean: log μ, of a shape that x broadcasts to.
    """
    mean = ops.exp(log_mean)
    some = x > 0.0
    n = ops.where(some, x, 1.0)
    rest = deviance(n, mean, n - mean) + stirling_error(n) + 0.5 * (LOG_2PI + ops.log(n))
    return -ops.where(some, rest, mean)


def negative_binomial(x: Tensor, log_mean: Tensor, log_theta: Tensor) -> Tensor:
    """log of Γ(x + θ) / (x! Γ(θ)) · (θ / (θ + μ))^θ · (μ / (θ + μ))ˣ.

    Its mean is μ and its variance μ + μ² / θ.

    Args:
        x: counts from 0 on.
        log_mean: log μ, of a shape that x broadcasts to.
        log_theta: log θ, the inverse dispersion.
    """
    mean, theta = ops.exp(log_mean), ops.exp(log_theta)
    some = x > 0.0
    k = ops.where(some, x, 1.0)
    n, both = k + theta, theta + mean
    # k - n μ / (θ + μ), and minus θ - n θ / (θ + μ).
    off = theta / both * (k - mean)
    rest = (
        deviance(k, n * (mean / both), off)
        + deviance(theta, n * (theta / both), -off)
        + stirling_error(k)
        + stirling_error(theta)
        - stirling_error(n)
        + 0.5 * (LOG_2PI + ops.log(k) + ops.log(n) - log_theta)
    )
    return -ops.where(some, rest, theta * ops.log1p(mean / theta))


def zero_inflated(x: Tensor, log_mass: Tensor, dropout: Tensor) -> Tensor:
    """The log-mass of a count that is 0 instead with the probability σ(dropout).

    Args:
        x: counts from 0 on.
        log_mass: log of the mass of x without the zeros that are added.
        dropout: logits, of a shape that x broadcasts to.
    """
    log_kept, log_dropped = -kernels.softplus(dropout), -kernels.softplus(-dropout)
    kept = log_kept + log_mass
    return ops.where(x > 0.0, kept, ops.logaddexp(log_dropped, kept))
