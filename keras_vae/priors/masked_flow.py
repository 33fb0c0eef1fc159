"""A masked autoregressive flow, trained on the codes of a model."""

import itertools
from typing import Any

from keras import ops

from keras_vae import _checks, distributions, flows, initializers
from keras_vae._registry import register
from keras_vae.distributions.base import LOG_2PI
from keras_vae.priors.fitted_alone import FittedAlone


class Standardised:
    """z = μ + σ u by the moments of a `FittedAlone` prior, as the last of its flows."""

    def __init__(self, prior):
        self.prior = prior

    def __call__(self, u):
        return self.prior.from_standard(u), self.prior.log_scale()

    def inverse(self, z):
        return self.prior.to_standard(z), self.prior.log_scale()


@register
class MaskedFlow(FittedAlone):
    """p(z): a standard normal after masked autoregressive layers.

    Papamakarios, Pavlakou & Murray, "Masked Autoregressive Flow for Density Estimation", 2017.
    Densities are exact, in one pass through the networks; a sample takes one pass per
    dimension. The order of dimensions is reversed between layers.

    `model.fit_sampler(x, "maf")` makes and trains it. While the model itself is trained its
    prior is N(0, I), as with `FlowMatching`.

    Args:
        latent_dim: number of latent dimensions d.
        condition_dim: length of the encoded conditions that all layers see, or None.
        steps: number of layers, at least 1.
        units: width of the hidden layer of each.
        seed: int for the initial weights, the same on every backend; or None.

    Raises:
        ValueError: a number that is out of range; when used, no condition where one is needed.
    """

    def __init__(
        self,
        latent_dim: int,
        condition_dim: int | None = None,
        steps: int = 5,
        units: int = 128,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__((latent_dim,), **kwargs)
        self.condition_dim, self.seed = condition_dim, seed
        self.steps, self.units = _checks.count(steps, "steps"), _checks.count(units, "units")
        self.networks = [
            flows.MADE(latent_dim, condition_dim or 0, self.units, seed=own, name=f"made_{i}")
            for i, own in enumerate(itertools.islice(initializers.seeds(seed), self.steps))
        ]
        for network in self.networks:
            # Each layer starts as the identity, so that the whole does.
            for weight in (network.kernel_out, *([network.context_out] if condition_dim else [])):
                weight.assign(ops.zeros(weight.shape))
        # `fit_prior` trains it, and `fit` does not.
        self.trainable = False

    def _flows(self, condition):
        if self.condition_dim is None:
            condition = None
        elif condition is None:
            raise ValueError(
                "This prior is conditional: give the encoded conditions "
                f"(n, {self.condition_dim}). Received: condition=None"
            )
        else:
            condition = ops.cast(condition, "float32")
        return [flows.MaskedAffine(network, condition) for network in self.networks]

    def training_loss(self, codes, condition, noise, times):
        """The negative log-density of each code, `(n,)` nats of standardised codes."""
        u, total = self.to_standard(codes), 0.0
        for flow in reversed(self._flows(condition)):
            u, log_det = flow.inverse(u)
            total = total + log_det
        return total + 0.5 * ops.sum(ops.square(u) + LOG_2PI, axis=-1)

    def distribution(self, condition=None):
        through = self._flows(condition)
        shape = (self.latent_dim,)
        if self.condition_dim is not None:
            shape = (ops.shape(condition)[0], *shape)
        zeros = ops.zeros(shape, "float32")
        base = distributions.Normal(zeros, zeros)
        return distributions.Transformed(base, [*through, Standardised(self)])

    def get_config(self):
        return {
            **super().get_config(),
            "condition_dim": self.condition_dim,
            "steps": self.steps,
            "units": self.units,
            "seed": self.seed,
        }
