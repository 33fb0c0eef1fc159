"""A discriminator beside a VAE, which has an optimizer of its own."""

import keras

from keras_vae import _registry
from keras_vae.models.vae import accumulation


class SecondOptimizer:
    """In front of `VAE`: a `discriminator`, trained by an Adam of its own after each step.

    The constructor sets `discriminator`, `discriminator_learning_rate` and
    `discriminator_optimizer = None`. Where the optimizer accumulates gradients over batches, the
    discriminator's does as well.
    """

    @property
    def trainable_variables(self):
        # The optimizer of `compile` must not touch the discriminator, which has its own.
        rival = {id(v) for v in self.discriminator.variables}
        return [v for v in super().trainable_variables if id(v) not in rival]

    @property
    def trainable_weights(self):
        return self.trainable_variables

    @property
    def non_trainable_variables(self):
        # What a step may change besides: JAX hands it over and takes it back.
        optimizer = self.discriminator_optimizer
        return [
            *super().non_trainable_variables,
            *self.discriminator.trainable_variables,
            *(optimizer.variables if optimizer else ()),
        ]

    def _ready_to_train(self):
        super()._ready_to_train()
        self._make_optimizer()

    def compile_from_config(self, config):
        # A loaded model goes on with the moments that are in the file.
        super().compile_from_config(config)
        self._make_optimizer()

    def _make_optimizer(self):
        together = accumulation(self.optimizer)
        if self.discriminator_optimizer is None or (
            accumulation(self.discriminator_optimizer) != together
        ):
            optimizer = keras.optimizers.Adam(
                self.discriminator_learning_rate, 0.5, 0.9, gradient_accumulation_steps=together
            )
            optimizer.build(self.discriminator.trainable_variables)
            self.discriminator_optimizer = optimizer

    def _own_arguments(self):
        return {
            "discriminator": self.discriminator,
            "discriminator_learning_rate": self.discriminator_learning_rate,
        }

    def get_config(self):
        found = keras.saving.serialize_keras_object(self.discriminator)
        return {**super().get_config(), **self._own_arguments(), "discriminator": found}

    @classmethod
    def from_config(cls, config):
        found = _registry.deserialize(config["discriminator"])
        return super().from_config({**config, "discriminator": found})
