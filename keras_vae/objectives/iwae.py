"""The importance-weighted bound."""

import math

from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae.objectives.base import Objective

__all__ = ["IWAE"]


@register
class IWAE(Objective):
    """-log 1/K Σ p(x|z) p(z) / q(z|x), Burda et al. 2016.

    With "dreg" the gradient to the encoder is the doubly reparameterised one of
    Tucker et al. 2019, Σ w̃² ∂log w/∂z ∂z/∂φ, whose signal does not drown as K grows.
    It costs a second pass through the decoder, and needs a posterior whose density
    is known everywhere. Both passes are in training mode and share their noise: the masks
    of dropout and a variance fitted to the batch are the same for the weights w̃ and for
    the gradient, and their state moves once. Batch normalisation in the decoder ties
    samples to each other, for which the estimator does not hold: the gradient is then
    the standard one.

    With `backward` the gradient Σ w̃ ∇log w is estimated, without bias, as the mean of
    ∇log w over so many samples, drawn by their weights w̃ (section 3 of Burda et al.).
    All K pass the decoder once, and only those drawn pass it again and back. Of a decoder
    with dropout or batch normalisation, or a variance fitted to the batch, another pass of
    other samples is another function: the gradient is then that of all K.

    Args:
        samples: K, samples of z for each example.
        gradient: "standard" or "dreg".
        backward: samples whose gradient is taken, from 1 to K; None for all.

    Raises:
        ValueError: `samples` below 1, an unknown gradient, or `backward` not from 1 to K.
    """

    terms = ("reconstruction_loss", "kl_loss")
    needs_densities = True

    def __init__(
        self, samples: int = 50, gradient: str = "standard", backward: int | None = None
    ) -> None:
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

    def draw(self, evidence, probe):
        """Chooses the samples that have a gradient, and gives them the gradient asked for.

        See `Objective.draw`. Both kinds weigh the samples by w̃ = softmax(log w), which is
        computed without a gradient.
        """
        if not evidence.training or (self.gradient == "standard" and self.backward is None):
            return evidence
        model = probe()
        backward = self.backward if model.samples_are_independent else None
        dreg = self.gradient == "dreg" and not model.samples_are_tied
        if not dreg and backward is None:
            return evidence
        fixed = evidence._replace(
            z=ops.stop_gradient(evidence.z), log_qz=ops.stop_gradient(evidence.log_qz)
        )
        fixed = fixed._replace(log_px=ops.stop_gradient(model.log_px(fixed.z)))
        total = ops.logsumexp(fixed.log_weights, axis=0)
        weights = ops.stop_gradient(ops.exp(fixed.log_weights - total))
        if backward is not None:
            chosen = systematic_choice(weights, backward, model.uniform)
            z, log_qz, weights = (
                _take(tensor, chosen) for tensor in (evidence.z, evidence.log_qz, weights)
            )
            evidence = evidence._replace(z=z, log_qz=log_qz, every=fixed)
        if dreg:
            # The same samples, but their gradient is multiplied by w̃ once more, and the
            # density of q has none by its own parameters.
            still = ops.stop_gradient(evidence.z)
            # A code has one axis, or three where it is a map.
            for _ in evidence.z.shape[2:]:
                weights = ops.expand_dims(weights, -1)
            z = still + weights * (evidence.z - still)
            density = model.fixed_log_prob(z)
            # The value that was found from the noise, which is exact where σ is small.
            log_qz = ops.stop_gradient(evidence.log_qz - density) + density
            evidence = evidence._replace(z=z, log_qz=log_qz)
        return evidence

    def sample_shares(self, log_weights):
        return None if self.samples == 1 else ops.softmax(log_weights, axis=0)

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


def systematic_choice(weights, count, uniform):
    """Indices `(count, n)` of samples, drawn by their weights.

    Systematic sampling: the mean number of times that a sample is chosen is as in
    independent draws, with a smaller variance.

    Args:
        weights: `(K, n)`, which sum to 1 over the samples.
        count: how many to draw.
        uniform: function from a shape to uniform numbers in [0, 1).
    """
    first = uniform((1, ops.shape(weights)[1]))
    places = (ops.expand_dims(ops.arange(count, dtype="float32"), 1) + first) / count
    passed = ops.expand_dims(places, 1) >= ops.cumsum(weights, axis=0)
    return ops.minimum(ops.sum(ops.cast(passed, "int32"), axis=1), weights.shape[0] - 1)


def _take(tensor, chosen):
    """The chosen samples `(count, n)` of each example, of a tensor `(K, n, ...)`."""
    chosen = ops.reshape(chosen, (chosen.shape[0], -1) + (1,) * (len(tensor.shape) - 2))
    return ops.take_along_axis(tensor, chosen, axis=0)
