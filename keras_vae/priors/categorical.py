"""Uniform categorical codes."""

from typing import Any

from keras import ops

from keras_vae import distributions
from keras_vae._registry import register
from keras_vae.priors.base import Prior


@register
class UniformCategorical(Prior):
    """Independent categorical variables with uniform probabilities.

    Args:
        variables: number of variables.
        classes: classes of each.
    """

    chooses = True

    def __init__(self, variables: int, classes: int, **kwargs: Any) -> None:
        super().__init__(variables * classes, **kwargs)
        self.num_variables = variables
        self.classes = classes

    def distribution(self, condition=None):
        logits = ops.zeros((self.latent_dim,), "float32")
        return distributions.Categorical(logits, self.classes)

    def get_config(self):
        config = {**super().get_config(), "variables": self.num_variables, "classes": self.classes}
        del config["latent_dim"]
        return config
