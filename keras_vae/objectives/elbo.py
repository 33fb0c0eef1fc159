"""The evidence lower bound and objectives that weigh its KL differently."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_vae import _checks, schedules
from keras_vae._registry import register
from keras_vae.objectives.base import Objective, weight_or_schedule

__all__ = ["Capacity", "ELBO", "Reconstruction"]


@register
class ELBO(Objective):
    """Negative evidence lower bound: -log p(x|z) + β · KL(q(z|x) || p(z)).

    Kingma & Welling 2014; with a constant β Higgins et al. 2017 (β-VAE).
    Evaluation uses the final value of a schedule, so with a warm-up to 1 the
    validation loss is the bound itself.

    Args:
        beta: a number of at least 0 or a `Schedule`.
        samples: samples of z per example.
        free_bits: λ in nats: the loss has max(λ, mean KL of the batch), so that below λ
            the KL has no gradient (Kingma et al. 2016, with the whole code as one group).
            All examples of the batch share that mean.

    Raises:
        ValueError: negative `beta` or `free_bits`, or `samples` below 1.
    """

    terms = ("reconstruction_loss", "kl_loss")

    def __init__(
        self, beta: float | schedules.Schedule = 1.0, samples: int = 1, free_bits: float = 0.0
    ) -> None:
        self.beta = weight_or_schedule("beta", beta)
        self.samples = _checks.count(samples, "samples")
        self.free_bits = _checks.at_least_0("free_bits", free_bits)

    def __call__(self, evidence):
        beta = schedules.evaluate(self.beta, evidence.step, evidence.training)
        reconstruction, kl = evidence.reconstruction, self.divergence(evidence)
        penalised = ops.maximum(ops.mean(kl), self.free_bits) if self.free_bits else kl
        loss = reconstruction + beta * penalised
        return loss, {"reconstruction_loss": reconstruction, "kl_loss": kl}

    def divergence(self, evidence):
        """What is weighted by β, `(n,)` nats."""
        return evidence.kl

    def get_config(self):
        return {
            "beta": schedules.serialize(self.beta),
            "samples": self.samples,
            "free_bits": self.free_bits,
        }


@register
class Capacity(Objective):
    """-log p(x|z) + γ |mean KL - C|, Burgess et al. 2018.

    The mean is over the batch, and all examples have the same penalty. Sample weights
    multiply the reconstruction and the penalty of an example, not its part in the mean.

    With `parts` the posterior is a product, and each part has its own capacity
    (Dupont 2018): γ Σ |mean KL_part - C_part|.

    Args:
        gamma: γ, at least 0.
        capacity: C in nats, a number or a `Schedule`; with parts a list of them.
        parts: names of the parts of the code, or None.

    Raises:
        ValueError: negative γ or capacity, or not one capacity for each part.
    """

    def __init__(
        self,
        gamma: float,
        capacity: float | schedules.Schedule | Sequence[float | schedules.Schedule],
        parts: Sequence[str] | None = None,
    ) -> None:
        self.gamma = _checks.at_least_0("gamma", gamma)
        self.parts = None if parts is None else tuple(parts)
        each: Any = (capacity,) if parts is None else capacity
        values, names = tuple(each), self.parts or ()
        self.capacities = [weight_or_schedule("capacity", c) for c in values]
        if parts is not None and len(values) != len(names):
            raise ValueError(
                "Every part must have one capacity. "
                f"Received: {len(values)} capacities of {len(names)} parts"
            )
        self.terms = ("reconstruction_loss", "kl_loss", *(f"kl_{part}" for part in names))

    def __call__(self, evidence):
        split = self.parts is not None
        divergences = evidence.q.kl_parts(evidence.p) if split else [evidence.kl]
        loss = evidence.reconstruction
        for divergence, capacity in zip(divergences, self.capacities, strict=True):
            capacity = schedules.evaluate(capacity, evidence.step, evidence.training)
            loss = loss + self.gamma * ops.abs(ops.mean(divergence) - capacity)
        values = [evidence.reconstruction, sum(divergences), *(divergences if split else ())]
        return loss, dict(zip(self.terms, values, strict=True))

    def get_config(self):
        capacities = [schedules.serialize(c) for c in self.capacities]
        return {
            "gamma": self.gamma,
            "capacity": capacities[0] if self.parts is None else capacities,
            "parts": self.parts,
        }


@register
class Reconstruction(Objective):
    """-log p(x|z) alone: the loss of an autoencoder that is not variational."""

    terms = ("reconstruction_loss",)

    def __call__(self, evidence):
        reconstruction = -ops.mean(evidence.log_px, axis=0)
        return reconstruction, {"reconstruction_loss": reconstruction}

    def get_config(self):
        return {}
