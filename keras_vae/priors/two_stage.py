"""A prior that is itself a small VAE, of the codes of another model."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, distributions, initializers, networks
from keras_vae._registry import register
from keras_vae.layers import bounded
from keras_vae.priors.base import Prior
from keras_vae.training import noise as noises


class Staged(distributions.Distribution):
    """Codes z = μ + σ (D(u) + γ ε), u and ε standard normal: samples, and a bound on densities.

    Args:
        prior: `TwoStage`.
    """

    def __init__(self, prior):
        super().__init__(1)
        self.prior = prior

    @property
    def center(self):
        """Where the mean of the noise goes; the mean has no closed form."""
        return self.transform(ops.zeros((self.noise_dim,), "float32"))

    @property
    def noise_dim(self):
        return self.prior.noise_dim

    def noise(self, samples, seed):
        return noises.normal((samples, self.noise_dim), seed)

    def transform(self, noise):
        d, lead = self.prior.latent_dim, ops.shape(noise)[:-1]
        rows = ops.reshape(noise, (-1, 2 * d))
        means = ops.cast(self.prior.decoder(rows[:, :d]), "float32")
        drawn = means + ops.exp(0.5 * self.prior.log_var()) * rows[:, d:]
        return ops.reshape(self.prior.from_standard(drawn), (*lead, d))

    def log_prob(self, x):
        """An importance-weighted lower bound on the log-density of `x` in nats.

        Its noise is always the same, so that it is a function of the code.
        """
        x = ops.convert_to_tensor(x)
        d, lead = self.prior.latent_dim, ops.shape(x)[:-1]
        z = self.prior.to_standard(ops.reshape(x, (-1, d)))
        rng = np.random.default_rng(0)
        drawn = rng.standard_normal((self.prior.samples, 1, d)).astype("float32")
        weights = self.prior.log_weights(z, ops.convert_to_tensor(drawn))
        bound = ops.logsumexp(weights, axis=0) - float(np.log(self.prior.samples))
        return ops.reshape(bound - self.prior.log_scale(), lead)

    def kl(self, other):
        return self._unknown_kl(other)


@register
class TwoStage(Prior):
    """p(z) of a second VAE, which was trained on codes: z = μ + σ (D(u) + γ ε).

    Dai & Wipf, "Diagnosing and Enhancing VAE Models", 2019: codes of a VAE fill a space of
    their own dimension, which a second VAE of as many dimensions learns without a gap between
    its posterior and N(0, I). Dense networks of standardised codes; γ is learned.

    `model.fit_sampler(x, "two_stage")` makes and trains it. While the model itself is trained
    its prior is N(0, I), as with `FlowMatching`. `log_prob` is a lower bound.

    Args:
        latent_dim: number of latent dimensions d, of codes and of u.
        units: widths of the layers of encoder and decoder, from the codes inwards.
        samples: of u, per code, of the bound on log p(z).
        seed: int for the initial weights, the same on every backend; or None.

    Raises:
        ValueError: a number that is out of range.
    """

    # `fit_prior` trains it without conditions.
    condition_dim = None

    def __init__(
        self,
        latent_dim: int,
        units: Sequence[int] = (256, 256),
        samples: int = 100,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_dim, **kwargs)
        self.units, self.seed = tuple(map(int, units)), seed
        self.samples = _checks.count(samples, "samples")

        def moment(name, initializer):
            shape = (self.latent_dim,)
            return self.add_weight(shape=shape, initializer=initializer, trainable=False, name=name)

        self.mean, self.deviation = moment("mean", "zeros"), moment("deviation", "ones")
        # γ is about 0.1 at first: at 1, the deviation of the codes, ignoring u is an optimum.
        self.raw_log_var = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(-5.0), name="raw_log_var"
        )
        shape = (self.latent_dim,)
        self.encoder, self.decoder = networks.build(
            "dense", shape, self.latent_dim, self.units, seed=seed
        )
        *_, own = itertools.islice(initializers.seeds(seed), 3)
        self.projection = keras.layers.Dense(
            2 * self.latent_dim,
            dtype="float32",
            kernel_initializer=initializers.GlorotUniform(own),
        )
        self.projection.build(self.encoder.output_shape)
        # `fit_prior` trains it, and `fit` does not.
        self.trainable = False

    @property
    def noise_dim(self):
        """Length of the noise of one code: that of u and of ε."""
        return 2 * self.latent_dim

    def adapt(self, codes):
        """Fits the moments by which codes are standardised, NumPy `(n, d)`."""
        codes = np.asarray(codes, "float64")
        self.mean.assign(codes.mean(axis=0).astype("float32"))
        self.deviation.assign(np.maximum(codes.std(axis=0), 1e-6).astype("float32"))

    def to_standard(self, z):
        """Codes in units of their moments."""
        return (z - ops.convert_to_tensor(self.mean)) / ops.convert_to_tensor(self.deviation)

    def from_standard(self, z):
        """The inverse of `to_standard`."""
        return z * ops.convert_to_tensor(self.deviation) + ops.convert_to_tensor(self.mean)

    def log_scale(self):
        """log|det| of `from_standard`, a scalar."""
        return ops.sum(ops.log(ops.convert_to_tensor(self.deviation)))

    def log_var(self):
        """log γ², a float32 scalar."""
        return bounded(ops.convert_to_tensor(self.raw_log_var), 10.0)

    def infer(self, z):
        """q(u|z) of standardised codes `(n, d)`."""
        mean, log_var = ops.split(self.projection(self.encoder(z)), 2, axis=-1)
        return distributions.Normal(mean, bounded(log_var, 10.0))

    def log_likelihood(self, z, u):
        """log p(z|u) of standardised codes `(n, d)` and `(K, n, d)` of u: `(K, n)`."""
        flat = ops.reshape(u, (-1, self.latent_dim))
        means = ops.cast(self.decoder(flat), "float32")
        means = ops.reshape(means, (-1, ops.shape(z)[0], self.latent_dim))
        return distributions.Normal(means, self.log_var()).log_prob(z)

    def log_weights(self, z, noise):
        """log p(z|u) + log p(u) - log q(u|z) of standardised codes: `(K, n)`."""
        q = self.infer(z)
        noise = ops.zeros_like(z) + noise
        u, log_q = q.transform_and_log_prob(noise)
        zeros = ops.zeros((self.latent_dim,), "float32")
        log_p = distributions.Normal(zeros, zeros).log_prob(u)
        return self.log_likelihood(z, u) + log_p - log_q

    def training_loss(self, codes, condition, noise, times):
        """The negative evidence lower bound of each code, `(n,)` nats of standardised codes."""
        z = self.to_standard(codes)
        q = self.infer(z)
        zeros = ops.zeros((self.latent_dim,), "float32")
        log_pz = self.log_likelihood(z, ops.expand_dims(q.transform(noise), 0))[0]
        return q.kl(distributions.Normal(zeros, zeros)) - log_pz

    def distribution(self, condition=None):
        return Staged(self)

    def training_distribution(self, condition=None):
        """N(0, I): the model is trained first, and this prior on its codes."""
        zeros = ops.zeros((self.latent_dim,), "float32")
        return distributions.Normal(zeros, zeros)

    def get_config(self):
        own = {"units": list(self.units), "samples": self.samples, "seed": self.seed}
        return {**super().get_config(), **own}
