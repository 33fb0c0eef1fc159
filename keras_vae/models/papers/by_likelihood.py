"""Papers by name: models that differ in how a picture is compared with its original."""

from keras_vae import likelihoods, similarity
from keras_vae.models.papers.plain import vae


def logcosh_vae(
    input_shape=(28, 28, 1),
    latent_dim=20,
    network="dense",
    units=None,
    likelihood="logcosh",
    seed=None,
    name="logcosh_vae",
    *,
    a=10.0,
    **options,
):
    """LogCosh-VAE: Σ log cosh(a (x - x̂)) / a + β KL, and a constant.

    Chen et al., "Log Hyperbolic Cosine Loss Improves Variational Auto-Encoder", 2019.
    The constant makes the loss a likelihood; see `likelihoods.LogCosh`.

    Args: as `vae`, and
        a: where the loss turns from squares to absolute values.

    Raises:
        ValueError: as `vae`; an `a` that is not above 0.
    """
    if likelihood == "logcosh":
        likelihood = likelihoods.LogCosh(a)
    return vae(input_shape, latent_dim, network, units, likelihood, seed, name, **options)


def ms_ssim_vae(
    input_shape=(28, 28, 1),
    latent_dim=20,
    network="conv",
    units=None,
    likelihood="ms_ssim",
    seed=None,
    name="ms_ssim_vae",
    *,
    weight=None,
    scales=None,
    **options,
):
    """MS-SSIM-VAE: weight · (1 - MS-SSIM(x, x̂)) + β KL.

    Snell et al., "Learning to Generate Images with Perceptual Similarity Metrics", 2017.
    MS-SSIM is no density of x, so that `log_likelihood` is refused.

    Args: as `vae`, of images of at least 11 × 11, and
        weight, scales: see `likelihoods.MSSSIM`.

    Raises:
        ValueError: as `vae`; a weight that is not above 0, or images too small for the
            scales.
    """
    if likelihood == "ms_ssim":
        likelihood = likelihoods.MSSSIM(weight, scales)
        if len(input_shape) == 3:
            similarity.scale_weights(*input_shape[:2], scales)
        else:
            raise ValueError(
                "MS-SSIM compares images (height, width, channels). "
                f"Received: input_shape={tuple(input_shape)}"
            )
    return vae(input_shape, latent_dim, network, units, likelihood, seed, name, **options)


def dfc_vae(
    input_shape=(28, 28, 1),
    latent_dim=100,
    network="conv",
    units=None,
    likelihood="features",
    seed=None,
    name="dfc_vae",
    *,
    features=None,
    feature_layers=None,
    alpha=1.0,
    beta=0.5,
    **options,
):
    """Deep feature consistent VAE: α KL + β Σ_l ‖Φ_l(x) - Φ_l(x̂)‖² / (2 C H W).

    Hou et al., "Deep Feature Consistent Variational Autoencoder", 2017. Φ_l are layers
    of a frozen network, a copy of which is saved with the model. It is no density of x,
    so that `log_likelihood` is refused.

    Args: as `vae`, but
        features: a functional Keras model that takes the data, such as a classifier.
        feature_layers: names of its layers; its outputs by default.
        alpha: α, the weight of the KL.
        beta: β, the weight of the features.

    Raises:
        TypeError: no functional Keras model.
        ValueError: as `vae`; no `features`, or ones that do not take the data; an
            unknown layer or a weight that is out of range.
    """
    if likelihood == "features":
        if features is None:
            raise ValueError(
                "Give `features`, a Keras model whose layers compare pictures, such as a "
                "classifier. Received: features=None"
            )
        likelihood = likelihoods.Features(features, feature_layers, beta)
        taken = tuple(likelihood.network.input_shape[1:])
        if taken != tuple(input_shape):
            raise ValueError(
                f"`features` must take data of shape {tuple(input_shape)}. Received: {taken}"
            )
    return vae(
        input_shape, latent_dim, network, units, likelihood, seed, name, beta=alpha, **options
    )
