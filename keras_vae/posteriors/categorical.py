"""Categorical codes, relaxed in training."""

from typing import Any

from keras_vae import _checks, distributions, schedules
from keras_vae._registry import register
from keras_vae.posteriors.base import Posterior


@register
class Categorical(Posterior):
    """q(z|x): independent categorical variables, Jang et al. 2017.

    Training draws relaxed samples at temperature τ; everything else draws one-hot
    samples. A code is the concatenated one-hot vectors of the variables.

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
    relaxes = True

    def __init__(
        self,
        variables: int,
        classes: int,
        temperature: float | schedules.Schedule = 0.5,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        variables = _checks.count(variables, "variables")
        classes = _checks.count(classes, "classes", 2)
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
        """The `distributions.Categorical` with these logits."""
        return distributions.Categorical(logits, self.classes)

    def training_distribution(self, step, logits):
        temperature = schedules.evaluate(self.temperature, step, True)
        return distributions.Categorical(logits, self.classes, temperature)

    def get_config(self):
        config = {
            **super().get_config(),
            "variables": self.num_variables,
            "classes": self.classes,
            "temperature": schedules.serialize(self.temperature),
        }
        del config["latent_dim"]
        return config
