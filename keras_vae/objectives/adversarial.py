"""Objectives with a discriminator: of codes against the prior, of decodings against data."""

from typing import Any, NamedTuple

from keras import ops

from keras_vae import _checks, schedules
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.objectives.base import Objective, weight_or_schedule

__all__ = [
    "AdversarialMatching",
    "FeatureMatching",
    "Judged",
    "discriminator_losses",
    "generator_losses",
]

LOSSES = ("logistic", "hinge")


class Judged(NamedTuple):
    """What a discriminator says of a batch. n examples.

    Attributes:
        real: logits of what is real, `(n,)`.
        fakes: tuple of logits of what is generated, each `(n,)`.
        seen: what the discriminator was given, for its own step: the real batch, and all that is
            generated.
        distance: ½ ‖features of x - features of its reconstruction‖², `(n,)`; None of codes.
        ratio: what the adversarial loss is multiplied by for its gradient to be as large as
            that of the rest, a scalar; None where that was not asked for.
    """

    real: Any
    fakes: Any
    seen: Any
    distance: Any = None
    ratio: Any = None


def generator_losses(logits: Tensor, kind: str = "logistic") -> Tensor:
    """What the generator minimises: -log D ("logistic", Goodfellow et al. 2014, the version that
    does not saturate), or -logit ("hinge", Lim & Ye 2017)."""
    return ops.softplus(-logits) if kind == "logistic" else -logits


def discriminator_losses(real: Tensor, fakes: tuple[Tensor, ...], kind: str = "logistic") -> Tensor:
    """What the discriminator minimises, for each example.

    "logistic": -log D(real) - Σ log(1 - D(fake)); "hinge": max(0, 1 - logit) of what is real
    and max(0, 1 + logit) of each that is generated.
    """
    if kind == "logistic":
        return ops.softplus(-real) + sum(ops.softplus(fake) for fake in fakes)
    return ops.relu(1.0 - real) + sum(ops.relu(1.0 + fake) for fake in fakes)


class Adversarial(Objective):
    """Base class: the weight of the adversarial term, and what is logged of the discriminator."""

    _terms = ("adversarial_loss", "discriminator_loss", "discriminator_accuracy")
    averages = ("discriminator_loss", "discriminator_accuracy")
    adaptive = False

    def __init__(self, weight, loss, start_step):
        if loss not in LOSSES:
            raise ValueError(f"`loss` must be one of {LOSSES}. Received: loss={loss!r}")
        self.weight = _checks.at_least_0("weight", weight)
        self.loss, self.start_step = loss, _checks.count(start_step, "start_step", 0)

    def _judged(self, evidence):
        if evidence.discriminator is None:
            raise ValueError(
                "This objective needs a model with a discriminator: `models.vae_gan` or "
                "`models.adversarial_autoencoder`. Received: discriminator=None"
            )
        return evidence.discriminator(evidence)

    def _adversarial(self, evidence, judged):
        """The weighted loss of the generator, and the three terms."""
        generator = sum(generator_losses(fake, self.loss) for fake in judged.fakes)
        weight = self.weight
        if judged.ratio is not None:
            weight = weight * judged.ratio
        if evidence.training and self.start_step:
            weight = weight * ops.cast(evidence.step >= self.start_step, "float32")
        right = [judged.real > 0.0, *(fake < 0.0 for fake in judged.fakes)]
        accuracy = sum(ops.cast(each, "float32") for each in right) / len(right)
        told = discriminator_losses(judged.real, judged.fakes, self.loss)
        return weight * generator, dict(zip(self._terms, (generator, told, accuracy), strict=True))

    def get_config(self):
        return {"weight": self.weight, "loss": self.loss, "start_step": self.start_step}


@register
class AdversarialMatching(Adversarial):
    """-log p(x|z) + w · G, where G has codes taken for draws from the prior, Makhzani et al. 2016.

    For an optimal discriminator codes have the distribution of the prior. `models.
    AdversarialAutoencoder` trains the discriminator.

    Args:
        weight: w, at least 0.
        loss: "logistic" or "hinge".
        start_step: step from which on G counts; the discriminator is trained from the first.

    Raises:
        ValueError: an unknown loss, or a negative number.
    """

    terms = ("reconstruction_loss", *Adversarial._terms)
    draws_from_prior = True

    def __init__(self, weight: float = 1.0, loss: str = "logistic", start_step: int = 0) -> None:
        super().__init__(weight, loss, start_step)

    def __call__(self, evidence):
        loss, terms = self._adversarial(evidence, self._judged(evidence))
        reconstruction = evidence.reconstruction
        return reconstruction + loss, {"reconstruction_loss": reconstruction, **terms}


@register
class FeatureMatching(Adversarial):
    """β KL + ½ ‖D_l(x) - D_l(x̂)‖² + w · G - v · log p(x|z), Larsen et al. 2016.

    D_l are the features of the discriminator's hidden layer, whose squared distance is the
    reconstruction error, as of a normal distribution around D_l(x̂). G has the decodings of codes
    and those of draws from the prior taken for data. No gradient of G reaches the encoder.
    In the paper the decoder minimises γ times the distance, plus G: w is 1/γ, and the gradient
    that the decoder sees the paper's divided by γ.

    Args:
        weight: w, at least 0.
        pixel_weight: v; 0 in the paper, where features replace pixels.
        beta: β, a number or a `schedules.Schedule`; 0 leaves the KL out, as of codes without
            noise.
        loss: "logistic" or "hinge".
        start_step: step from which on G counts; the discriminator is trained from the first.
        adaptive: whether G is also multiplied by the ratio of the norms of the gradients of the
            reconstruction error and of G by the decoder's outputs, Esser, Rombach & Ommer 2021
            (who take the weights of the decoder's last layer).

    Raises:
        ValueError: an unknown loss, or a negative number.
    """

    def __init__(
        self,
        weight: float = 1.0,
        pixel_weight: float = 0.0,
        beta: float | schedules.Schedule = 1.0,
        loss: str = "logistic",
        start_step: int = 0,
        adaptive: bool = False,
    ) -> None:
        super().__init__(weight, loss, start_step)
        self.pixel_weight = _checks.at_least_0("pixel_weight", pixel_weight)
        self.beta = weight_or_schedule("beta", beta)
        self.adaptive = bool(adaptive)
        kl = () if self.beta == 0.0 else ("kl_loss",)
        self.terms = ("reconstruction_loss", *kl, "feature_loss", *self._terms)

    def __call__(self, evidence):
        judged = self._judged(evidence)
        loss, terms = self._adversarial(evidence, judged)
        reconstruction = evidence.reconstruction
        loss = loss + judged.distance + self.pixel_weight * reconstruction
        terms = {"reconstruction_loss": reconstruction, "feature_loss": judged.distance, **terms}
        if "kl_loss" in self.terms:
            terms["kl_loss"] = evidence.kl
            beta = schedules.evaluate(self.beta, evidence.step, evidence.training)
            loss = loss + beta * terms["kl_loss"]
        return loss, terms

    def get_config(self):
        return {
            **super().get_config(),
            "pixel_weight": self.pixel_weight,
            "beta": schedules.serialize(self.beta),
            "adaptive": self.adaptive,
        }
