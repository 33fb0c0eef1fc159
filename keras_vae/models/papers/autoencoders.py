"""Papers by name: autoencoders that are not variational."""

import functools

from keras_vae import corruption as corruptions
from keras_vae import likelihoods, objectives, posteriors, priors, schedules
from keras_vae.models.denoising import DenoisingAutoencoder
from keras_vae.models.papers.plain import vae
from keras_vae.models.papers.register import paper
from keras_vae.models.probes import hidden_layers
from keras_vae.models.vae import VAE

SPARSITY = ("k", *objectives.PENALTIES)


@paper()
def autoencoder(
    input_shape=(28, 28, 1),
    latent_dim=32,
    *,
    code_activation: str | None = None,
    **options,
) -> VAE:
    """Autoencoder: -log p(x|z) of a code z without noise, and no prior.

    Hinton & Salakhutdinov, "Reducing the Dimensionality of Data with Neural
    Networks", 2006. It samples once a distribution is fitted to its codes:
    `model.fit_sampler(x)`.

    Args: as `vae`, without `beta`, and
        code_activation: Keras' name of what the code goes through, or None; None with `maps`.

    Raises:
        ValueError: as `vae`; an unknown activation, or one with `maps`.
    """
    posterior = functools.partial(posteriors.Point, latent_dim, code_activation)
    if options.get("maps"):
        if code_activation is not None:
            raise ValueError(
                "A code that is a map goes through no activation: leave it out, or end the encoder "
                f"with it. Received: code_activation={code_activation!r}, maps=True"
            )
        posterior = functools.partial(posteriors.SpatialPoint, latent_dim)
    parts = {"objective": objectives.Reconstruction(), "posterior": posterior}
    return vae(input_shape, latent_dim, prior=priors.NoPrior(latent_dim), **{**parts, **options})


@paper(dense={"units": ()})
def sparse_autoencoder(
    input_shape=(28, 28, 1),
    latent_dim=1000,
    *,
    sparsity: str = "k",
    k: int | schedules.Schedule = 25,
    alpha: float = 1.0,
    weight: float | None = None,
    target: float = 0.05,
    layer_weights: list[float] | None = None,
    **options,
) -> VAE:
    """Sparse autoencoder: -log p(x|z), of z the k largest |z_j| kept, or + λ Σ_j sparsity(z_j).

    Makhzani & Frey, "k-Sparse Autoencoders", 2013: "k" keeps the k largest units of a
    linear code and sets the others to 0. "l1": + λ Σ|z_j|; "l2": + λ Σ z_j²; "kl":
    + λ Σ_j KL(ρ ‖ ρ̂_j) of a sigmoid code whose mean activations are ρ̂ (Ng, "Sparse
    Autoencoder", 2011). Dense networks have no hidden layer by default.

    Args: as `autoencoder`, and
        sparsity: "k", "l1", "l2" or "kl".
        k: units that are kept in training, from 1 to `latent_dim`; or a schedule of their
            number. `schedules.Linear(100, 25, steps)` starts with many, so that all units
            learn: the paper lowers their number over the first half of training.
        alpha: round(αk) units are kept at any other time, at least 1.
        weight: λ; 1e-3 by default, 3 for "kl".
        target: ρ.
        layer_weights: of "l1" and "l2", what each hidden layer's sum counts for beside
            the code's; None for the code alone.
        code_activation: of "l1" and "l2" codes; None by default.

    Raises:
        ValueError: as `vae`; unknown sparsity, a number that is out of range, or an
            activation of a code that must have another.
    """
    if sparsity not in SPARSITY:
        raise ValueError(f"`sparsity` must be one of {SPARSITY}. Received: sparsity={sparsity!r}")
    fixed = {"k": None, "kl": "sigmoid"}
    given = options.pop("code_activation", fixed.get(sparsity))
    if sparsity in fixed and given != fixed[sparsity]:
        raise ValueError(
            f"`code_activation` of sparsity={sparsity!r} must be {fixed[sparsity]!r}. "
            f"Received: code_activation={given!r}"
        )
    if sparsity == "k":
        if weight is not None or layer_weights is not None:
            raise ValueError(
                "`weight` and `layer_weights` are those of a penalty, and sparsity='k' has "
                f"none. Received: weight={weight!r}, layer_weights={layer_weights!r}"
            )
        options["posterior"] = functools.partial(posteriors.SparsePoint, latent_dim, k, alpha)
    else:
        weight = (3.0 if sparsity == "kl" else 1e-3) if weight is None else weight
        options["objective"] = objectives.Sparse(sparsity, weight, target, layer_weights)
    model = autoencoder(input_shape, latent_dim, code_activation=given, **options)
    count = len(hidden_layers(model.encoder))
    if layer_weights is not None and len(layer_weights) != count:
        raise ValueError(
            f"`layer_weights` must hold one for each of the encoder's {count} hidden layers. "
            f"Received: layer_weights={layer_weights!r}"
        )
    return model


@paper()
def denoising_autoencoder(
    input_shape=(28, 28, 1),
    latent_dim=32,
    *,
    corruption: str | corruptions.Corruption = "masking",
    **options,
) -> DenoisingAutoencoder:
    """Denoising autoencoder: -log p(x|z), z the code of corrupted data T(x).

    Vincent et al., "Extracting and Composing Robust Features with Denoising
    Autoencoders", 2008. `model.denoise(x)` cleans noisy data.

    Args: as `autoencoder`, and
        corruption: T in training: "masking" (a quarter of the values become 0),
            "salt_and_pepper" (a quarter become 0 or 1), "gaussian" (σ = 0.3), or a
            `corruption.Corruption` such as `corruption.Gaussian(0.5)`.

    Returns:
        A built `DenoisingAutoencoder`.

    Raises:
        ValueError: as `vae`; an unknown corruption.
    """
    model_class = functools.partial(DenoisingAutoencoder, corruption=corruptions.get(corruption))
    return autoencoder(input_shape, latent_dim, model_class=model_class, **options)


@paper(dense={"units": ()})
def contractive_autoencoder(
    input_shape=(28, 28, 1),
    latent_dim=128,
    *,
    weight: float = 0.1,
    probes: int | None = None,
    code_activation: str = "sigmoid",
    **options,
) -> VAE:
    """Contractive autoencoder: -log p(x|z) + λ ‖∂z/∂x‖²_F.

    Rifai et al., "Contractive Auto-Encoders: Explicit Invariance During Feature
    Extraction", 2011. Dense networks have no hidden layer by default, as there, and the
    norm then has a closed form. It is exact through any other encoder as well, at the
    cost of `latent_dim` passes; with `probes` it is estimated from as many.

    Args: as `autoencoder`, and
        weight: λ.
        probes: random vectors for each example; None for the exact norm.
        code_activation: "sigmoid" by default.

    Raises:
        ValueError: as `vae`; a number that is out of range.
    """
    objective = objectives.Contractive(weight, probes)
    return autoencoder(
        input_shape, latent_dim, objective=objective, code_activation=code_activation, **options
    )


@paper()
def rae_l2(
    input_shape=(28, 28, 1),
    latent_dim=16,
    *,
    likelihood="squared_error",
    beta: float | schedules.Schedule = 1e-2,
    weight: float = 1e-4,
    **options,
) -> VAE:
    """RAE-L2: ‖x - x̂‖² + β ½‖z‖² + λ ‖θ‖², θ the decoder's weights.

    Ghosh, Sajjadi, Vergari, Black & Schölkopf, "From Variational to Deterministic
    Autoencoders", 2020. An autoencoder whose codes stay near the origin and whose decoder stays
    smooth; `model.fit_sampler(x)` then gives it a prior. The defaults are the authors' for
    MNIST, where they divide the squared errors by the number of pixels.

    Args: as `autoencoder`, but
        likelihood: "squared_error", a `likelihoods.Normal(0.5)`, or another.
        beta: β, a number or a schedule.
        weight: λ.

    Raises:
        ValueError: as `vae`; a weight that is negative.
    """
    objective = objectives.Regularized("l2", beta, weight)
    return _regularized(input_shape, latent_dim, likelihood, objective, options)


@paper()
def rae_gp(
    input_shape=(28, 28, 1),
    latent_dim=16,
    *,
    likelihood="squared_error",
    beta: float | schedules.Schedule = 1e-2,
    weight: float = 1e-2,
    probes: int = 1,
    **options,
) -> VAE:
    """RAE-GP: ‖x - x̂‖² + β ½‖z‖² + λ ‖∂x̂/∂z‖²_F.

    Ghosh, Sajjadi, Vergari, Black & Schölkopf, "From Variational to Deterministic
    Autoencoders", 2020. As `rae_l2`, with a penalty on the decoder's gradient in place of its
    weights. The norm is estimated without bias from random vectors, as d or more passes would
    be needed for its exact value.

    Args: as `rae_l2`, and
        probes: random vectors for each example.

    Raises:
        ValueError: as `vae`; a number that is out of range.
    """
    objective = objectives.Regularized("gradient", beta, weight, probes)
    return _regularized(input_shape, latent_dim, likelihood, objective, options)


def _regularized(input_shape, latent_dim, likelihood, objective, options):
    if likelihood == "squared_error":
        # -log p(x|z) = ‖x - x̂‖² and a constant.
        likelihood = likelihoods.Normal(0.5)
    return autoencoder(
        input_shape, latent_dim, likelihood=likelihood, objective=objective, **options
    )
