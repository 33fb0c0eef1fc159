"""Objectives: evidence in, a loss for every example and its named terms out.

`Evidence` holds what a forward pass has found out about a batch. An objective
is a function of it with a configuration; it names its `terms` and the number
of `samples` of z that it wants for each example. Losses are nats, summed over
pixels and latent dimensions.
"""

from typing import NamedTuple

import keras
from keras import ops

from keras_vae import distributions, schedules

register = keras.saving.register_keras_serializable("keras_vae")


class Evidence(NamedTuple):
    """One forward pass. K samples, n examples, d latent dimensions.

    Attributes:
        x: what was observed, `(n, ...)`.
        q: posterior, parameters `(n, d)`.
        p: prior, parameters broadcastable to `(n, d)`.
        z: samples of q, `(K, n, d)`.
        log_px: log p(x|z), `(K, n)`, nats.
        step: training step, an integer scalar.
        training: whether schedules run.
    """

    x: object
    q: distributions.Distribution
    p: distributions.Distribution
    z: object
    log_px: object
    step: object
    training: bool

    @property
    def log_weights(self):
        """log p(x|z) + log p(z) - log q(z|x), `(K, n)`."""
        return self.log_px + self.p.log_prob(self.z) - self.q.log_prob(self.z)

    @property
    def kl(self):
        """KL(q || p), `(n,)`: exact where a closed form is known."""
        try:
            return self.q.kl(self.p)
        except NotImplementedError:
            log_ratio = self.q.log_prob(self.z) - self.p.log_prob(self.z)
            return ops.mean(log_ratio, axis=0)


class Objective:
    """Base class.

    Attributes:
        terms: names under which the terms are logged, in order.
        samples: samples of z for each example.
    """

    terms = ()
    samples = 1

    def __call__(self, evidence):
        """Returns the loss `(n,)` and a dict of terms, each `(n,)`, in nats."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@register
class ELBO(Objective):
    """Negative evidence lower bound: -log p(x|z) + β · KL(q(z|x) || p(z)).

    Kingma & Welling 2014; with a constant β Higgins et al. 2017 (β-VAE).
    Evaluation uses the final value of a schedule, so with a warm-up to 1 the
    validation loss is the bound itself.

    Args:
        beta: a number of at least 0 or a `Schedule`.
        samples: samples of z for each example.

    Raises:
        ValueError: negative `beta`, or `samples` below 1.
    """

    terms = ("reconstruction_loss", "kl_loss")

    def __init__(self, beta=1.0, samples=1):
        beta = schedules.deserialize(beta)
        if not isinstance(beta, schedules.Schedule) and not beta >= 0.0:
            raise ValueError(f"`beta` must be at least 0 or a Schedule. Received: beta={beta!r}")
        if not isinstance(samples, int) or samples < 1:
            raise ValueError(
                f"`samples` must be an integer of at least 1. Received: samples={samples!r}"
            )
        self.beta = beta
        self.samples = samples

    def __call__(self, evidence):
        beta = schedules.evaluate(self.beta, evidence.step, evidence.training)
        reconstruction = -ops.mean(evidence.log_px, axis=0)
        kl = evidence.kl
        loss = reconstruction + beta * kl
        return loss, {"reconstruction_loss": reconstruction, "kl_loss": kl}

    def get_config(self):
        return {"beta": schedules.serialize(self.beta), "samples": self.samples}


@register
class Reconstruction(Objective):
    """-log p(x|z) alone: the loss of an autoencoder that is not variational."""

    terms = ("reconstruction_loss",)

    def __call__(self, evidence):
        reconstruction = -ops.mean(evidence.log_px, axis=0)
        return reconstruction, {"reconstruction_loss": reconstruction}

    def get_config(self):
        return {}
