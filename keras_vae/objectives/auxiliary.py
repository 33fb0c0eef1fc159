"""The evidence and the objective of an auxiliary deep generative model."""

import math
from typing import NamedTuple

from keras import ops

from keras_vae import _checks, schedules
from keras_vae._registry import register
from keras_vae.objectives.base import Objective, weight_or_schedule

__all__ = ["Auxiliary", "AuxiliaryEvidence"]


class AuxiliaryEvidence(NamedTuple):
    """One forward pass of an `AuxiliaryVAE`. K samples, n examples, C classes.

    Each example is evaluated for all C classes; without classes C is 1.

    Attributes:
        x: the data, `(n, ...)`.
        z: samples of q(z|a,x,y), `(K, n, C, d)`.
        known: one-hot labels `(n, C)`; rows of zeros for unlabelled examples.
        log_qy: log q(y|a,x), `(K, n, C)`.
        log_px: log p(x|y,z), `(K, n, C)`.
        kl_z: KL(q(z|a,x,y) || p(z)), `(K, n, C)`; exact if it has a closed form.
        log_ratio_z: log q(z|a,x,y) - log p(z), `(K, n, C)`.
        log_ratio_a: log q(a|x) - log p(a|x,y,z), `(K, n, C)`.
        step: training step, an integer scalar.
        training: whether schedules use `step`, or else their final values.
    """

    x: object
    z: object
    known: object
    log_qy: object
    log_px: object
    kl_z: object
    log_ratio_z: object
    log_ratio_a: object
    step: object
    training: bool

    @property
    def labelled(self):
        """1 for labelled examples, else 0: `(n,)`."""
        return ops.sum(self.known, axis=-1)

    @property
    def classes(self):
        return self.log_qy.shape[-1]

    @property
    def weights(self):
        """Weights of the classes: the one-hot label if there is one, else q(y|a,x)."""
        unknown = ops.expand_dims(1.0 - self.labelled, -1)
        return self.known + unknown * ops.exp(self.log_qy)

    def expected(self, values):
        """Mean of `(K, n, C)` over samples and, by `weights`, over classes: `(n,)`."""
        return ops.mean(ops.sum(self.weights * values, axis=-1), axis=0)

    @property
    def label(self):
        """KL(q(y|a,x) || p(y)) with p(y) = 1/C, `(n,)`; log C for a labelled example."""
        believed = self.expected((1.0 - ops.expand_dims(self.labelled, -1)) * self.log_qy)
        return believed + math.log(self.classes)

    @property
    def classification(self):
        """-log q(y|a,x) of labelled examples, else 0: `(n,)`."""
        return -ops.mean(ops.sum(self.known * self.log_qy, axis=-1), axis=0)

    @property
    def log_weights(self):
        """Log-weights of log p(x), summed over classes; of log p(x|y) with a label: `(K, n)`."""
        joint = self.log_px - self.log_ratio_z - self.log_ratio_a
        labelled = ops.expand_dims(self.labelled, -1)
        # A label excludes the other classes.
        allowed = ops.where(labelled * (1.0 - self.known) > 0.0, -1e30, 0.0)
        prior = -math.log(self.classes) * (1.0 - labelled)
        return ops.logsumexp(joint + prior + allowed, axis=-1)


@register
class Auxiliary(Objective):
    """-log p(x|z,y) + β (KL_z + log q(a|x) - log p(a|x,y,z)) + KL_y - α log q(y|a,x).

    Maaløe et al., "Auxiliary Deep Generative Models", 2016. The terms of a labelled
    example are those of its label, and the last term is added. The terms of an unlabelled
    example are means over classes with the weights q(y|a,x), and KL_y = Σ_y q(y|a,x) log C
    q(y|a,x). For β = 1 and α = 0 the loss bounds -log p(x, y) or -log p(x).

    Args:
        classification: α, at least 0. In the paper 0.1 · (number of examples) / (number
            of labelled examples).
        beta: a number of at least 0 or a `Schedule`.
        labels: whether the model has classes.

    Raises:
        ValueError: a negative weight.
    """

    def __init__(
        self,
        classification: float = 1.0,
        beta: float | schedules.Schedule = 1.0,
        labels: bool = True,
    ) -> None:
        self.classification = _checks.at_least_0("classification", classification)
        self.beta = weight_or_schedule("beta", beta)
        self.labels = bool(labels)
        added = ("label_loss", "classification_loss") if labels else ()
        self.terms = ("reconstruction_loss", "kl_loss", "auxiliary_loss", *added)

    def __call__(self, evidence):
        beta = schedules.evaluate(self.beta, evidence.step, evidence.training)
        reconstruction = -evidence.expected(evidence.log_px)
        kl = evidence.expected(evidence.kl_z)
        auxiliary = evidence.expected(evidence.log_ratio_a)
        values = (reconstruction, kl, auxiliary)
        loss = reconstruction + beta * (kl + auxiliary)
        if self.labels:
            values = (*values, evidence.label, evidence.classification)
            loss = loss + evidence.label + self.classification * evidence.classification
        return loss, dict(zip(self.terms, values, strict=True))

    def get_config(self):
        return {
            "classification": self.classification,
            "beta": schedules.serialize(self.beta),
            "labels": self.labels,
        }
