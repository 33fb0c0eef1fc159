"""Use of the latent code: active units, KL per dimension, posterior collapse."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_vae._types import Array, Condition, Floats, Model
from keras_vae.metrics import likelihood


def kl_per_dimension(model: Model, x: Array, condition: Condition = None) -> Floats:
    """Mean KL(q(z_i|x) || p(z_i)) of each latent dimension.

    Args:
        model: a `VAE` whose posterior is a diagonal normal and whose prior is a
            normal; a full covariance is reduced to its marginals.
        x: data `(n, ...)`.
        condition: conditions of a conditional model.

    Returns:
        `(d,)` float64, nats; its sum is the mean KL if the prior is diagonal.

    Raises:
        ValueError: the KL is not a sum over dimensions: the posterior is a flow, or the
            prior a mixture or a flow. `metrics.elbo` returns the whole KL.
    """
    kl = _mean_kl(model, model.posterior(x, condition), condition)
    if kl is None:
        raise ValueError(
            "The dimensions of this code have no KL of their own: `metrics.elbo` gives that "
            "of the whole code, where it has a density; `metrics.active_units` says which of "
            f"them are used. Received: posterior={type(model.posterior_layer).__name__}, "
            f"prior={type(model.prior).__name__}"
        )
    return kl


def _mean_kl(model, q, condition):
    """KL per dimension, or None if it is not a sum over dimensions."""
    if not model.posterior_layer.has_density:
        return None
    p = model.prior_of(condition, len(q.center)).marginals()
    try:
        return q.kl_each(p).astype("float64").mean(axis=0)
    except NotImplementedError:
        return None


def active_units(
    model: Model, x: Array, condition: Condition = None, threshold: float = 0.01
) -> NDArray[np.bool_]:
    """Which latent dimensions carry information about x.

    A unit is active when its posterior mean varies over the data by more than
    `threshold`: Cov_x(E[z_i|x]) > 0.01, Burda et al. 2016. E[z|x] of categorical codes
    are the probabilities of their classes; of posteriors without a mean in closed form
    (flows, chains) the code that `encode` gives stands for it.

    Args:
        model: a `VAE`.
        x: data `(n, ...)`, at least two examples.
        condition: conditions of a conditional model.
        threshold: variance above which a unit counts.

    Returns:
        `(d,)` bool.

    Raises:
        ValueError: fewer than two examples.
    """
    return _active(model.posterior(x, condition).expected, threshold)


def _active(means, threshold):
    if len(means) < 2:
        raise ValueError(f"A variance over the data needs two examples. Received: {len(means)}")
    return means.var(axis=0) > threshold


@dataclass(frozen=True)
class CollapseReport:
    """Result of `collapse_report`; `str()` describes it in words.

    Attributes:
        kl: KL per dimension, `(d,)` nats; None if it is not a sum over dimensions.
        total_kl: mean KL of the whole code, nats; estimated from samples if there is no
            closed form; None for a code without noise.
        active: active units, `(d,)` bool.
        own: mean log p(x|z) with each example's own code, nats.
        swapped: the same with another example's code, nats.
        verdict: "healthy", "partial" or "collapsed".
    """

    kl: np.ndarray | None
    total_kl: float | None
    active: np.ndarray
    own: float
    swapped: float
    verdict: str

    @property
    def used(self):
        """Decrease of log p(x|z) when codes are exchanged, in nats."""
        return self.own - self.swapped

    def __str__(self):
        d, active = len(self.active), int(self.active.sum())
        total = "n/a" if self.total_kl is None else f"{self.total_kl:.2f} nats in all"
        lines = [
            {
                "healthy": "No posterior collapse: the decoder uses the code.",
                "partial": "Partial posterior collapse: part of the code is unused.",
                "collapsed": "Posterior collapse: the decoder ignores the code z.",
            }[self.verdict],
            f"{active} of {d} latent dimensions are active; KL {total}.",
            "With another example's code the data is "
            f"{self.used:.2f} nats less likely ({self.own:.2f} to {self.swapped:.2f}).",
        ]
        idle = np.flatnonzero(~self.active)
        if len(idle):
            named = ", ".join(map(str, idle[:12])) + (" …" if len(idle) > 12 else "")
            lines.append(f"Inactive dimensions: {named}.")
        if self.verdict == "collapsed":
            lines.append(
                "What helps: a slow KL warm-up (schedules.Linear), β below 1, a decoder "
                "that can do less without z, a smaller learning rate."
            )
        elif self.verdict == "partial":
            lines.append(
                "That is harmless where reconstructions are good: the model needs no "
                "more dimensions. Otherwise try a KL warm-up or β below 1."
            )
        return "\n".join(lines)


def collapse_report(
    model: Model, x: Array, condition: Condition = None, threshold: float = 0.01, seed: int = 0
) -> CollapseReport:
    """Reports whether a decoder ignores the latent code, and which dimensions.

    Two symptoms are measured: latent dimensions whose posterior does not vary
    with x, and how much likelihood is lost when every example is decoded from
    another one's code. A code counts as ignored when that costs less than 0.1 nats, or
    less than 1 % of what log p(x|z) falls short of that of a decoder which gives x itself,
    whichever is more. That share does not depend on the unit of the data, as log p(x|z) of a
    density does; of binary pixels the best log p(x|z) is 0.

    Args:
        model: a `VAE`.
        x: data `(n, ...)`, at least two examples; a few hundred are enough.
        condition: conditions of a conditional model; they are not exchanged.
        threshold: see `active_units`.
        seed: int, for dynamic binarisation, and for a KL from samples.

    Returns:
        `CollapseReport`.

    Raises:
        ValueError: fewer than two examples.
    """
    x = model.likelihood.observe_numpy(np.asarray(x, "float32"), np.random.default_rng(seed))
    if model.condition is not None and model.condition.optional:
        # Codes are decoded with the labels that they were encoded with.
        condition = model.all_labels(x, condition)
    q = model.posterior(x, condition)
    codes = q.center
    active = _active(q.expected, threshold)
    kl = _mean_kl(model, q, condition)
    total = None
    if model.posterior_layer.has_density:
        rng = np.random.default_rng([seed, 1])
        total = float(likelihood._kl(model, x, condition, 1, rng).mean())
    own = _mean_log_px(model, x, codes, condition)
    swapped = _mean_log_px(model, x, np.roll(codes, 1, axis=0), condition)
    best = model.likelihood.best_log_prob(x)
    missing = 0.0 if best is None else float(np.mean(best)) - own
    if not active.any() or own - swapped < max(0.1, 0.01 * missing):
        verdict = "collapsed"
    else:
        verdict = "healthy" if active.all() else "partial"
    return CollapseReport(kl, total, active, own, swapped, verdict)


def _mean_log_px(model, x, z, condition):
    return float(model.log_px(x, z, condition).mean())
