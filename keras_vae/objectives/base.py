"""Objectives: evidence in, a loss per example and its named terms out.

`Evidence` holds the results of a forward pass over a batch. An objective is a
function of the evidence with a configuration; it names its `terms` and the number
of `samples` of z per example. Losses are nats, summed over pixels and latent
dimensions.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from keras_vae import distributions, schedules

__all__ = ["Evidence", "Objective"]


class Evidence(NamedTuple):
    """One forward pass. K samples, n examples, d latent dimensions.

    Attributes:
        x: what was observed, `(n, ...)`.
        q: posterior, parameters `(n, d)`.
        p: prior, parameters broadcastable to `(n, d)`.
        z: samples of q, `(K, n, d)`.
        log_qz: log q(z|x), `(K, n)`, nats; None where q has no density.
        log_px: log p(x|z), `(K, n)`, nats.
        step: training step, an integer scalar.
        training: whether schedules run.
        normal: function from a shape to standard normal noise, for objectives that
            draw.
        squared_jacobian: function that gives ‖∂code/∂x‖²_F of each example, `(n,)`;
            see `models.probes.squared_jacobian`.
        hidden: function that gives the values of the encoder's hidden layers; see
            `models.probes.hidden`. They are those of the pass that made the codes where
            the objective says `reads_hidden`.
        squared_output_jacobian: function that gives ‖∂x̂/∂z‖²_F of codes, `(n,)`; see
            `models.probes.squared_output_jacobian`.
        squared_weights: function that gives ‖θ‖² of the decoder's weights, a scalar.
        discriminator: function from codes `(..., d)` to log-odds `(...)` that they are
            codes, and not ones with shuffled dimensions; None without one.
        every: the evidence of all samples, without a gradient, where `z` are those drawn
            from them by their weights; None where `z` are all.
    """

    x: object
    q: distributions.Distribution
    p: distributions.Distribution
    z: object
    log_qz: object
    log_px: object
    step: object
    training: bool
    normal: Callable
    squared_jacobian: Callable | None = None
    hidden: Callable | None = None
    squared_output_jacobian: Callable | None = None
    squared_weights: Callable | None = None
    discriminator: Callable | None = None
    every: "Evidence | None" = None

    @property
    def log_ratio(self):
        """log q(z|x) - log p(z), `(K, n)`."""
        if self.log_qz is None:
            raise ValueError(
                "This posterior has no density, so that there is no divergence from the "
                "prior and no bound on log p(x): use a stochastic one, or an objective "
                f"without a divergence. Received: {type(self.q).__name__}"
            )
        return self.log_qz - self.p.log_prob(self.z)

    @property
    def log_weights(self):
        """log p(x|z) + log p(z) - log q(z|x), `(K, n)`."""
        return self.log_px - self.log_ratio

    @property
    def reconstruction(self):
        """-log p(x|z), averaged over the samples, `(n,)`."""
        return -ops.mean(self.log_px, axis=0)

    @property
    def kl(self):
        """KL(q || p), `(n,)`: exact where a closed form is known."""
        try:
            return self.q.kl(self.p)
        except NotImplementedError:
            return ops.mean(self.log_ratio, axis=0)


class Objective:
    """Base class.

    Attributes:
        terms: names under which the terms are logged, in order.
        averages: the terms that are no part of the loss: sample weights weigh their mean.
        samples: samples of z for each example.
        needs_densities: whether it uses log q(z|x) of the samples that training draws,
            which relaxed codes do not have.
        draws_from_prior: whether its gradient to the prior goes through samples of it.
        reads_hidden: whether it asks for the values of the encoder's hidden layers.
    """

    terms: tuple[str, ...] = ()
    averages: tuple[str, ...] = ()
    samples: int = 1
    needs_densities = False
    draws_from_prior = False
    reads_hidden = False

    def draw(self, evidence, probe):
        """The samples of z that are decoded, and that the gradient goes through.

        By default those that were drawn from q(z|x).

        Args:
            evidence: `Evidence` in which `log_px` is still missing.
            probe: function without arguments that gives a `models.probes.Probe`, for
                objectives that ask the model for more.

        Returns:
            `Evidence` with `z`, `log_qz` and, where `z` are some of many, `every`.
        """
        return evidence

    def sample_shares(self, log_weights):
        """What each of K samples counts in the slope of the loss by log p(x|z), or None.

        Args:
            log_weights: log p(x|z) p(z) / q(z|x), `(K, n)`.

        Returns:
            Tensor `(K, n)`, which sums to 1 over the samples; None where all are alike.
        """
        return None

    def __call__(self, evidence):
        """Returns the loss `(n,)` and a dict of terms, each `(n,)`, in nats."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def weight_or_schedule(name, value):
    """Returns a weight or a schedule of weights; raises `ValueError` for other values."""
    value = schedules.deserialize(value)
    if isinstance(value, schedules.Schedule):
        return value
    if not 0.0 <= value < math.inf:
        raise ValueError(f"`{name}` must be at least 0 or a Schedule. Received: {name}={value!r}")
    return float(value)


def same(a, b):
    """The float32 matrix with 1 where a_i = b_j, else 0."""
    return ops.cast(ops.equal(ops.expand_dims(a, 1), ops.expand_dims(b, 0)), "float32")
