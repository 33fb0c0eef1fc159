"""The denoising autoencoder: its encoder sees corrupted data in training."""

import keras

from keras_vae import _checks
from keras_vae import corruption as corruptions
from keras_vae._registry import register
from keras_vae.models import sources
from keras_vae.models.vae import VAE


@register
class DenoisingAutoencoder(VAE):
    """A model whose encoder sees corrupted data in training, and must give the clean data.

    Vincent et al., "Extracting and Composing Robust Features with Denoising
    Autoencoders", 2008. What is corrupted is what the encoder sees in `fit`; the loss
    compares with the data as it was given. Nothing is corrupted in `evaluate` or at
    inference. In `fit(noisy, clean)` the encoder sees `noisy` as it is, and the loss
    compares with `clean`: nothing is corrupted on top. With a stochastic posterior it is
    the denoising VAE of Im et al. 2017.

    Args:
        *args, **parts: as `VAE`.
        corruption: a `corruption.Corruption` or its name; "masking" by default.

    Raises:
        ValueError: as `VAE`, or an unknown corruption.
    """

    def __init__(self, *args, corruption="masking", **parts):
        super().__init__(*args, **parts)
        self.corruption = corruptions.get(corruption)

    # Whether data came with its clean form: then it is not corrupted here.
    _given = False

    @property
    def denoises(self) -> bool:
        return True

    def evidence(self, x, *args, target=None, **options):
        # In `__dict__`, as no attribute to track.
        self.__dict__["_given"] = target is not None
        try:
            return super().evidence(x, *args, target=target, **options)
        finally:
            del self.__dict__["_given"]

    def infer(self, x, condition=None, training=False):
        """Parameters of q(z|x), in training of q(z|T(x)); tensors in and out."""
        if training and not self._given:
            x = self.corruption(x, self.seed_generator)
        return super().infer(x, condition, training)

    def denoise(self, x, condition=None, batch_size=256):
        """The clean data behind noisy data: its code, decoded.

        It is `reconstruct` for data that noise has taken out of the data's range.
        Nothing is corrupted here: give the data as noisy as it is.

        Args:
            x: noisy data `(n, ...)`, any finite numbers.
            condition: see `encode`.
            batch_size: rows a compiled call.

        Returns:
            `(n, ...)` float32, the same at every call.

        Raises:
            ValueError: wrong shape or condition; NaN; empty.
        """
        x, condition = sources.arrays(self, x, condition)
        x = _checks.data(self, x, limits=None)
        condition = _checks.condition(self, condition, len(x))
        return self._batched("rebuild", batch_size, x, condition)

    def _own_arguments(self):
        return {"corruption": self.corruption}

    def get_config(self):
        corrupted = keras.saving.serialize_keras_object(self.corruption)
        return {**super().get_config(), "corruption": corrupted}

    @classmethod
    def from_config(cls, config):
        corrupted = keras.saving.deserialize_keras_object(config["corruption"])
        return super().from_config({**config, "corruption": corrupted})
