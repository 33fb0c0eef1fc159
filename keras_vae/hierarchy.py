"""Two layers of codes, z₁ next to the data and z₂ above it, as one code (z₁, z₂).

Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", 2016, §3: the encoder
goes up, q(z₁|x) q(z₂|z₁), the decoder down, p(z₂) p(z₁|z₂) p(x|z₁). What is new is one
network a direction; objectives, bounds and exports see one code with a density.
"""

import itertools

import keras
from keras import ops

from keras_vae import composed, distributions, initializers, posteriors, priors

register = keras.saving.register_keras_serializable("keras_vae")


@register
class NormalOf(keras.layers.Layer):
    """A normal whose parameters a small network makes of other codes.

    Args:
        inputs: dimensions of the codes that it sees.
        outputs: dimensions d of the normal.
        units: widths of its hidden layers.
        activation: of these.
        log_var_bound: log-variances stay inside ±this.
        seed: int for the initial weights, or None.

    Call arguments: codes `(..., inputs)`. Returns `(mean, log_var)`, each `(..., d)`.
    """

    def __init__(
        self, inputs, outputs, units, activation="tanh", log_var_bound=10.0, seed=None, **kwargs
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.inputs, self.outputs, self.units = inputs, outputs, tuple(units)
        self.log_var_bound, self.seed = log_var_bound, seed
        self.activation = keras.activations.get(activation)
        sizes = (inputs, *self.units, 2 * outputs)
        self.kernels, self.biases = [], []
        for i, ((before, after), own) in enumerate(
            zip(itertools.pairwise(sizes), initializers.seeds(seed), strict=False)
        ):
            kernel = initializers.GlorotUniform(own)
            self.kernels.append(self.add_weight((before, after), kernel, name=f"kernel_{i}"))
            self.biases.append(self.add_weight((after,), "zeros", name=f"bias_{i}"))
        self.built = True

    def call(self, z):
        *hidden, last = zip(self.kernels, self.biases, strict=True)
        for kernel, bias in hidden:
            z = self.activation(ops.matmul(z, kernel) + bias)
        mean, raw = ops.split(ops.matmul(z, last[0]) + last[1], 2, axis=-1)
        return mean, posteriors.bounded(raw, self.log_var_bound)

    def get_config(self):
        return {
            **super().get_config(),
            "inputs": self.inputs,
            "outputs": self.outputs,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "log_var_bound": self.log_var_bound,
            "seed": self.seed,
        }


@register
class ChainedPosterior(posteriors.Posterior):
    """q(z₁|x) q(z₂|z₁): the encoder gives the first normal, a network of z₁ the second.

    Args:
        latent_dim: dimensions of z₁ and z₂ together.
        top_dim: dimensions of z₂, from 1 to `latent_dim` - 1.
        units: widths of the hidden layers between z₁ and z₂, from z₁ upwards.
        activation: of these.
        log_var_bound: log-variances stay inside ±this.
        seed: int for the initial weights, or None.

    Input shape: `(n, features)`. Output: `(mean, log_var)` of z₁.

    Raises:
        ValueError: `top_dim` out of range.
    """

    num_parameters = 2

    def __init__(
        self,
        latent_dim,
        top_dim,
        units=(100, 100),
        activation="tanh",
        log_var_bound=10.0,
        seed=None,
        **kwargs,
    ):
        _check(latent_dim, top_dim)
        super().__init__(latent_dim, seed, **kwargs)
        self.top_dim, self.log_var_bound = top_dim, log_var_bound
        first, second = itertools.islice(initializers.seeds(seed), 2)
        below = latent_dim - top_dim
        self.base = posteriors.DiagonalNormal(below, log_var_bound, first, name="base")
        self.above = NormalOf(
            below, top_dim, units, activation, log_var_bound, second, name="above"
        )

    def build(self, input_shape):
        self.base.build(input_shape)
        self.built = True

    def call(self, features):
        return self.base(features)

    def distribution(self, mean, log_var):
        """The `composed.Chained` that these parameters describe."""
        return composed.Chained(distributions.Normal(mean, log_var), self.above, upwards=True)

    def get_config(self):
        return {**super().get_config(), **_config(self, self.above)}


@register
class ChainedPrior(priors.Prior):
    """p(z₂) p(z₁|z₂) with p(z₂) = N(0, I), of the code (z₁, z₂).

    Args: as `ChainedPosterior`; `units` count from z₁ upwards here too.
    """

    def __init__(
        self,
        latent_dim,
        top_dim,
        units=(100, 100),
        activation="tanh",
        log_var_bound=10.0,
        seed=None,
        **kwargs,
    ):
        _check(latent_dim, top_dim)
        super().__init__(latent_dim, **kwargs)
        self.top_dim, self.log_var_bound, self.seed = top_dim, log_var_bound, seed
        self.below = NormalOf(
            top_dim,
            latent_dim - top_dim,
            tuple(units)[::-1],
            activation,
            log_var_bound,
            seed,
            name="below",
        )

    def distribution(self, condition=None):
        zeros = ops.zeros((self.top_dim,), "float32")
        return composed.Chained(distributions.Normal(zeros, zeros), self.below, upwards=False)

    def get_config(self):
        config = _config(self, self.below)
        return {**super().get_config(), **config, "units": config["units"][::-1]}


@register
class Bottom(keras.layers.Layer):
    """z₁ of a code (z₁, z₂): all that p(x|z₁) sees.

    Args:
        size: dimensions of z₁.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, z):
        return z[..., : self.size]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.size)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def _check(latent_dim, top_dim):
    if not isinstance(top_dim, int) or not 1 <= top_dim < latent_dim:
        raise ValueError(
            "`top_dim` must be an integer from 1 to one less than all latent dimensions. "
            f"Received: top_dim={top_dim!r}, latent_dim={latent_dim}"
        )


def _config(layer, network):
    return {
        "top_dim": layer.top_dim,
        "units": network.units,
        "activation": keras.activations.serialize(network.activation),
        "log_var_bound": layer.log_var_bound,
        "seed": layer.seed,
    }
