"""The objective of a VQ-VAE."""

from typing import NamedTuple

from keras import ops

from keras_vae._registry import register
from keras_vae.objectives.base import Objective
from keras_vae.quantizers import Discretized

__all__ = ["Quantized", "QuantizedEvidence"]


class QuantizedEvidence(NamedTuple):
    """One forward pass of a `VQVAE`. n examples, maps of codes `(h, w)`.

    Attributes:
        x: the data, `(n, ...)`.
        discretized: `quantizers.Discretized` of the encoder's outputs: codes `(n, h, w)`, their
            vectors and the quantizer's losses.
        perplexity: that of the codes of the batch, a scalar.
        log_px: log p(x|codes), `(n,)`, nats.
        log_pc: log p(codes), `(n,)`, nats.
        step: training step, an integer scalar.
        training: whether schedules use `step`, or else their final values.
    """

    x: object
    discretized: Discretized
    perplexity: object
    log_px: object
    log_pc: object
    step: object
    training: bool


@register
class Quantized(Objective):
    """-log p(x|c) + β ‖z_e - sg(e)‖² + the quantizer's own loss - log p(c).

    van den Oord et al. 2017. The distances are sums over positions and dimensions of the
    codes. The quantizer's own loss is ‖sg(z_e) - e‖² of a codebook that gradients train, an
    entropy of `quantizers.LookupFree`, and nothing of running averages. The prior has no
    gradient to the encoder, because codes are integers. `commitment_loss` is logged without β
    and the own loss; `perplexity` is that of the batch, at most its number of positions.

    Args:
        commitment: β, at least 0.

    Raises:
        ValueError: negative `commitment`.
    """

    terms = ("reconstruction_loss", "commitment_loss", "prior_loss", "perplexity")
    averages = ("perplexity",)

    def __init__(self, commitment: float = 0.25) -> None:
        if not commitment >= 0.0:
            raise ValueError(
                f"`commitment` must be at least 0. Received: commitment={commitment!r}"
            )
        self.commitment = commitment

    def __call__(self, evidence):
        commitment = evidence.discretized.commitment_loss
        terms = {
            "reconstruction_loss": -evidence.log_px,
            "commitment_loss": commitment,
            "prior_loss": -evidence.log_pc,
            "perplexity": evidence.perplexity + ops.zeros_like(commitment),
        }
        own = evidence.discretized.loss(self.commitment)
        return terms["reconstruction_loss"] + own + terms["prior_loss"], terms

    def get_config(self):
        return {"commitment": self.commitment}
