"""Priors whose parameters are trained with the model: mixtures, VampPrior, flows.

None of them has a KL in closed form: it is log q(z|x) - log p(z) at the sample of z
that is decoded.
"""

import itertools
import math

import keras
import numpy as np
from keras import ops

from keras_vae import categorical, composed, distributions, flows, initializers, posteriors, priors

register = keras.saving.register_keras_serializable("keras_vae")


class Mixture(distributions.Distribution):
    """Mixture of K diagonal normals, Σ_k w_k N(mean_k, diag(exp(log_var_k))).

    Args:
        log_weights: logarithms of the weights, `(K,)`, which sum to 1.
        mean, log_var: arrays `(K, d)`.
    """

    def __init__(self, log_weights, mean, log_var):
        super().__init__(1)
        self.log_weights = log_weights
        self.components = distributions.Normal(mean, log_var)

    @property
    def mean(self):
        """Σ_k w_k mean_k, `(d,)`."""
        weights = ops.expand_dims(ops.exp(self.log_weights), -1)
        return ops.sum(weights * self.components.mean, axis=0)

    @property
    def noise_dim(self):
        return self.components.mean.shape[-1] + 1

    def transform(self, noise):
        """Samples from standard normal noise `(..., d + 1)`, whose last chooses k."""
        noise = ops.cast(noise, "float32")
        _check_width(noise, self.noise_dim)
        # Φ of the last number is uniform: it lies in one of K intervals of length w_k.
        position = ops.expand_dims(categorical.normal_cdf(noise[..., -1]), -1)
        above = ops.cast(position > ops.cumsum(ops.exp(self.log_weights)), "int32")
        count = self.log_weights.shape[0]
        chosen = ops.minimum(ops.sum(above, axis=-1, keepdims=True), count - 1)
        chosen = ops.cast(ops.equal(chosen, ops.arange(count, dtype="int32")), "float32")
        scale = ops.exp(0.5 * self.components.log_var)
        return (
            ops.matmul(chosen, self.components.mean) + ops.matmul(chosen, scale) * noise[..., :-1]
        )

    def log_prob_joint(self, z):
        """log w_k + log N(z; mean_k, ...) of every component, `(..., K)`, nats."""
        return self.log_weights + self.components.log_prob(ops.expand_dims(z, -2))

    def log_prob(self, x):
        return ops.logsumexp(self.log_prob_joint(x), axis=-1)

    def scores(self, q):
        """log w_k - KL(q || component k), `(n, K)`, of normals q `(n, d)`."""
        apart = distributions.Normal(ops.expand_dims(q.mean, -2), ops.expand_dims(q.log_var, -2))
        return self.log_weights - ops.sum(apart.kl_each(self.components), axis=-1)

    def responsibilities(self, q):
        """q(k|x) ∝ w_k exp(-KL(q(z|x) || component k)), `(n, K)`.

        Of all q(k) that do not depend on z it is the one for which KL(q(z|x) q(k) ||
        p(z, k)) is least.
        """
        scores = self.scores(q)
        return ops.exp(scores - ops.logsumexp(scores, axis=-1, keepdims=True))

    def joint_kl(self, q):
        """That least KL(q(z|x) q(k) || p(z, k)) = -log Σ_k w_k exp(-KL(q || component k)).

        `(n,)` nats, at least KL(q(z|x) || p(z)).
        """
        return -ops.logsumexp(self.scores(q), axis=-1)


def _check_width(noise, expected):
    if noise.shape[-1] != expected:
        raise ValueError(
            "A mixture takes noise of one number more than a code has: the last chooses the "
            f"component. Expected: (..., {expected}). Received: shape {tuple(noise.shape)}"
        )


class MixturePrior(priors.Prior):
    """Base class: a mixture of `components` normals.

    Args:
        latent_dim: number of latent dimensions d.
        components: K, at least 1.
        seed: int for the initial weights, or None.

    Raises:
        ValueError: `components` below 1.
    """

    chooses = True

    def __init__(self, latent_dim, components, seed=None, **kwargs):
        if not isinstance(components, int) or components < 1:
            raise ValueError(
                "`components` must be an integer of at least 1. "
                f"Received: components={components!r}"
            )
        super().__init__(latent_dim, **kwargs)
        self.components, self.seed = components, seed

    @property
    def noise_dim(self):
        return self.latent_dim + 1

    def sample(self, n, rng, condition=None):
        # The component is chosen in NumPy: no backend's last bit may choose another.
        p = self.distribution(condition)
        weights, mean, log_var = (
            ops.convert_to_numpy(value).astype("float64")
            for value in (ops.exp(p.log_weights), p.components.mean, p.components.log_var)
        )
        chosen = np.searchsorted(np.cumsum(weights), rng.random(n))
        chosen = np.minimum(chosen, self.components - 1)
        noise = rng.standard_normal((n, self.latent_dim))
        return (mean[chosen] + np.exp(0.5 * log_var[chosen]) * noise).astype("float32")

    def get_config(self):
        return {**super().get_config(), "components": self.components, "seed": self.seed}


@register
class LearnedMixture(MixturePrior):
    """p(z) = Σ_k w_k N(mean_k, diag(σ²_k)), everything trained.

    As of Jiang et al., "Variational Deep Embedding", 2017, with the component summed
    out. The means start around 0 and the scales at 1: one component starts as N(0, I).

    Args: as `MixturePrior`.
    """

    def __init__(self, latent_dim, components=10, seed=None, **kwargs):
        super().__init__(latent_dim, components, seed, **kwargs)
        shape = (components, latent_dim)
        self.logits = self.add_weight((components,), "zeros", name="logits")
        self.means = self.add_weight(shape, _Centred(seed), name="means")
        self.raw_log_vars = self.add_weight(shape, "zeros", name="raw_log_vars")

    def start_from(self, weights, means, variances):
        """Makes it the mixture of these normals.

        Args:
            weights: `(k,)`, above 0; they are divided by their sum.
            means, variances: `(k, d)`; log-variances stay inside ±10.

        Raises:
            ValueError: another shape, or a number that is out of range.
        """
        weights, means, variances = (np.asarray(a, "float64") for a in (weights, means, variances))
        shape = tuple(self.means.shape)
        fits = weights.shape == shape[:1] and means.shape == variances.shape == shape
        if not fits or not (
            np.isfinite(means).all() and (weights > 0).all() and (variances > 0).all()
        ):
            raise ValueError(
                f"`weights` {shape[:1]} and `variances` {shape} must be above 0, `means` {shape} "
                f"finite. Received: shapes {weights.shape}, {variances.shape}, {means.shape}"
            )
        bounded = np.clip(np.log(variances), -9.9, 9.9)
        self.logits.assign(np.log(weights / weights.sum()))
        self.means.assign(means)
        self.raw_log_vars.assign(10.0 * np.arctanh(bounded / 10.0))

    def distribution(self, condition=None):
        return Mixture(
            ops.log_softmax(ops.convert_to_tensor(self.logits)),
            ops.convert_to_tensor(self.means),
            posteriors.bounded(ops.convert_to_tensor(self.raw_log_vars), 10.0),
        )


class _Drawn(keras.initializers.Initializer):
    """Standard normal numbers, drawn with NumPy: by seed, the same on every backend."""

    def __init__(self, seed):
        self.glorot = initializers.GlorotUniform(seed)

    def draw(self, shape):
        return np.random.default_rng(self.glorot._drawn_seed).standard_normal(shape)

    def __call__(self, shape, dtype=None):
        return ops.convert_to_tensor(self.draw(shape).astype("float32"), dtype)


class _Centred(_Drawn):
    """The same, less their mean over the first axis."""

    def draw(self, shape):
        drawn = super().draw(shape)
        return drawn - drawn.mean(axis=0)


@register
class VampPrior(MixturePrior):
    """p(z) = 1/K Σ_k q(z|u_k), a mixture of the posteriors of K learned pseudo-inputs.

    Tomczak & Welling, "VAE with a VampPrior", 2018. Pseudo-inputs stay in the range of
    the data, low + (high - low) · sigmoid(weights), where that has one.

    Args:
        latent_dim: number of latent dimensions d.
        components: K, number of pseudo-inputs.
        data_shape: shape of one example.
        seed: int for the first pseudo-inputs, or None.

    Raises:
        ValueError: `components` below 1.
    """

    def __init__(self, latent_dim, components=500, data_shape=(28, 28, 1), seed=None, **kwargs):
        super().__init__(latent_dim, components, seed, **kwargs)
        self.data_shape = tuple(data_shape)
        self.raw_inputs = self.add_weight(
            (components, *self.data_shape), _Drawn(seed), name="raw_inputs"
        )
        # A function, which Keras does not track: the encoder is the model's part.
        self._posterior_of = None
        self._data_range = None

    def attach(self, model):
        """Takes the model's encoder and posterior, of which the mixture is made.

        Raises:
            ValueError: a conditional model, data of another shape, or a posterior that
                is no diagonal normal.
        """
        encoder, layer = model.encoder, model.posterior_layer
        if model.condition is not None or not isinstance(layer, posteriors.DiagonalNormal):
            raise ValueError(
                "A VampPrior needs an unconditional model with a posterior `DiagonalNormal`. "
                f"Received: posterior={type(layer).__name__}, condition={model.condition}"
            )
        if model.data_shape != self.data_shape:
            raise ValueError(
                "Pseudo-inputs must have the shape of the data. "
                f"Received: {self.data_shape} and data {model.data_shape}"
            )
        self._data_range = model.likelihood.data_range
        self._posterior_of = lambda x: layer(encoder(x))

    def inputs(self):
        """The pseudo-inputs, `(K, ...)`, tensor."""
        raw = ops.convert_to_tensor(self.raw_inputs)
        if self._data_range is None:
            return raw
        low, high = self._data_range
        return low + (high - low) * ops.sigmoid(raw)

    def distribution(self, condition=None):
        if self._posterior_of is None:
            raise ValueError(
                "A VampPrior is made of its model's posteriors: give it to a `VAE` first. "
                "Received: no model"
            )
        mean, log_var = self._posterior_of(self.inputs())
        equal = -math.log(self.components) * ops.ones((self.components,), "float32")
        return Mixture(equal, mean, log_var)

    def get_config(self):
        return {**super().get_config(), "data_shape": self.data_shape}


@register
class FlowPrior(priors.Prior):
    """p(z): a standard normal sent through affine coupling layers (RealNVP).

    Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017, as a prior
    of Chen et al., "Variational Lossy Autoencoder", 2017. log p(z) = log N(f⁻¹(z); 0, I)
    - log|det ∂f|, both directions in closed form. It starts as N(0, I).

    Args:
        latent_dim: number of latent dimensions d.
        couplings: number of coupling layers, at least 0.
        units: width of the two hidden layers of each.
        seed: int for the initial weights, or None.

    Raises:
        ValueError: a number that is out of range.
    """

    def __init__(self, latent_dim, couplings=6, units=64, seed=None, **kwargs):
        flows._check(couplings=(couplings, 0), units=(units, 1))
        super().__init__(latent_dim, **kwargs)
        self.couplings, self.units, self.seed = couplings, units, seed
        self.flows = [
            flows.Coupling(latent_dim, i % 2, units, seed=own, name=f"coupling_{i}")
            for i, own in enumerate(itertools.islice(initializers.seeds(seed), couplings))
        ]

    def distribution(self, condition=None):
        zeros = ops.zeros((self.latent_dim,), "float32")
        return composed.Transformed(distributions.Normal(zeros, zeros), self.flows)

    def get_config(self):
        return {
            **super().get_config(),
            "couplings": self.couplings,
            "units": self.units,
            "seed": self.seed,
        }
