"""Posteriors with flows: planar, radial, inverse autoregressive."""

import itertools
from typing import Any

from keras import ops

from keras_vae import _checks, distributions, flows, initializers
from keras_vae._registry import register
from keras_vae.flows import KINDS, Planar, Radial
from keras_vae.posteriors.normal import Extended


@register
class FlowPosterior(Extended):
    """q(z|x): a diagonal normal, then flows whose parameters are outputs of the encoder.

    Rezende & Mohamed, "Variational Inference with Normalizing Flows", 2015. Neither
    kind has an inverse in closed form: the density is known at its own samples only.
    Without flows it is `DiagonalNormal`.

    Args:
        latent_dim: number of latent dimensions d.
        kind: "planar" or "radial".
        flows: number of flows, at least 0.
        log_var_bound: log-variances of the first normal are bounded to ±this.
        seed: int for the initial weights, or None.

    Raises:
        ValueError: unknown kind, or a number that is out of range.
    """

    def __init__(
        self,
        latent_dim: int,
        kind: str = "planar",
        flows: int = 10,
        log_var_bound: float = 10.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {KINDS}. Received: kind={kind!r}")
        flows = _checks.count(flows, "flows", 0)
        kinds: dict[str, Any] = {"planar": Planar, "radial": Radial}
        self._flow = kinds[kind]
        size = flows * self._flow.size(latent_dim)
        super().__init__(latent_dim, size, log_var_bound, seed, **kwargs)
        self.kind, self.flows = kind, flows

    def distribution(self, mean, log_var, values=None):
        """The `distributions.Transformed` with these parameters."""
        base = distributions.Normal(mean, log_var)
        if values is None:
            return base
        each = ops.split(values, self.flows, axis=-1)
        return distributions.Transformed(base, [self._flow.of(v, self.latent_dim) for v in each])

    def get_config(self):
        return {**super().get_config(), "kind": self.kind, "flows": self.flows}


@register
class InverseAutoregressive(Extended):
    """q(z|x): a diagonal normal, then inverse autoregressive flows.

    Kingma et al., "Improving Variational Inference with Inverse Autoregressive
    Flow", 2016. Each step has a network of its own; the encoder gives the first normal
    and a context, which is an input of all steps.

    Args:
        latent_dim: number of latent dimensions d.
        steps: number of steps, at least 0; with 0 it is `DiagonalNormal`.
        units: width of each step's hidden layer.
        context_dim: length of the context.
        log_var_bound: log-variances of the first normal are bounded to ±this.
        seed: int for the initial weights, or None.

    Raises:
        ValueError: a number that is out of range.
    """

    def __init__(
        self,
        latent_dim: int,
        steps: int = 4,
        units: int = 64,
        context_dim: int = 32,
        log_var_bound: float = 10.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        steps, units = _checks.count(steps, "steps", 0), _checks.count(units, "units")
        context_dim = _checks.count(context_dim, "context_dim")
        extra = context_dim if steps else 0
        super().__init__(latent_dim, extra, log_var_bound, seed, **kwargs)
        self.steps, self.units, self.context_dim = steps, units, context_dim
        seeds = itertools.islice(initializers.seeds(seed), 2, 2 + steps)
        self.networks = [
            flows.MADE(latent_dim, context_dim, units, seed=own, name=f"made_{i}")
            for i, own in enumerate(seeds)
        ]

    def distribution(self, mean, log_var, context=None):
        """The `distributions.Transformed` with these parameters."""
        base = distributions.Normal(mean, log_var)
        if context is None:
            return base
        return distributions.Transformed(
            base, [flows.Autoregressive(made, context) for made in self.networks]
        )

    def get_config(self):
        return {
            **super().get_config(),
            "steps": self.steps,
            "units": self.units,
            "context_dim": self.context_dim,
        }
