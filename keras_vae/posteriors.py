"""Posteriors q(z|x): encoder features in, parameters and a distribution out.

A posterior is a layer: `parameters = layer(features)` is a tuple of tensors,
and `layer.distribution(*parameters)` the distribution they describe. The two
are apart so that compiled functions can return the parameters as plain arrays.
"""

import itertools

import keras
import numpy as np
from keras import ops

from keras_vae import categorical, composed, distributions, initializers, priors, schedules

register = keras.saving.register_keras_serializable("keras_vae")


def bounded(raw, bound):
    """Bounds `raw` to (-bound, bound), smoothly; the identity near 0.

    A log-variance that can run away overflows in `exp` and takes the weights
    with it; a hard clip would stop its gradient.
    """
    # A file of float16 rounds 1 / bound, and every value by as much: what it is rounded
    # by is taken off again. (A difference, as a sum of products would be merged.)
    rounded = float(np.float16(1.0 / bound))
    return bound * ops.tanh(rounded * raw - (rounded - 1.0 / bound) * raw)


class Posterior(keras.layers.Layer):
    """Base class of the posteriors; float32 under every precision policy.

    Args:
        latent_dim: number of latent dimensions d.
        seed: int for the initial weights, or None.

    Attributes:
        has_density: whether samples of q have a density, without which no bound on
            log p(x) can be had.
        num_parameters: number of tensors that `call` gives.
        chooses: whether the code that is kept is chosen (a class, the units to keep),
            so that rounding may choose another.
    """

    has_density = True
    chooses = False
    num_parameters = 1

    def __init__(self, latent_dim, seed=None, **kwargs):
        super().__init__(**{"dtype": "float32", "name": "posterior", **kwargs})
        self.latent_dim = latent_dim
        self.seed = seed

    def distribution(self, *parameters):
        """The distribution that these parameters describe."""
        raise NotImplementedError

    def training_distribution(self, step, *parameters):
        """What training draws from at a step; the distribution itself, unless said."""
        return self.distribution(*parameters)

    def _dense(self, units, seed, name="projection"):
        return keras.layers.Dense(
            units,
            kernel_initializer=initializers.GlorotUniform(seed),
            dtype=self.dtype_policy,
            name=name,
        )

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim, "seed": self.seed}


@register
class DiagonalNormal(Posterior):
    """q(z|x) = N(mean, diag(exp(log_var))), Kingma & Welling 2014.

    Args:
        latent_dim: number of latent dimensions d.
        log_var_bound: log-variances stay inside ±this; 10 allows σ from
            0.0067 to 148.
        seed: int for the initial weights, or None.

    Input shape: `(n, features)`. Output: `(mean, log_var)`, each `(n, d)`,
    float32 under every precision policy.
    """

    num_parameters = 2

    def __init__(self, latent_dim, log_var_bound=10.0, seed=None, **kwargs):
        super().__init__(latent_dim, seed, **kwargs)
        self.log_var_bound = log_var_bound
        self.projection = self._dense(2 * latent_dim, seed)

    def build(self, input_shape):
        self.projection.build(input_shape)
        self.built = True

    def call(self, features):
        mean, raw = ops.split(self.projection(features), 2, axis=-1)
        return mean, bounded(raw, self.log_var_bound)

    def distribution(self, mean, log_var):
        """The `Normal` that these parameters describe."""
        return distributions.Normal(mean, log_var)

    def get_config(self):
        return {**super().get_config(), "log_var_bound": self.log_var_bound}


# Derivatives of activations as functions of their values.
_SLOPES = {
    None: ops.ones_like,
    "linear": ops.ones_like,
    "sigmoid": lambda h: h * (1.0 - h),
    "tanh": lambda h: 1.0 - ops.square(h),
    "relu": lambda h: ops.cast(h > 0.0, "float32"),
    "softplus": lambda h: 1.0 - ops.exp(-h),
}


@register
class Point(Posterior):
    """A code without noise: what autoencoders have in place of q(z|x).

    Args:
        latent_dim: number of latent dimensions d.
        activation: Keras' name of what the code goes through, such as "sigmoid", or
            None.
        seed: int for the initial weights, or None.

    Input shape: `(n, features)`. Output: `(mean,)`, `(n, d)`.

    Raises:
        ValueError: an unknown activation.
    """

    has_density = False

    def __init__(self, latent_dim, activation=None, seed=None, **kwargs):
        if activation is not None and not isinstance(activation, str):
            raise ValueError(
                f"`activation` must be a name or None. Received: activation={activation!r}"
            )
        super().__init__(latent_dim, seed, **kwargs)
        self.activation = activation
        self.projection = self._dense(latent_dim, seed)
        self._activate = keras.activations.get(activation)

    def build(self, input_shape):
        self.projection.build(input_shape)
        self.built = True

    def call(self, features):
        return (self._activate(self.projection(features)),)

    def distribution(self, mean):
        """The `distributions.Point` at this code."""
        return distributions.Point(mean)

    @property
    def slope(self):
        """The activation's derivative as a function of its value; None where unknown."""
        return _SLOPES.get(self.activation)

    def squared_jacobian(self, features):
        """‖∂code/∂features‖²_F = Σ_j s'(a_j)² Σ_i W_ij², `(n,)` float32.

        Rifai et al., "Contractive Auto-Encoders", 2011, where the slope is known.
        """
        (code,) = self(features)
        rows = ops.sum(ops.square(ops.convert_to_tensor(self.projection.kernel)), axis=0)
        return ops.sum(ops.square(self.slope(code)) * rows, axis=-1)

    def get_config(self):
        return {**super().get_config(), "activation": self.activation}


class Extended(Posterior):
    """Base class: a diagonal normal and, beside it, `extra` more parameters.

    With the same seed the diagonal normal starts as `DiagonalNormal` does.

    Input shape: `(n, features)`. Output: `(mean, log_var, extra)`, or without extra
    parameters `(mean, log_var)`.
    """

    def __init__(self, latent_dim, extra, log_var_bound=10.0, seed=None, **kwargs):
        super().__init__(latent_dim, seed, **kwargs)
        self.num_parameters = 3 if extra else 2
        self.base = DiagonalNormal(latent_dim, log_var_bound, seed, name="base")
        self.log_var_bound = log_var_bound
        self.extra = None
        if extra:
            *_, extra_seed = itertools.islice(initializers.seeds(seed), 2)
            self.extra = self._dense(extra, extra_seed, name="extra")

    def build(self, input_shape):
        self.base.build(input_shape)
        if self.extra is not None:
            self.extra.build(input_shape)
        self.built = True

    def call(self, features):
        mean, log_var = self.base(features)
        return (mean, log_var) if self.extra is None else (mean, log_var, self.extra(features))

    def get_config(self):
        return {**super().get_config(), "log_var_bound": self.log_var_bound}


@register
class FullCovariance(Extended):
    """q(z|x) = N(mean, L Lᵀ), L = mask · L' + diag(σ), Kingma & Welling 2019, §2.5.1.

    The mask keeps what is below the diagonal of L', so that log|L| = Σ log σ_i. Here
    L' = diag(σ) A / √d, and A is what the network gives: in units of σ a step of the
    optimizer moves a narrow dimension no further than a wide one, and by √d all of a row
    together no further than σ. A starts as 0, and q as the diagonal normal.

    Args:
        latent_dim: number of latent dimensions d; A has d² entries.
        log_var_bound: log σ² stays inside ±this.
        seed: int for the initial weights, or None.
    """

    def __init__(self, latent_dim, log_var_bound=10.0, seed=None, **kwargs):
        super().__init__(latent_dim, latent_dim**2, log_var_bound, seed, **kwargs)
        # At random, a dimension would start with noise of all those before it.
        self.extra.kernel_initializer = keras.initializers.Zeros()

    def distribution(self, mean, log_var, lower):
        """The `MultivariateNormal` that these parameters describe."""
        d = self.latent_dim
        mask = np.tril(np.ones((d, d), "float32"), -1) / np.float32(d**0.5)
        mask = ops.convert_to_tensor(mask)
        factor = ops.eye(d, dtype="float32") + mask * ops.reshape(lower, (-1, d, d))
        scale = ops.expand_dims(ops.exp(0.5 * log_var), -1)
        return distributions.MultivariateNormal(mean, scale * factor)


@register
class Categorical(Posterior):
    """q(z|x): independent categorical variables, Jang et al. 2017.

    Training draws relaxed samples at temperature τ, all else one-hot ones. A code
    is the one-hot vectors of the variables, one after another.

    Args:
        variables: number of variables.
        classes: classes of each, at least 2.
        temperature: τ, a number above 0 or a `schedules.Schedule`.
        seed: int for the initial weights, or None.

    Input shape: `(n, features)`. Output: `(logits,)`, `(n, variables · classes)`.

    Raises:
        ValueError: a value that is out of range.
    """

    chooses = True

    def __init__(self, variables, classes, temperature=0.5, seed=None, **kwargs):
        for name, value, least in (("variables", variables, 1), ("classes", classes, 2)):
            if not isinstance(value, int) or value < least:
                raise ValueError(
                    f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}"
                )
        temperature = schedules.deserialize(temperature)
        if not isinstance(temperature, schedules.Schedule) and not temperature > 0.0:
            raise ValueError(
                "`temperature` must be above 0 or a Schedule. "
                f"Received: temperature={temperature!r}"
            )
        super().__init__(variables * classes, seed, **kwargs)
        self.num_variables, self.classes = variables, classes
        self.temperature = temperature
        self.projection = self._dense(self.latent_dim, seed)

    def build(self, input_shape):
        self.projection.build(input_shape)
        self.built = True

    def call(self, features):
        return (self.projection(features),)

    def distribution(self, logits):
        """The `categorical.Categorical` that these logits describe."""
        return categorical.Categorical(logits, self.classes)

    def training_distribution(self, step, logits):
        temperature = schedules.evaluate(self.temperature, step, True)
        return categorical.Categorical(logits, self.classes, temperature)

    def get_config(self):
        config = {
            **super().get_config(),
            "variables": self.num_variables,
            "classes": self.classes,
            "temperature": schedules.serialize(self.temperature),
        }
        del config["latent_dim"]
        return config


@register
class ProductPosterior(Posterior):
    """Independent parts of a code, each with a posterior of its own.

    Args:
        parts: posteriors, in the order of their dimensions in the code.

    Output: the parameters of the parts, one after another.
    """

    def __init__(self, parts, **kwargs):
        super().__init__(sum(part.latent_dim for part in parts), **kwargs)
        self.parts = list(parts)
        self.has_density = all(part.has_density for part in parts)
        self.chooses = any(part.chooses for part in parts)
        self.num_parameters = sum(part.num_parameters for part in parts)

    def build(self, input_shape):
        for part in self.parts:
            if not part.built:
                part.build(input_shape)
        self.built = True

    def call(self, features):
        return tuple(itertools.chain.from_iterable(part(features) for part in self.parts))

    def distribution(self, *parameters):
        return self._joined("distribution", (), parameters)

    def training_distribution(self, step, *parameters):
        return self._joined("training_distribution", (step,), parameters)

    def _joined(self, method, first, parameters):
        parts, start = [], 0
        for part in self.parts:
            count = part.num_parameters
            values = parameters[start : start + count]
            parts.append(getattr(part, method)(*first, *values))
            start += count
        return composed.Product(parts)

    def get_config(self):
        config = {**super().get_config(), "parts": priors.serialize_parts(self.parts)}
        del config["latent_dim"], config["seed"]
        return config

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "parts": priors.deserialize_parts(config["parts"])})
