"""Objectives: evidence in, a loss for every example and its named terms out.

`Evidence` holds what a forward pass has found out about a batch. An objective
is a function of it with a configuration; it names its `terms` and the number
of `samples` of z that it wants for each example. Losses are nats, summed over
pixels and latent dimensions.
"""

import math
from collections.abc import Callable
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
        log_qz: log q(z|x), `(K, n)`, nats; None where q has no density.
        log_px: log p(x|z), `(K, n)`, nats.
        step: training step, an integer scalar.
        training: whether schedules run.
        normal: function from a shape to standard normal noise, for objectives that
            draw.
        squared_jacobian: function that gives ‖∂code/∂x‖²_F of each example, `(n,)`;
            see `contraction.squared_jacobian`.
        hidden: function that gives the values of the encoder's hidden layers; see
            `sparsity.hidden`.
        discriminator: function from codes `(..., d)` to log-odds `(...)` that they are
            codes, and not ones with shuffled dimensions; None without one.
        every: the evidence of all samples, without a gradient, where `z` are those drawn
            from them by their weights; None where `z` are all.
    """

    x: object
    q: distributions.Distribution
    p: distributions.Distribution
    z: object
    log_qz: object
    log_px: object
    step: object
    training: bool
    normal: Callable
    squared_jacobian: Callable | None = None
    hidden: Callable | None = None
    discriminator: Callable | None = None
    every: "Evidence | None" = None

    @property
    def log_ratio(self):
        """log q(z|x) - log p(z), `(K, n)`."""
        if self.log_qz is None:
            raise ValueError(
                "This posterior has no density, so that there is no divergence from the "
                "prior and no bound on log p(x): use a stochastic one, or an objective "
                f"without a divergence. Received: {type(self.q).__name__}"
            )
        return self.log_qz - self.p.log_prob(self.z)

    @property
    def log_weights(self):
        """log p(x|z) + log p(z) - log q(z|x), `(K, n)`."""
        return self.log_px - self.log_ratio

    @property
    def reconstruction(self):
        """-log p(x|z), averaged over the samples, `(n,)`."""
        return -ops.mean(self.log_px, axis=0)

    @property
    def kl(self):
        """KL(q || p), `(n,)`: exact where a closed form is known."""
        try:
            return self.q.kl(self.p)
        except NotImplementedError:
            return ops.mean(self.log_ratio, axis=0)


class Objective:
    """Base class.

    Attributes:
        terms: names under which the terms are logged, in order.
        samples: samples of z for each example.
        gradient: "standard", or "dreg" for samples whose gradient to the encoder is
            doubly reparameterised; see `IWAE`.
        backward: how many of the samples have a gradient, or None for all; see `IWAE`.
    """

    terms = ()
    samples = 1
    gradient = "standard"
    backward = None

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
        free_bits: λ in nats: the batch's mean KL counts as at least this, so that
            below it nothing presses on the code (Kingma et al. 2016, the whole code
            as one group). Every example shares that mean.

    Raises:
        ValueError: negative `beta` or `free_bits`, or `samples` below 1.
    """

    terms = ("reconstruction_loss", "kl_loss")

    def __init__(self, beta=1.0, samples=1, free_bits=0.0):
        self.beta = _scheduled("beta", beta)
        self.samples = _count("samples", samples)
        self.free_bits = at_least_0("free_bits", free_bits)

    def __call__(self, evidence):
        beta = schedules.evaluate(self.beta, evidence.step, evidence.training)
        reconstruction, kl = evidence.reconstruction, self.divergence(evidence)
        pressed = ops.maximum(ops.mean(kl), self.free_bits) if self.free_bits else kl
        loss = reconstruction + beta * pressed
        return loss, {"reconstruction_loss": reconstruction, "kl_loss": kl}

    def divergence(self, evidence):
        """What is weighted by β, `(n,)` nats."""
        return evidence.kl

    def get_config(self):
        return {
            "beta": schedules.serialize(self.beta),
            "samples": self.samples,
            "free_bits": self.free_bits,
        }


@register
class Capacity(Objective):
    """-log p(x|z) + γ |mean KL - C|, Burgess et al. 2018.

    The mean is over the batch, and every example is given the same penalty: weights
    of examples multiply their reconstruction and their share of the penalty, not
    their part in the mean.

    With `parts` the code is a product, and each part has a capacity of its own
    (Dupont 2018): γ Σ |mean KL_part - C_part|.

    Args:
        gamma: γ, at least 0.
        capacity: C in nats, a number or a `Schedule`; with parts one for each.
        parts: names of the parts of the code, or None for one code.

    Raises:
        ValueError: negative γ or capacity, or not one capacity for each part.
    """

    def __init__(self, gamma, capacity, parts=None):
        self.gamma = at_least_0("gamma", gamma)
        self.parts = None if parts is None else tuple(parts)
        values = (capacity,) if parts is None else tuple(capacity)
        self.capacities = [_scheduled("capacity", c) for c in values]
        if parts is not None and len(values) != len(self.parts):
            raise ValueError(
                "Every part must have one capacity. "
                f"Received: {len(values)} capacities of {len(self.parts)} parts"
            )
        named = () if parts is None else tuple(f"kl_{part}" for part in self.parts)
        self.terms = ("reconstruction_loss", "kl_loss", *named)

    def __call__(self, evidence):
        split = self.parts is not None
        divergences = evidence.q.kl_parts(evidence.p) if split else [evidence.kl]
        loss = evidence.reconstruction
        for divergence, capacity in zip(divergences, self.capacities, strict=True):
            capacity = schedules.evaluate(capacity, evidence.step, evidence.training)
            loss = loss + self.gamma * ops.abs(ops.mean(divergence) - capacity)
        values = [evidence.reconstruction, sum(divergences), *(divergences if split else ())]
        return loss, dict(zip(self.terms, values, strict=True))

    def get_config(self):
        capacities = [schedules.serialize(c) for c in self.capacities]
        return {
            "gamma": self.gamma,
            "capacity": capacities[0] if self.parts is None else capacities,
            "parts": self.parts,
        }


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
        self.samples = _count("samples", samples)
        self.gradient = gradient
        self.backward = None if backward is None else _count("backward", backward)
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


def at_least_0(name, value):
    """A weight, or a ValueError."""
    if not 0.0 <= value < math.inf:
        raise ValueError(f"`{name}` must be at least 0 and finite. Received: {name}={value!r}")
    return float(value)


def _scheduled(name, value):
    """A weight or a schedule of one, or a ValueError."""
    value = schedules.deserialize(value)
    if isinstance(value, schedules.Schedule):
        return value
    if not 0.0 <= value < math.inf:
        raise ValueError(f"`{name}` must be at least 0 or a Schedule. Received: {name}={value!r}")
    return float(value)


def _count(name, value):
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` must be an integer of at least 1. Received: {name}={value!r}")
    return value


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
