"""The importance-weighted bound."""

import math

from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae.objectives.base import Objective


@register
class IWAE(Objective):
    """-log 1/K Σ p(x|z) p(z) / q(z|x), Burda et al. 2016.

    With "dreg" the gradient to the encoder is the doubly reparameterised one of
    Tucker et al. 2019, Σ w̃² ∂log w/∂z ∂z/∂φ, whose signal does not drown as K grows.
    It costs a second pass through the decoder, and needs a posterior whose density
    is known everywhere.

    With `backward` the gradient Σ w̃ ∇log w is estimated, without bias, as the mean of
    ∇log w over so many samples, drawn by their weights w̃ (section 3 of Burda et al.).
    All K pass the decoder once, and only those drawn pass it again and back.

    Args:
        samples: K, samples of z for each example.
        gradient: "standard" or "dreg".
        backward: samples whose gradient is taken, from 1 to K; None for all.

    Raises:
        ValueError: `samples` below 1, an unknown gradient, or `backward` not from 1 to K.
    """

    terms = ("reconstruction_loss", "kl_loss")

    def __init__(self, samples=50, gradient="standard", backward=None):
        if gradient not in ("standard", "dreg"):
            raise ValueError(
                f"`gradient` must be 'standard' or 'dreg'. Received: gradient={gradient!r}"
            )
        self.samples = _checks.count(samples, "samples")
        self.gradient = gradient
        self.backward = None if backward is None else _checks.count(backward, "backward")
        if backward is not None and backward > samples:
            raise ValueError(
                "`backward` must not be larger than `samples`. "
                f"Received: backward={backward}, samples={samples}"
            )

    def __call__(self, evidence):
        every = evidence if evidence.every is None else evidence.every
        log_samples = math.log(every.log_weights.shape[0])
        loss = log_samples - ops.logsumexp(every.log_weights, axis=0)
        if evidence.every is not None:
            slope = ops.mean(evidence.log_weights, axis=0)
            # A learned prior's parameters are part of every weight.
            loss = ops.stop_gradient(loss + slope) - slope
        return loss, {"reconstruction_loss": every.reconstruction, "kl_loss": every.kl}

    def get_config(self):
        return {"samples": self.samples, "gradient": self.gradient, "backward": self.backward}
