"""Papers by name: models that differ in how a picture is compared with its original."""

import keras

from keras_vae import likelihoods, similarity
from keras_vae.models.papers.plain import vae
from keras_vae.models.papers.register import paper
from keras_vae.models.vae import VAE


def no_features(input_shape):
    """The packaged network for data of a shape, and its layers. `zoo` puts its own here."""
    raise ValueError(
        "Give `features`, a Keras model whose layers compare pictures, such as a classifier: no "
        f"packaged encoder takes this data. Received: features=None, input_shape={input_shape}"
    )


packaged_features = no_features


@paper()
def logcosh_vae(
    input_shape=(28, 28, 1), latent_dim=20, *, likelihood="logcosh", a: float = 10.0, **options
) -> VAE:
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
    return vae(input_shape, latent_dim, likelihood=likelihood, **options)


@paper()
def ms_ssim_vae(
    input_shape=(28, 28, 1),
    latent_dim=20,
    *,
    network="conv",
    likelihood="ms_ssim",
    weight: float | None = None,
    scales: int | None = None,
    **options,
) -> VAE:
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
        if len(input_shape) != 3:
            raise ValueError(
                "MS-SSIM compares images (height, width, channels). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        similarity.scale_weights(input_shape[0], input_shape[1], scales)
    return vae(input_shape, latent_dim, network, likelihood=likelihood, **options)


@paper()
def dfc_vae(
    input_shape=(28, 28, 1),
    latent_dim=100,
    *,
    network="conv",
    likelihood="features",
    features: keras.Model | None = None,
    feature_layers: list[str] | None = None,
    alpha: float = 1.0,
    beta: float = 0.5,
    **options,
) -> VAE:
    """Deep feature consistent VAE: α KL + β Σ_l ‖Φ_l(x) - Φ_l(x̂)‖² / (2 C H W).

    Hou et al., "Deep Feature Consistent Variational Autoencoder", 2017. Φ_l are layers
    of a frozen network, a copy of which is saved with the model. It is no density of x,
    so that `log_likelihood` is refused.

    Args: as `vae`, but
        features: a functional Keras model that takes the data, such as a classifier. By
            default the encoder of a packaged preset, for data of its shape: `mnist_conv`
            for 28 x 28 x 1 and `celeba_vae` for 64 x 64 x 3, all of its convolutions.
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
            features, known = packaged_features(tuple(input_shape))
            feature_layers = known if feature_layers is None else feature_layers
        likelihood = likelihoods.Features(features, feature_layers, beta)
        taken = tuple(likelihood.network.input_shape[1:])
        if taken != tuple(input_shape):
            raise ValueError(
                f"`features` must take data of shape {tuple(input_shape)}. Received: {taken}"
            )
    return vae(input_shape, latent_dim, network, likelihood=likelihood, beta=alpha, **options)
