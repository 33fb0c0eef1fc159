"""`fit_sampler`: a prior for models that sample badly, or not at all."""

from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks, priors
from keras_vae._types import Array, Condition
from keras_vae.models import sources
from keras_vae.models.flow_training import FlowTraining

KINDS = ("gmm", "normal", "flow", "maf", "two_stage")
_TRAINED = ("flow", "maf", "two_stage")


class Sampling(FlowTraining):
    """Methods of `VAE` that fit a prior to the codes of data."""

    def fit_sampler(
        self,
        x: Array,
        kind: str = "gmm",
        y: Condition = None,
        components: int = 10,
        seed: int = 0,
        batch_size: int = 256,
        **training: Any,
    ) -> Any:
        """Gives the model a prior fitted to the codes of data, to sample from.

        Ghosh et al., "From Variational to Deterministic Autoencoders", 2020 (ex-post
        density estimation). An autoencoder has no other way to sample; of a variational
        model it replaces p(z), and with it what `log_likelihood` means. The model
        itself changes: its `prior` is the sampler, saved and loaded with it. Networks
        are not trained, and later training makes the sampler stale.

        Args:
            x: data `(n, ...)`, thousands of examples.
            kind: "gmm", a mixture of normals with full covariances
                (`priors.GaussianMixture`); or "normal", one normal whose mean depends
                linearly on the condition, if there is one (`priors.LinearNormal`); or "flow", a
                velocity field that is trained (`priors.FlowMatching`), with the condition; or
                "maf", a masked autoregressive flow with exact densities in one pass
                (`priors.MaskedFlow`, Papamakarios et al. 2017), with the condition; or
                "two_stage", a second VAE of the codes (`priors.TwoStage`, Dai & Wipf 2019).
            y: conditions of a conditional model.
            components: normals of "gmm".
            seed: int, of the start of "gmm" and of noise in the codes.
            batch_size: rows per compiled call.
            **training: of "flow", "maf" and "two_stage", arguments of `fit_prior`, such as
                `epochs`; about 2,000 steps of 128 codes by default.

        Returns:
            The model itself.

        Raises:
            ValueError: unknown kind; "gmm" or "two_stage" for a conditional model, "normal" for
                codes that are a choice, such as one-hot vectors; a model whose prior is
                trained; too few data, or what `encode` refuses. Nothing has changed then.
            TypeError: arguments of training, where nothing is trained.
        """
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {KINDS}. Received: kind={kind!r}")
        if self.codes_are_integers or self.prior.trainable_variables:
            raise ValueError(
                "This model's prior is trained with it, and samples as it is. "
                f"Received: prior={type(self.prior).__name__}"
            )
        if training and kind not in _TRAINED:
            raise TypeError(
                f"kind={kind!r} is fitted in closed form, without training. "
                f"Received: {', '.join(sorted(training))}"
            )
        if kind == "flow":
            return self._fit_flow(x, y, seed, training)
        if kind == "maf":
            dim = None if self.condition is None else self.condition.dim
            prior = priors.MaskedFlow(self.latent_dim, dim, seed=seed)
            return self._fit_trained(prior, x, y, training)
        if kind == "two_stage":
            self._takes_no_condition(kind)
            prior = priors.TwoStage(self.latent_dim, seed=seed)
            return self._fit_trained(prior, x, None, training)
        if kind == "gmm":
            prior = self._fitted_mixture(x, y, components, seed, batch_size)
        else:
            prior = self._fitted_normal(x, y, batch_size)
        self.prior = prior
        return self

    def _fitted_normal(self, x, y, batch_size):
        if self.codes_are_integers or self.posterior_layer.relaxes:
            raise ValueError(
                "A normal prior cannot be fitted to codes that are a choice of classes or of "
                f"vectors. Received: {type(self.posterior_layer).__name__}"
            )
        x, y = sources.arrays(self, x, y)
        q = self.posterior(x, y, batch_size)
        try:
            mean, covariance = q.mean, q.mean_covariance()
        except (AttributeError, NotImplementedError):
            # Flows and chains have no moments in closed form: a sample of each example has
            # those of all codes in the mean.
            mean, covariance = self._drawn(q, 0), None
        dim = None if self.condition is None else self.condition.dim
        prior = priors.LinearNormal(self.latent_dim, dim)
        encoded = None
        if self.condition is not None:
            encoded = ops.convert_to_numpy(
                self.condition.encode(_checks.condition(self, y, len(x)))
            )
        prior.fit(mean, covariance, encoded)
        return prior

    def _drawn(self, q, seed):
        """A sample of each example's q(z|x), `(n, d)`."""
        noise = np.random.default_rng(seed).standard_normal((1, *q.center.shape), "float32")
        return q.transform(noise)[0]

    def _takes_no_condition(self, kind):
        if self.condition is not None:
            what = "A mixture" if kind == "gmm" else "A second stage"
            raise ValueError(
                f"{what} takes no condition: use kind='normal', 'flow' or 'maf' for a conditional "
                f"model. Received: kind={kind!r}, condition={type(self.condition).__name__}"
            )

    def _fitted_mixture(self, x, y, components, seed, batch_size):
        self._takes_no_condition("gmm")
        _checks.count(components, "components")
        x, y = sources.arrays(self, x, y)
        q = self.posterior(x, y, batch_size)
        z = q.center
        if self.posterior_layer.has_density:
            # The decoder's inputs are the codes with their noise.
            z = self._drawn(q, seed)
        if len(z) < max(components, self.latent_dim + 1):
            raise ValueError(
                f"A mixture of {components} normals in {self.latent_dim} dimensions needs more "
                f"examples. Received: {len(z)}"
            )
        weights, means, factors, _ = priors.fit(z, components, seed)
        return priors.GaussianMixture.from_arrays(weights, means, factors)
