"""Bounds on log p(x), in nats."""

from typing import NamedTuple

import numpy as np
from keras import ops

from keras_vae._types import Array, Condition, Model


class Estimate(NamedTuple):
    """A mean over examples.

    Attributes:
        mean: the mean, in nats.
        standard_error: standard error of the mean over examples; 0 for one example.
        n: number of examples.
        samples: samples of z per example.
    """

    mean: float
    standard_error: float
    n: int
    samples: int

    def __str__(self):
        return (
            f"{self.mean:.2f} ± {self.standard_error:.2f} nats (n = {self.n}, K = {self.samples})"
        )


def _estimate(values, samples):
    n = len(values)
    error = float(values.std(ddof=1) / n**0.5) if n > 1 else 0.0
    return Estimate(float(values.mean()), error, n, samples)


def log_likelihood(
    model: Model,
    x: Array,
    condition: Condition = None,
    samples: int = 5000,
    seed: int = 0,
    verbose: bool | str = "auto",
) -> Estimate:
    """Mean importance-weighted bound on log p(x), Burda et al. 2016.

    Args:
        model: a `VAE`.
        x: data `(n, ...)`.
        condition: conditions of a conditional model.
        samples: K, samples of z per example.
        seed: int, for the noise and for dynamic binarisation.
        verbose: as in `VAE.log_likelihood`.

    Returns:
        `Estimate`; papers report the negative of its mean as NLL.
    """
    values = model.log_likelihood(
        x, samples=samples, condition=condition, seed=seed, verbose=verbose
    )
    return _estimate(values, samples)


def elbo(
    model: Model,
    x: Array,
    condition: Condition = None,
    samples: int = 1,
    seed: int = 0,
    verbose: bool | str = "auto",
) -> dict[str, Estimate]:
    """Mean evidence lower bound, E_q[log p(x|z)] - KL(q || p).

    Its terms: `reconstruction` is E_q[log p(x|z)] and `kl` the divergence.

    Args: as `log_likelihood`; the bound, and a KL without a closed form, are averages over
        `samples` of z.

    Returns:
        dict of `Estimate`: `elbo`, `reconstruction`, `kl`.
    """
    if model.has_auxiliary:
        return _bound_of_terms(model, x, condition, samples, seed)
    bound = np.zeros(len(x), "float64")
    for k in range(samples):
        # With one sample the importance-weighted bound is the ELBO's own estimate.
        bound += model.log_likelihood(
            x, samples=1, condition=condition, seed=[seed, k], verbose=verbose
        )
    bound /= samples
    binary = model.likelihood.observe_numpy(np.asarray(x), np.random.default_rng([seed, 0]))
    kl = _kl(model, binary, condition, samples, np.random.default_rng([seed, samples]))
    return {
        "elbo": _estimate(bound, samples),
        "reconstruction": _estimate(bound + kl, samples),
        "kl": _estimate(kl, samples),
    }


def _bound_of_terms(model, x, condition, samples, seed):
    """`elbo` of a model with more latent variables than z."""
    each = [model.bound_terms(x, condition, seed=[seed, k]) for k in range(samples)]
    reconstruction, divergence = np.mean(each, axis=0)
    return {
        "elbo": _estimate(reconstruction - divergence, samples),
        "reconstruction": _estimate(reconstruction, samples),
        "kl": _estimate(divergence, samples),
    }


def _kl(model, x, condition, samples, rng):
    q, p = model.posterior(x, condition), model.prior_of(condition, len(x))
    try:
        return np.asarray(q.kl(p), "float64")
    except NotImplementedError:
        noise = rng.standard_normal((samples, *q.center.shape), dtype="float32")
        z, log_qz = q.transform_and_log_prob(noise)
        log_pz = ops.convert_to_numpy(p.log_prob(ops.convert_to_tensor(z)))
        return (log_qz.astype("float64") - log_pz).mean(axis=0)
