"""Codes near the origin and a smooth decoder, in place of noise in the code."""

import math

from keras import ops

from keras_vae import _checks, schedules
from keras_vae._registry import register
from keras_vae.objectives.base import Objective, weight_or_schedule

__all__ = ["Regularized"]

_PENALTIES = ("l2", "gradient")


@register
class Regularized(Objective):
    """-log p(x|z) + β ½‖z‖² + λ · penalty of the decoder, Ghosh et al. 2020.

    The penalty "l2" is ‖θ‖², the sum of squares of all trainable weights of the decoder, the
    same for all examples. "gradient" is ‖∂x̂/∂z‖²_F, the squared Jacobian of the mean of
    p(x|z), estimated without bias from K products vᵀ ∂x̂/∂z with random signs v (Hutchinson
    1989).

    Terms: `reconstruction_loss`, `code_loss` (½‖z‖²) and `penalty_loss`, without their
    weights.

    Args:
        penalty: "l2" or "gradient".
        beta: β, a number of at least 0 or a `Schedule`.
        weight: λ, at least 0.
        probes: K, number of random vectors of "gradient".

    Raises:
        ValueError: an unknown penalty, or a number that is out of range.
    """

    terms = ("reconstruction_loss", "code_loss", "penalty_loss")

    def __init__(
        self,
        penalty: str = "l2",
        beta: float | schedules.Schedule = 1e-2,
        weight: float = 1e-4,
        probes: int = 1,
    ) -> None:
        if penalty not in _PENALTIES:
            raise ValueError(
                f"`penalty` must be one of {_PENALTIES}. Received: penalty={penalty!r}"
            )
        self.penalty, self.beta = penalty, weight_or_schedule("beta", beta)
        self.weight, self.probes = (
            _checks.at_least_0("weight", weight),
            _checks.count(probes, "probes"),
        )

    def __call__(self, evidence):
        beta = schedules.evaluate(self.beta, evidence.step, evidence.training)
        reconstruction, z = evidence.reconstruction, evidence.z
        squares = ops.sum(ops.square(z), axis=tuple(range(2, len(z.shape))))
        code = 0.5 * ops.mean(squares, axis=0)
        if self.penalty == "l2":
            penalty = evidence.squared_weights() * ops.ones_like(code)
        else:
            numbers = math.prod(evidence.x.shape[1:])
            noise = evidence.normal((self.probes, ops.shape(z)[1], numbers))
            penalty = evidence.squared_output_jacobian(
                z[0], vectors=ops.where(noise < 0.0, -1.0, 1.0)
            )
        terms = {"reconstruction_loss": reconstruction, "code_loss": code, "penalty_loss": penalty}
        return reconstruction + beta * code + self.weight * penalty, terms

    def get_config(self):
        return {
            "penalty": self.penalty,
            "beta": schedules.serialize(self.beta),
            "weight": self.weight,
            "probes": self.probes,
        }
