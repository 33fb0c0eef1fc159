"""The objective of a VQ-VAE."""

from typing import NamedTuple

from keras import ops

from keras_vae._registry import register
from keras_vae.objectives.base import Objective

__all__ = ["Quantized", "QuantizedEvidence"]


class QuantizedEvidence(NamedTuple):
    """One forward pass of a `VQVAE`. n examples, maps of codes `(h, w)`.

    Attributes:
        x: the data, `(n, ...)`.
        codes: nearest codes, `(n, h, w)`.
        features: outputs of the encoder, `(n, h, w, d)`.
        vectors: the codes' vectors, `(n, h, w, d)`.
        learned: whether the vectors are trained by gradient.
        perplexity: that of the codes of the batch, a scalar.
        log_px: log p(x|codes), `(n,)`, nats.
        log_pc: log p(codes), `(n,)`, nats.
        step: training step, an integer scalar.
        training: whether schedules use `step`, or else their final values.
    """

    x: object
    codes: object
    features: object
    vectors: object
    learned: bool
    perplexity: object
    log_px: object
    log_pc: object
    step: object
    training: bool


@register
class Quantized(Objective):
    """-log p(x|c) + β ‖z_e - sg(e)‖² + ‖sg(z_e) - e‖² - log p(c).

    van den Oord et al. 2017. The distances are sums over positions and dimensions of the
    codes. The third term is omitted if the codebook is a running average. The prior has no
    gradient to the encoder, because codes are integers. `perplexity` is that of the batch,
    at most its number of positions.

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
        def distance(a, b):
            return ops.sum(ops.square(a - b), axis=tuple(range(1, len(a.shape))))

        features, vectors = evidence.features, evidence.vectors
        commitment = distance(features, ops.stop_gradient(vectors))
        terms = {
            "reconstruction_loss": -evidence.log_px,
            "commitment_loss": commitment,
            "prior_loss": -evidence.log_pc,
            "perplexity": evidence.perplexity + ops.zeros_like(commitment),
        }
        loss = terms["reconstruction_loss"] + self.commitment * commitment + terms["prior_loss"]
        if evidence.learned:
            loss = loss + distance(ops.stop_gradient(features), vectors)
        return loss, terms

    def get_config(self):
        return {"commitment": self.commitment}
