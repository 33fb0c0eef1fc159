"""VampPrior: the mixture of the posteriors of learned pseudo-inputs."""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_vae import distributions, initializers
from keras_vae._registry import register
from keras_vae.priors.mixture import MixturePrior
from keras_vae.training.held import held


@register
class VampPrior(MixturePrior):
    """p(z) = 1/K Σ_k q(z|u_k), a mixture of the posteriors of K learned pseudo-inputs.

    Tomczak & Welling, "VAE with a VampPrior", 2018. If the data has a range, pseudo-inputs
    are low + (high - low) · sigmoid(weights).

    Args:
        latent_dim: number of latent dimensions d.
        components: K, number of pseudo-inputs.
        data_shape: shape of one example.
        seed: int for the first pseudo-inputs, or None.

    Raises:
        ValueError: `components` below 1.
    """

    def __init__(
        self,
        latent_dim: int,
        components: int = 500,
        data_shape: Sequence[int] = (28, 28, 1),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_dim, components, seed, **kwargs)
        self.data_shape = tuple(data_shape)
        self.raw_inputs = self.add_weight(
            (components, *self.data_shape), initializers.StandardNormal(seed), name="raw_inputs"
        )
        # A function, because Keras would track a layer: the encoder belongs to the model.
        self._posterior_of = None
        self._data_range = None

    def attach(self, model):
        """Keeps the model's encoder and posterior, which define the mixture.

        Raises:
            ValueError: a conditional model, data of another shape, or a posterior that
                is not a diagonal normal.
        """
        encoder, layer = model.encoder, model.posterior_layer
        if model.condition is not None or not layer.is_diagonal_normal:
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
        self._posterior_of = lambda x, training: layer(encoder(x, training=training))
        self._encoder_has_state = lambda: bool(encoder.non_trainable_variables)
        self._read_in_pass = lambda: [*encoder.variables, *layer.variables, *self.variables]

    def inputs(self):
        """The pseudo-inputs, `(K, ...)`, tensor."""
        raw = ops.convert_to_tensor(self.raw_inputs)
        if self._data_range is None:
            return raw
        low, high = self._data_range
        return low + (high - low) * ops.sigmoid(raw)

    def training_distribution(self, condition=None):
        """The mixture of the posteriors as training finds them, with the encoder in its mode.

        Batch normalisation then uses the statistics of the pseudo-inputs, as it uses those of
        the batch for the batch. Its moving averages stay those of the data.
        """
        if self._posterior_of is None or not self._encoder_has_state():
            return self.distribution(condition)
        with held(self._read_in_pass()):
            return self._mixture(training=True)

    def distribution(self, condition=None):
        return self._mixture(training=False)

    def _mixture(self, training):
        if self._posterior_of is None:
            raise ValueError(
                "A VampPrior is made of its model's posteriors: give it to a `VAE` first. "
                "Received: no model"
            )
        mean, log_var = self._posterior_of(self.inputs(), training)
        equal = -math.log(self.components) * ops.ones((self.components,), "float32")
        return distributions.Mixture(equal, mean, log_var)

    def get_config(self):
        return {**super().get_config(), "data_shape": self.data_shape}
