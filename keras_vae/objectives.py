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


class QuantizedEvidence(NamedTuple):
    """One forward pass of a `VQVAE`. n examples, maps of codes `(h, w)`.

    Attributes:
        x: what was observed, `(n, ...)`.
        codes: nearest codes, `(n, h, w)`.
        features: what the encoder gave, `(n, h, w, d)`.
        vectors: the codes' vectors, `(n, h, w, d)`.
        learned: whether the vectors are trained by their gradient.
        perplexity: of the batch's codes, a scalar.
        log_px: log p(x|codes), `(n,)`, nats.
        log_pc: log p(codes), `(n,)`, nats.
        step: training step, an integer scalar.
        training: whether schedules run.
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

    van den Oord et al. 2017. The distances are sums over positions and dimensions
    of the codes; that of the codebook is left out where it is a running average.
    The prior's gradient does not reach the encoder, whose codes are integers.
    `perplexity` is that of the batch, so it is at most its number of positions.

    Args:
        commitment: β, at least 0.

    Raises:
        ValueError: negative `commitment`.
    """

    terms = ("reconstruction_loss", "commitment_loss", "prior_loss", "perplexity")

    def __init__(self, commitment=0.25):
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
