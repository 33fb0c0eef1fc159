"""Papers by name: autoencoders that are not variational."""

import functools

from keras_vae import objectives, posteriors, priors
from keras_vae.models import probes
from keras_vae.models.denoising import DenoisingAutoencoder, _corruption
from keras_vae.models.papers.plain import vae

SPARSITY = ("k", *objectives.PENALTIES)


def autoencoder(
    input_shape=(28, 28, 1),
    latent_dim=32,
    network="dense",
    units=None,
    likelihood="bernoulli",
    seed=None,
    name="autoencoder",
    *,
    code_activation=None,
    **options,
):
    """Autoencoder: -log p(x|z) of a code z without noise, and no prior.

    Hinton & Salakhutdinov, "Reducing the Dimensionality of Data with Neural
    Networks", 2006. It samples once a distribution is fitted to its codes:
    `model.fit_sampler(x)`.

    Args: as `vae`, without `beta`, and
        code_activation: Keras' name of what the code goes through, or None.

    Raises:
        ValueError: as `vae`; an unknown activation.
    """
    options.setdefault("objective", objectives.Reconstruction())
    options.setdefault(
        "posterior", functools.partial(posteriors.Point, latent_dim, code_activation)
    )
    return vae(
        input_shape, latent_dim, network, units, likelihood, seed, name,
        prior=priors.NoPrior(latent_dim), **options,
    )  # fmt: skip


def sparse_autoencoder(
    input_shape=(28, 28, 1),
    latent_dim=1000,
    network="dense",
    units=None,
    likelihood="bernoulli",
    seed=None,
    name="sparse_autoencoder",
    *,
    sparsity="k",
    k=25,
    alpha=1.0,
    weight=None,
    target=0.05,
    layer_weights=None,
    **options,
):
    """Sparse autoencoder: -log p(x|z), of z the k largest |z_j| kept, or + λ Σ_j sparsity(z_j).

    "k": the k largest units of a linear code are kept, the others are 0 (Makhzani &
    Frey, "k-Sparse Autoencoders", 2013). "l1": + λ Σ|z_j|; "l2": + λ Σ z_j²; "kl":
    + λ Σ_j KL(ρ ‖ ρ̂_j) of a sigmoid code whose mean activations are ρ̂ (Ng, "Sparse
    Autoencoder", 2011). Dense networks have no hidden layer by default.

    Args: as `autoencoder`, and
        sparsity: "k", "l1", "l2" or "kl".
        k: units that are kept in training, from 1 to `latent_dim`.
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
        options["posterior"] = functools.partial(_SparsePoint, latent_dim, k, alpha)
    else:
        weight = (3.0 if sparsity == "kl" else 1e-3) if weight is None else weight
        options["objective"] = _Sparse(sparsity, weight, target, layer_weights)
    model = autoencoder(
        input_shape, latent_dim, network, _shallow(network, units), likelihood, seed, name,
        code_activation=given, **options,
    )  # fmt: skip
    count = len(_hidden_layers(model.encoder))
    if layer_weights is not None and len(layer_weights) != count:
        raise ValueError(
            f"`layer_weights` must hold one for each of the encoder's {count} hidden layers. "
            f"Received: layer_weights={layer_weights!r}"
        )
    return model


# Inside the function `sparsity` is its argument.
_Sparse, _SparsePoint = objectives.Sparse, posteriors.SparsePoint
_hidden_layers = probes.hidden_layers


def denoising_autoencoder(
    input_shape=(28, 28, 1),
    latent_dim=32,
    network="dense",
    units=None,
    likelihood="bernoulli",
    seed=None,
    name="denoising_autoencoder",
    *,
    corruption="masking",
    **options,
):
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
    return autoencoder(
        input_shape, latent_dim, network, units, likelihood, seed, name,
        model_class=functools.partial(DenoisingAutoencoder, corruption=_corruption(corruption)),
        **options,
    )  # fmt: skip


def contractive_autoencoder(
    input_shape=(28, 28, 1),
    latent_dim=128,
    network="dense",
    units=None,
    likelihood="bernoulli",
    seed=None,
    name="contractive_autoencoder",
    *,
    weight=0.1,
    probes=None,
    code_activation="sigmoid",
    **options,
):
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
    return autoencoder(
        input_shape, latent_dim, network, _shallow(network, units), likelihood, seed, name,
        objective=objectives.Contractive(weight, probes), code_activation=code_activation,
        **options,
    )  # fmt: skip


def _shallow(network, units):
    """No hidden layers where dense ones were not asked for."""
    return () if network == "dense" and units is None else units
