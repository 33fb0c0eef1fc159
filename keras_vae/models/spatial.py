"""Models whose codes are maps, of pictures of any size."""

import keras
import numpy as np
from keras import ops

from keras_vae import posteriors, priors
from keras_vae._registry import register
from keras_vae.models import parts as parts_of_users
from keras_vae.models.checks import spatial_parts_fit
from keras_vae.models.maps import like_inputs
from keras_vae.models.spatial_inference import SpatialCodeInference, SpatialInference
from keras_vae.models.vae import VAE
from keras_vae.models.vq import VQVAE


class _OfMaps:
    """What `SpatialVAE` and `SpatialVQVAE` share besides their inference."""

    @property
    def source(self):
        """The `config.json` of diffusers that the networks are made of, or None."""
        return self._source

    def _keep_source(self, source):
        # In `__dict__`, as Keras would wrap a dictionary that it tracks.
        self.__dict__["_source"] = None if source is None else dict(source)

    def _networks(self, encoder, decoder, posterior, prior, condition, likelihood):
        # Of integer codes the prior alone sees a condition.
        dim = None if condition is None or self.codes_are_integers else condition.dim
        map_shape = getattr(prior, "map_shape", getattr(prior, "code_shape", (None, None))[:2])
        decoder = parts_of_users.decoder(decoder, (*map_shape, posterior.latent_dim), dim)
        shape = likelihood.data_shape(tuple(decoder.output_shape[1:]))
        return parts_of_users.encoder(encoder, shape, dim, flat=False), decoder

    def _resized(self, data_shape, map_shape):
        """Encoder and decoder for inputs of one size, of the same layers."""

        def resized(network, shape, name):
            inputs = [keras.Input(shape, name=name)]
            # The condition, where the network sees one.
            inputs += [keras.Input(i.shape[1:], name=i.name) for i in network.inputs[1:]]
            inputs = like_inputs(network, inputs)
            return keras.models.clone_model(network, inputs, clone_function=lambda layer: layer)

        encoder = resized(self.encoder, data_shape, "data")
        return encoder, resized(self.decoder, (*map_shape, self.latent_dim), "code")


@register
class SpatialVAE(_OfMaps, SpatialInference, VAE):
    """A variational autoencoder whose codes are maps `(h, w, d)`.

    Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022: the
    first stage of a latent diffusion model. Everything is as in `VAE` but for the shape of a
    code. Networks that begin with `keras.Input((None, None, channels))` take pictures of any
    size; `latent_dim` is the number d of channels of a code.

    Args:
        encoder: model from pictures (or `[pictures, condition]`) to maps of features
            `(n, h, w, f)`.
        decoder: model from maps of codes `(n, h, w, d)` (or `[codes, condition]`) to outputs in
            data shape.
        posterior: `posteriors.SpatialNormal(d)`, `posteriors.SpatialPoint(d)`; or d.
        prior: a prior of maps; `priors.StandardNormalMap(d)` by default. Of a model of one size
            it may be a `priors.FlowMatching((h, w, d), condition_dim)`.
        likelihood: a likelihood layer or its name; "optimal_normal" by default.
        objective: what is minimised; `objectives.ELBO()` by default.
        scaling_factor, shift_factor: diffusion models take (z - shift_factor) ·
            scaling_factor; see `encode`.
        latents_mean, latents_std: one number for each channel, in place of `shift_factor`:
            (z - latents_mean) / latents_std · scaling_factor. None for none.
        source: the `config.json` of diffusers that the networks are made of, a dict; None
            for other networks.
        **parts: `condition`, `seed` and `name` of `VAE`. Both networks of a conditional model
            take a second input, the condition as a vector `(n, c)`.

    Raises:
        ValueError: a part does not fit another; numbers of another length than d.
    """

    def __init__(
        self,
        encoder,
        decoder,
        posterior,
        prior=None,
        likelihood="optimal_normal",
        objective=None,
        scaling_factor=1.0,
        shift_factor=None,
        latents_mean=None,
        latents_std=None,
        source=None,
        **parts,
    ):
        if isinstance(posterior, (int, np.integer)) and not isinstance(posterior, bool):
            posterior = posteriors.SpatialNormal(int(posterior), seed=parts.get("seed"))
        posterior = parts_of_users.posterior(posterior, decoder, parts.get("seed"))
        if prior is None:
            prior = priors.StandardNormalMap(posterior.latent_dim, _map_shape(decoder))
        super().__init__(encoder, decoder, posterior, prior, likelihood, objective, **parts)
        self.scaling_factor = _number("scaling_factor", scaling_factor)
        self.shift_factor = None if shift_factor is None else _number("shift_factor", shift_factor)
        self.latents_mean = _each_channel("latents_mean", latents_mean, self.latent_dim)
        self.latents_std = _each_channel("latents_std", latents_std, self.latent_dim)
        if (latents_mean is None) != (latents_std is None):
            raise ValueError(
                "`latents_mean` and `latents_std` come together. "
                f"Received: latents_mean={latents_mean!r}, latents_std={latents_std!r}"
            )
        scales = [self.scaling_factor, *(self.latents_std or ())]
        if 0.0 in scales:
            raise ValueError(
                "Scales of the codes must not be 0. Received: "
                f"scaling_factor={scaling_factor!r}, latents_std={latents_std!r}"
            )
        self._keep_source(source)

    def _check_parts(self):
        spatial_parts_fit(self)

    @property
    def code_shape(self):
        """Shape `(h, w, d)` of one code; None for any height or width."""
        return (*self.encoder.output_shape[1:3], self.latent_dim)

    def _outputs(self, z, condition=None, training=False):
        """Decoder outputs `(K, n, ...)` of K codes `(K, n, h, w, d)` of each example."""
        samples, _, height, width, channels = ops.shape(z)
        if condition is not None:
            condition = ops.tile(condition, (z.shape[0],) + (1,) * (len(condition.shape) - 1))
        flat = ops.reshape(z, (-1, height, width, channels))
        outputs = self.generate(flat, condition, training)
        return ops.reshape(outputs, (samples, -1, *ops.shape(outputs)[1:]))

    def _at_size(self, data_shape, map_shape):
        encoder, decoder = self._resized(data_shape, map_shape)
        prior = self.prior
        if isinstance(prior, priors.StandardNormalMap):
            prior = priors.StandardNormalMap(self.latent_dim, map_shape)
        return self._with(encoder=encoder, decoder=decoder, prior=prior)

    def _own_arguments(self):
        return {
            "scaling_factor": self.scaling_factor,
            "shift_factor": self.shift_factor,
            "latents_mean": self.latents_mean,
            "latents_std": self.latents_std,
            "source": self.source,
        }

    def get_config(self):
        return {**super().get_config(), **self._own_arguments()}


@register
class SpatialVQVAE(_OfMaps, SpatialCodeInference, VQVAE):
    """A `VQVAE` of pictures and maps of any size.

    Args: as `VQVAE`, and
        prior: `priors.UniformCodes(num_codes)`, or another prior of maps; a
            `priors.GatedPixelCNN` is of maps of one size.
        source: see `SpatialVAE`.
    """

    def __init__(self, *args, source=None, **parts):
        super().__init__(*args, **parts)
        self._keep_source(source)

    def _at_size(self, data_shape, map_shape):
        encoder, decoder = self._resized(data_shape, map_shape)
        prior = self.prior
        if isinstance(prior, priors.UniformCodes):
            prior = priors.UniformCodes(prior.num_codes, map_shape)
        return self._with(encoder=encoder, decoder=decoder, prior=prior)

    def _own_arguments(self):
        return {"source": self.source}

    def get_config(self):
        return {**super().get_config(), "source": self.source}


def _map_shape(decoder):
    """Height and width of the maps that a network takes; None where they are not known."""
    try:
        shape = tuple(decoder.inputs[0].shape)
    except (AttributeError, TypeError, ValueError):
        return None, None
    return shape[1:3] if len(shape) == 4 else (None, None)


def _number(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise ValueError(f"`{name}` must be a finite number. Received: {name}={value!r}")
    if not np.isfinite(value):
        raise ValueError(f"`{name}` must be a finite number. Received: {name}={value!r}")
    return float(value)


def _each_channel(name, values, channels):
    """A list of one number for each channel, or None."""
    if values is None:
        return None
    values = [_number(name, value) for value in values]
    if len(values) != channels:
        raise ValueError(
            f"`{name}` must hold one number for each of the {channels} channels of a code. "
            f"Received: {len(values)} numbers"
        )
    return values
