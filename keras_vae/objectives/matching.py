"""Objectives that match the aggregate posterior to the prior: MMD, sliced Wasserstein distance."""

import math

from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.objectives.base import Objective, same

__all__ = ["MMD", "SlicedWasserstein", "mmd", "sliced_wasserstein"]

# Scales of the sum of inverse multiquadratics, from the code of Tolstikhin et al. 2018.
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def _kernel(a, b, kind):
    """k(a_i, b_j) `(n, m)` of codes `(n, d)` and `(m, d)`."""
    apart = ops.expand_dims(a, 1) - ops.expand_dims(b, 0)
    squared = ops.sum(ops.square(apart), axis=-1)
    # Twice the expected squared distance of a standard normal code from its mean.
    width = 2.0 * a.shape[-1]
    if kind == "rbf":
        return ops.exp(-squared / width)
    return sum(width * s / (width * s + squared) for s in SCALES)


def mmd(
    z: Tensor, prior_z: Tensor, kernel: str = "imq", prior_weights: Tensor | None = None
) -> Tensor:
    """Unbiased estimate of the squared maximum mean discrepancy, Gretton et al. 2012.

    Σ_{i≠j} k(z_i, z_j) / (n(n-1)) + Σ_{i≠j} k(z̃_i, z̃_j) / (n(n-1)) - 2 Σ k(z_i, z̃_j) / n².
    The mean is 0 if both distributions are equal, so that estimates may be negative. For a
    single code the terms over pairs are 0.

    Args:
        z: codes `(n, d)`.
        prior_z: codes z̃ drawn from the prior, `(n, d)`.
        kernel: "imq", Σ_s C·s / (C·s + ‖·‖²) over `SCALES`, or "rbf", e^(-‖·‖²/C);
            C = 2d.
        prior_weights: factors of the prior's codes, `(n,)`, see
            `Distribution.choice_weights`; None where they are 1.

    Returns:
        A scalar tensor.
    """
    n = ops.shape(z)[0]
    index = ops.arange(n)
    apart = 1.0 - same(index, index)
    n = ops.cast(n, "float32")
    pairs = ops.maximum(n * (n - 1.0), 1.0)
    own = ops.sum(apart * _kernel(z, z, kernel)) / pairs
    within = _kernel(prior_z, prior_z, kernel)
    if prior_weights is not None:
        within = within * prior_weights * ops.expand_dims(prior_weights, 1)
    theirs = ops.sum(apart * within) / pairs
    across = _kernel(z, prior_z, kernel)
    if prior_weights is not None:
        across = across * prior_weights
    return own + theirs - 2.0 * ops.mean(across)


class _Matched(Objective):
    """-log p(x|z) + weight · a distance between the batch's codes and the prior's."""

    def _prior_noise(self, evidence):
        return evidence.normal((ops.shape(evidence.z)[1], evidence.p.noise_dim))


@register
class MMD(_Matched):
    """-log p(x|z) + κ KL + λ MMD²(q(z), p(z)).

    InfoVAE (Zhao et al. 2019) with κ = 1 - α, and the Wasserstein autoencoder
    (Tolstikhin et al. 2018) with κ = 0, which needs no density of q. See `mmd`.

    Args:
        mmd_weight: λ, above 0; a negative weight would repel the codes from the prior.
        kl_weight: κ, at least 0.
        kernel: "imq" or "rbf".

    Raises:
        ValueError: a weight that is out of range, or an unknown kernel.
    """

    def __init__(self, mmd_weight: float, kl_weight: float = 0.0, kernel: str = "imq") -> None:
        if kernel not in ("imq", "rbf"):
            raise ValueError(f"`kernel` must be 'imq' or 'rbf'. Received: kernel={kernel!r}")
        if not 0.0 < mmd_weight < math.inf:
            raise ValueError(
                "The weight of the MMD must be above 0, or training would drive the codes "
                f"away from the prior. Received: mmd_weight={mmd_weight!r}"
            )
        self.mmd_weight, self.kernel = float(mmd_weight), kernel
        self.kl_weight = _checks.at_least_0("kl_weight", kl_weight)
        self.terms = ("reconstruction_loss", *(("kl_loss",) if kl_weight else ()), "mmd_loss")

    def __call__(self, evidence):
        noise, p = self._prior_noise(evidence), evidence.p
        weights = p.choice_weights(noise)
        distance = mmd(evidence.z[0], p.transform(noise), self.kernel, weights)
        reconstruction = evidence.reconstruction
        loss = reconstruction + self.mmd_weight * distance
        terms = {
            "reconstruction_loss": reconstruction,
            "mmd_loss": distance + ops.zeros_like(reconstruction),
        }
        # The weight may have become 0 since, and a term that is logged must be there.
        if self.kl_weight or "kl_loss" in self.terms:
            terms["kl_loss"] = evidence.kl
            loss = loss + self.kl_weight * terms["kl_loss"]
        return loss, terms

    def get_config(self):
        return {
            "mmd_weight": self.mmd_weight,
            "kl_weight": self.kl_weight,
            "kernel": self.kernel,
        }


def sliced_wasserstein(z: Tensor, prior_z: Tensor, directions: Tensor) -> Tensor:
    """Mean squared distance of sorted projections, Kolouri et al. 2018.

    Args:
        z, prior_z: codes `(n, d)`.
        directions: vectors `(slices, d)` of any length.

    Returns:
        A scalar tensor, at least 0.
    """
    length = ops.sqrt(ops.sum(ops.square(directions), axis=-1, keepdims=True))
    directions = ops.transpose(directions / ops.maximum(length, 1e-12))
    a, b = (ops.sort(ops.matmul(codes, directions), axis=0) for codes in (z, prior_z))
    return ops.mean(ops.square(a - b))


@register
class SlicedWasserstein(_Matched):
    """-log p(x|z) + λ · sliced Wasserstein distance² between q(z) and p(z).

    Args:
        weight: λ, at least 0.
        slices: number of random directions.

    Raises:
        ValueError: a negative weight, or `slices` below 1.
    """

    terms = ("reconstruction_loss", "wasserstein_loss")
    # Sorting has no place for `choice_weights`.
    draws_from_prior = True

    def __init__(self, weight: float = 10.0, slices: int = 50) -> None:
        self.slices = _checks.count(slices, "slices")
        self.weight = _checks.at_least_0("weight", weight)

    def __call__(self, evidence):
        z = evidence.z[0]
        directions = evidence.normal((self.slices, z.shape[-1]))
        prior_z = evidence.p.transform(self._prior_noise(evidence))
        distance = sliced_wasserstein(z, prior_z, directions)
        reconstruction = evidence.reconstruction
        values = (reconstruction, distance + ops.zeros_like(reconstruction))
        loss = reconstruction + self.weight * distance
        return loss, dict(zip(self.terms, values, strict=True))

    def get_config(self):
        return {"weight": self.weight, "slices": self.slices}
