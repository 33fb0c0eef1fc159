"""Papers by name: models with a discriminator."""

import functools
import itertools

from keras_vae import _checks, initializers, layers, objectives, posteriors, schedules
from keras_vae.models.adversarial import VAEGAN, AdversarialAutoencoder
from keras_vae.models.discriminators import picture_discriminator
from keras_vae.models.factor import discriminator_network
from keras_vae.models.papers.plain import vae
from keras_vae.models.papers.register import paper


def _checked_units(widths):
    widths = tuple(widths)
    if not widths or not all(map(_checks.is_integer, widths)):
        raise ValueError(f"`discriminator_units` must be positive integers. Received: {widths!r}")
    return widths


@paper()
def adversarial_autoencoder(
    input_shape=(28, 28, 1),
    latent_dim=8,
    *,
    weight: float = 1.0,
    loss: str = "logistic",
    start_step: int = 0,
    discriminator_units: tuple[int, ...] = (1000, 1000),
    discriminator_learning_rate: float = 1e-4,
    gradient_penalty: float = 0.0,
    stochastic: bool = False,
    seed=None,
    **options,
) -> AdversarialAutoencoder:
    """Adversarial autoencoder: -log p(x|z) - w log D(z), D of draws from N(0, I) against codes.

    Makhzani et al., "Adversarial Autoencoders", 2016. There is no KL: codes come to have the
    distribution of the prior, as they are taken for draws from it.

    Args: as `vae`, and
        weight: w, at least 0.
        loss: "logistic" or "hinge".
        start_step: step from which on the discriminator counts.
        discriminator_units: widths of the discriminator's layers.
        discriminator_learning_rate: of its optimizer.
        gradient_penalty: γ of the discriminator's R1, at least 0.
        stochastic: whether codes have noise, q(z|x) normal; by default they have none.

    Returns:
        A built `AdversarialAutoencoder`.

    Raises:
        ValueError: as `vae`; a number that is out of range, or an unknown loss.
    """
    widths = _checked_units(discriminator_units)
    *_, own = itertools.islice(initializers.seeds(seed), 5)
    model_class = functools.partial(
        AdversarialAutoencoder,
        discriminator=discriminator_network(latent_dim, widths, own),
        discriminator_learning_rate=discriminator_learning_rate,
        gradient_penalty=gradient_penalty,
    )
    layer = posteriors.DiagonalNormal if stochastic else posteriors.Point
    return vae(
        input_shape,
        latent_dim,
        objective=objectives.AdversarialMatching(weight, loss, start_step),
        posterior=functools.partial(layer, latent_dim),
        model_class=model_class,
        seed=seed,
        **options,
    )


@paper()
def vae_gan(
    input_shape=(28, 28, 1),
    latent_dim=32,
    *,
    weight: float = 1.0,
    pixel_weight: float = 0.0,
    beta: float | schedules.Schedule = 1.0,
    loss: str = "logistic",
    start_step: int = 0,
    adaptive: bool = False,
    discriminator_units: tuple[int, ...] = (32, 64, 128),
    discriminator_learning_rate: float = 1e-4,
    spectral: bool = False,
    gradient_penalty: float = 0.0,
    augmentation: layers.DifferentiableAugmentation | None = None,
    seed=None,
    **options,
) -> VAEGAN:
    """VAE/GAN: β KL + ½ ‖D_l(x) - D_l(x̂)‖² - w (log D(x̂) + log D(x̃)), x̃ from the prior.

    Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", 2016. D_l
    are features of a discriminator that tells data from decodings; see `VAEGAN`. The encoder
    sees KL and features, the decoder features and D.

    Args: as `vae`, and
        weight: w, at least 0; the paper's 1/γ.
        pixel_weight: of -log p(x|z), which is added to the features' distance.
        beta: weight of the KL, a number or a `schedules.Schedule`.
        loss: "logistic" or "hinge".
        start_step: step from which on D counts; it is trained from the first.
        adaptive: whether w is scaled by the ratio of gradient norms; see
            `objectives.FeatureMatching`.
        discriminator_units: widths of its layers, convolutions of stride 2 for pictures.
        discriminator_learning_rate: of its optimizer.
        spectral: whether its layers are divided by their spectral norm.
        gradient_penalty: γ of its R1, at least 0.
        augmentation: `layers.DifferentiableAugmentation` in front of it, or None.

    Returns:
        A built `VAEGAN`.

    Raises:
        ValueError: as `vae`; a number that is out of range, or an unknown loss.
    """
    widths = _checked_units(discriminator_units)
    *_, own = itertools.islice(initializers.seeds(seed), 5)
    model_class = functools.partial(
        VAEGAN,
        discriminator=picture_discriminator(tuple(input_shape), widths, spectral, own),
        discriminator_learning_rate=discriminator_learning_rate,
        gradient_penalty=gradient_penalty,
        augmentation=augmentation,
    )
    objective = objectives.FeatureMatching(weight, pixel_weight, beta, loss, start_step, adaptive)
    return vae(
        input_shape, latent_dim, objective=objective, model_class=model_class, seed=seed, **options
    )
