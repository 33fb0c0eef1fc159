"""What a density costs in bits, and how much a code says about the data."""

import numpy as np

from keras_vae import _checks
from keras_vae._types import Array, Condition, Floats, Model
from keras_vae.metrics.likelihood import Estimate, _estimate


def bits_per_dimension(log_px: Array, dimensions: int, levels: int | None = None) -> Floats | float:
    """Nats of whole examples as bits for each of their numbers: -log₂ p(x) / D.

    Args:
        log_px: log p(x) in nats, a number or an array.
        dimensions: D, such as 3072 for 32 × 32 × 3.
        levels: where p is a density of values in [0, 1] that stand for so many levels,
            such as 256, each of width 1 / levels; None where p is a probability.

    Returns:
        float64, of the shape of `log_px`.

    Raises:
        ValueError: `dimensions` or `levels` that are no positive integers.
    """
    _checks.count(dimensions, "dimensions")
    width = 0.0 if levels is None else np.log(_checks.count(levels, "levels"))
    return -(np.asarray(log_px, "float64") / dimensions - width) / np.log(2)


def mutual_information(
    model: Model, x: Array, condition: Condition = None, samples: int = 1, seed: int = 0
) -> Estimate:
    """I(x; z) of data and codes z from q(z|x): E[log q(z|x) - log q(z)], in nats.

    q(z) is the mixture of the posteriors of the n given examples, each example's own
    among them (Hoffman & Johnson, "ELBO surgery", 2016): the estimate is exact for data
    that is those n, and a lower bound in the mean for data that they were drawn from. It
    is never more than log n: where it comes near that, more examples are wanted. The mean
    KL minus this is KL(q(z) || p(z)).

    Args:
        model: a `VAE` whose posterior has a density.
        x: data `(n, ...)`; n² densities are computed.
        condition: conditions of a conditional model; the mixture then is over pairs.
        samples: samples of z for each example.
        seed: int, of the samples and of dynamic binarisation.

    Returns:
        `Estimate`; its standard error leaves out that the mixture is of the same examples.

    Raises:
        ValueError: a posterior that gives no density of any code but its own samples, or
            what `encode` refuses.
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
        noise = rng.standard_normal((1, n, model.latent_dim), dtype="float32")
        z, own = q.transform_and_log_prob(noise)
        values += (own[0].astype("float64") - _log_mixture(model, q, z[0])) / samples
    return _estimate(values, samples)


def _log_mixture(model, q, z, numbers=2**22):
    """log 1/n Σ_j q(z_i|x_j) of codes `(m, d)`: `(m,)`."""
    n, d = len(q.center), z.shape[1]
    step = max(1, numbers // (n * d))
    parts = []
    for start in range(0, len(z), step):
        part = z[start : start + step, None]
        each = np.ascontiguousarray(np.broadcast_to(part, (len(part), n, d)))
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
