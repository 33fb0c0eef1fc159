"""Bits per dimension, and the mutual information of data and codes."""

import math

import numpy as np

from keras_vae import _checks
from keras_vae._types import Array, Condition, Floats, Model
from keras_vae.metrics.likelihood import Estimate, _estimate


def bits_per_dimension(log_px: Array, dimensions: int, levels: int | None = None) -> Floats | float:
    """Converts nats per example to bits per dimension: -log₂ p(x) / D.

    A density is a probability of levels only if it was measured on dequantised values: see
    `dequantized`. On the levels themselves it can be as large as one likes.

    Args:
        log_px: log p(x) in nats, a number or an array.
        dimensions: D, such as 3072 for 32 × 32 × 3.
        levels: number of levels, such as 256, if p is a density of values in [0, 1] with
            levels of width 1 / levels; None if p is a probability.

    Returns:
        float64, of the shape of `log_px`.

    Raises:
        ValueError: `dimensions` or `levels` that are not positive integers; with levels, a
            mean below 0 bits, which no density of dequantised values has.
    """
    _checks.count(dimensions, "dimensions")
    width = 0.0 if levels is None else np.log(_checks.count(levels, "levels"))
    bits = -(np.asarray(log_px, "float64") / dimensions - width) / np.log(2)
    if levels is not None and bits.mean() < 0.0:
        raise ValueError(
            "Fewer than 0 bits: this is a density of the levels themselves, which has no "
            "bound. Measure log p of dequantised data, "
            f"`metrics.dequantized(x, {levels})`, and train on such data. "
            f"Received: a mean of {bits.mean():.2f} bits"
        )
    return bits


def dequantized(x: Array, levels: int = 256, seed: int = 0) -> Floats:
    """Levels from 0 to 1 as values that are uniform over the width of their level.

    (k + u) / levels of k = x · (levels - 1), u uniform in [0, 1): then E_u[log p(x + u)] is at
    most log P(k), and `bits_per_dimension(log_px, d, levels)` is at least the bits of P.
    Theis, van den Oord & Bethge, "A note on the evaluation of generative models", 2016.

    Args:
        x: data `(n, ...)` in [0, 1], such as bytes / 255; or the integers k themselves.
        levels: number of levels, such as 256.
        seed: int, of u.

    Returns:
        float32 array of the shape of x, in [0, 1).

    Raises:
        ValueError: values that are not levels, or outside [0, 1].
    """
    _checks.count(levels, "levels", 2)
    x = np.asarray(x)
    k = x.astype("float64") * (1.0 if x.dtype.kind in "iu" else levels - 1.0)
    rounded = np.round(k)
    if not ((np.abs(k - rounded) < 0.01) & (rounded >= 0) & (rounded < levels)).all():
        raise ValueError(
            f"Expected {levels} levels from 0 to 1, or integers from 0 to {levels - 1}. "
            f"Received: values from {x.min():g} to {x.max():g}"
        )
    u = np.random.default_rng(seed).random(x.shape)
    # float32 rounds the last values below 1 up to it.
    return np.minimum((rounded + u) / levels, 1.0 - 2.0**-24).astype("float32")


def mutual_information(
    model: Model, x: Array, condition: Condition = None, samples: int = 1, seed: int = 0
) -> Estimate:
    """I(x; z) of data and codes z from q(z|x): E[log q(z|x) - log q(z)], in nats.

    q(z) is the mixture of the posteriors of all n examples (Hoffman & Johnson, "ELBO
    surgery", 2016). The estimate is unbiased for the empirical distribution of these n
    examples and on average a lower bound for the distribution that they come from. It is at
    most log n; near log n, use more examples. The mean KL minus it is KL(q(z) || p(z)).

    Args:
        model: a `VAE` whose posterior has a density.
        x: data `(n, ...)`; n² densities are computed.
        condition: conditions of a conditional model; the mixture is then over pairs.
        samples: samples of z per example.
        seed: int, of the samples and of dynamic binarisation.

    Returns:
        `Estimate`; its standard error ignores that the mixture uses the same examples.

    Raises:
        ValueError: a posterior whose density is known at its own samples only, or data that
            `encode` does not accept.
    """
    _checks.count(samples, "samples")
    rng = np.random.default_rng(seed)
    x = model.likelihood.observe_numpy(_checks.data(model, x), rng)
    q = model.posterior(x, condition)
    n = len(x)
    if not model.posterior_layer.has_density:
        _refuse(model)
    values = np.zeros(n)
    for _ in range(samples):
        noise = rng.standard_normal((1, *q.center.shape), dtype="float32")
        z, own = q.transform_and_log_prob(noise)
        values += (own[0].astype("float64") - _log_mixture(model, q, z[0])) / samples
    return _estimate(values, samples)


def _log_mixture(model, q, z, numbers=2**22):
    """log 1/n Σ_j q(z_i|x_j) of codes `(m, d)`, or of maps: `(m,)`."""
    n, d = len(q.center), math.prod(z.shape[1:])
    step = max(1, numbers // (n * d))
    parts = []
    for start in range(0, len(z), step):
        part = z[start : start + step, None]
        each = np.ascontiguousarray(np.broadcast_to(part, (len(part), n, *z.shape[1:])))
        try:
            log_q = q.log_prob(each).astype("float64")
        except NotImplementedError:
            _refuse(model)
        parts.append(np.logaddexp.reduce(log_q, axis=1) - np.log(n))
    return np.concatenate(parts)


def _refuse(model):
    raise ValueError(
        "The mutual information needs q(z|x) of codes that are another example's, which this "
        f"posterior does not give. Received: {type(model.posterior_layer).__name__}"
    ) from None
