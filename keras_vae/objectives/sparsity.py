"""Penalties that keep few units of a code active."""

from collections.abc import Sequence

from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae.objectives.base import Objective

__all__ = ["PENALTIES", "Sparse"]

PENALTIES = ("l1", "l2", "kl")
# Distance of mean activations from 0 and 1, where the KL is infinite.
_MARGIN = 1e-6


@register
class Sparse(Objective):
    """-log p(x|z) + λ times a penalty on the activity of the code.

    "l1" is Σ_j |z_j| and "l2" Σ_j z_j² of each example; "kl" is Σ_j KL(ρ ‖ ρ̂_j) of
    Bernoulli variables, ρ̂_j unit j's mean activation over the batch (Ng, "Sparse
    Autoencoder", 2011), for codes in (0, 1). It is one number for the whole batch; sample
    weights do not change the mean activation.

    With `layer_weights` ω the sums of "l1" and "l2" include the encoder's hidden layers,
    layer k with the factor ω_k; the factor of the code is 1.

    Args:
        penalty: "l1", "l2" or "kl".
        weight: λ, at least 0.
        target: ρ of "kl", between 0 and 1.
        layer_weights: ω, one per hidden layer, from the data inwards; or None.

    Raises:
        ValueError: an unknown penalty, or a number that is out of range.
    """

    terms = ("reconstruction_loss", "sparsity_loss")

    def __init__(
        self,
        penalty: str = "l1",
        weight: float = 1e-3,
        target: float = 0.05,
        layer_weights: Sequence[float] | None = None,
    ) -> None:
        if penalty not in PENALTIES:
            raise ValueError(f"`penalty` must be one of {PENALTIES}. Received: penalty={penalty!r}")
        if not 0.0 < target < 1.0:
            raise ValueError(f"`target` must be between 0 and 1. Received: target={target!r}")
        if penalty == "kl" and layer_weights is not None:
            raise ValueError(
                "`layer_weights` are those of 'l1' and 'l2': activations of hidden layers need "
                f"not lie in (0, 1). Received: layer_weights={layer_weights!r}"
            )
        self.penalty, self.target = penalty, target
        self.layer_weights = None
        if layer_weights is not None:
            self.layer_weights = [
                _checks.at_least_0("layer_weights", omega) for omega in layer_weights
            ]
        self.weight = _checks.at_least_0("weight", weight)
        self.reads_hidden = layer_weights is not None

    def __call__(self, evidence):
        reconstruction = evidence.reconstruction
        z = ops.mean(evidence.z, axis=0)
        if self.penalty == "kl":
            sparsity = self._divergence(ops.mean(z, axis=0)) + ops.zeros_like(reconstruction)
        else:
            sparsity = self._size(z)
            for omega, values in self._layers(evidence):
                sparsity = sparsity + omega * self._size(values)
        terms = {"reconstruction_loss": reconstruction, "sparsity_loss": sparsity}
        return reconstruction + self.weight * sparsity, terms

    def _size(self, values):
        """Σ|h| or Σh² of each example, `(n,)`."""
        values = ops.cast(values, "float32")
        each = ops.abs(values) if self.penalty == "l1" else ops.square(values)
        return ops.sum(each, axis=tuple(range(1, len(values.shape))))

    def _layers(self, evidence):
        """Pairs of ω_k and the values of hidden layer k."""
        if self.layer_weights is None:
            return []
        values = evidence.hidden()
        if len(values) != len(self.layer_weights):
            raise ValueError(
                f"`layer_weights` must hold one for each of the encoder's {len(values)} hidden "
                f"layers. Received: layer_weights={self.layer_weights}"
            )
        return zip(self.layer_weights, values, strict=True)

    def _divergence(self, mean):
        """Σ_j KL(ρ ‖ ρ̂_j), nats, of mean activations `(d,)`."""
        # Not clipped: an inactive unit needs a gradient to become active again.
        mean = _MARGIN + (1.0 - 2.0 * _MARGIN) * mean
        on = self.target * (ops.log(self.target) - ops.log(mean))
        off = (1.0 - self.target) * (ops.log(1.0 - self.target) - ops.log(1.0 - mean))
        return ops.sum(on + off)

    def get_config(self):
        return {
            "penalty": self.penalty,
            "weight": self.weight,
            "target": self.target,
            "layer_weights": self.layer_weights,
        }
