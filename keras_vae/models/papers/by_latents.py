"""Papers by name: models that differ in their latent variables."""

import functools
import itertools
from typing import Any

import keras

from keras_vae import (
    _checks,
    conditions,
    initializers,
    layers,
    networks,
    objectives,
    posteriors,
    priors,
    quantizers,
    schedules,
)
from keras_vae.models import parts
from keras_vae.models.auxiliary import AuxiliaryVAE
from keras_vae.models.papers.by_prior import _prior_seed
from keras_vae.models.papers.plain import vae
from keras_vae.models.papers.register import paper
from keras_vae.models.structured import StructuredVAE
from keras_vae.models.vae import VAE
from keras_vae.models.vq import VQVAE


@paper()
def vq_vae(
    input_shape=(28, 28, 1),
    latent_dim=64,
    *,
    network="residual",
    units=None,
    likelihood="optimal_normal",
    seed=None,
    name="vq_vae",
    quantizer: quantizers.Quantizer | None = None,
    num_codes: int = 512,
    codebook: str = "ema",
    commitment: float = 0.25,
    decay: float = 0.99,
    revive_after: int | None = 100,
    prior: str | keras.layers.Layer = "pixelcnn",
    prior_channels: int = 64,
    prior_depth: int = 8,
    prior_kernel_size: int = 3,
    num_classes: int | None = None,
    condition_dim: int | None = None,
    condition_names: list[str] | None = None,
    condition_dropout: float = 0.0,
    **options,
) -> VQVAE:
    """VQ-VAE: -log p(x|c) + β ‖z_e - sg(e)‖² - log p(c), the codes c nearest to z_e.

    van den Oord, Vinyals & Kavukcuoglu, "Neural Discrete Representation Learning",
    2017, with a gated PixelCNN (van den Oord et al. 2016) as the prior of the codes, or one of
    two transformers.

    Args:
        input_shape: shape `(height, width, channels)` of one image.
        latent_dim: number of dimensions of a code's vector; that of the `quantizer` where one
            is given.
        network: "residual" or "conv".
        units: channels of the stages that halve the resolution, from the data
            inwards; (32, 64) by default, so a map has a quarter of the image's side.
        likelihood: "optimal_normal" (squared error over its own mean), "normal",
            "bernoulli", or a layer.
        seed: int for the initial weights, the same on every backend, and for the
            noise of training; or None.
        name: model name.
        quantizer: any of `quantizers`, such as `quantizers.FiniteScalar([8, 5, 5, 5])`, in place
            of the `VectorQuantizer` that the next arguments make. The encoder's width is its
            `latent_dim`.
        num_codes: number of codes.
        codebook: "ema" (running averages) or "gradient" (‖sg(z_e) - e‖² in the loss).
        commitment: β.
        decay: γ of the running averages.
        revive_after: training steps without use after which a code is moved to where
            features are, or None; see `quantizers.VectorQuantizer`.
        prior: "pixelcnn" (`priors.GatedPixelCNN`), "transformer" (`priors.CodeTransformer`, which
            sees all positions before) or "masked" (`priors.MaskedTransformer`, which draws a map
            in a few steps); or such a layer, for the codes and maps of this model.
        prior_channels: channels of the PixelCNN, or width of a transformer, then a multiple of 4.
        prior_depth: number of layers of the PixelCNN, or of blocks of a transformer.
        prior_kernel_size: of the PixelCNN; see `priors.GatedPixelCNN`.
        num_classes: the prior is conditional on integer labels `(n,)` below this.
        condition_dim: the prior is conditional on vectors `(n, condition_dim)`.
        condition_names: a name for each class or attribute, optional.
        condition_dropout: part of the conditions that training of the prior drops, such as
            0.1, so that `sample(..., guidance=2.0)` can follow them more closely.
        **options: of the networks, such as `blocks`; see `networks.build`.

    Returns:
        A built `VQVAE`, ready to `compile`, or to `fit` with Adam's defaults.

    Raises:
        ValueError: a value is out of its range, or unknown.
    """
    condition: Any = None
    if num_classes is not None and condition_dim is not None:
        raise ValueError(
            "Give at most one of `num_classes` (integer labels) and `condition_dim` "
            f"(vectors). Received: num_classes={num_classes}, condition_dim={condition_dim}"
        )
    if num_classes is not None:
        condition = conditions.Labels(num_classes, condition_names)
    elif condition_dim is not None:
        condition = conditions.Attributes(condition_dim, condition_names)
    own = {
        "latent_dim": (latent_dim, 64),
        "num_codes": (num_codes, 512),
        "codebook": (codebook, "ema"),
        "decay": (decay, 0.99),
        "revive_after": (revive_after, 100),
    }
    *_, codebook_seed, prior_seed = itertools.islice(initializers.seeds(seed), 4)
    if quantizer is None:
        quantizer = quantizers.VectorQuantizer(
            num_codes, latent_dim, codebook, decay, revive_after, codebook_seed
        )
    else:
        _check_quantizer(quantizer, own)
    likelihood = parts.likelihood(likelihood)
    options |= {"spatial": True, "per_value": likelihood.per_value}
    encoder, decoder = networks.build(
        network, input_shape, quantizer.latent_dim, units, seed=seed, **options
    )
    codes = {
        "num_codes": quantizer.num_codes,
        "map_shape": quantizer.code_map_shape(encoder.output_shape[1:3]),
        "condition_dim": None if condition is None else condition.dim,
    }
    sizes = {
        "prior_channels": prior_channels,
        "prior_depth": prior_depth,
        "prior_kernel_size": prior_kernel_size,
        "condition_dropout": condition_dropout,
    }
    return VQVAE(
        encoder,
        decoder,
        quantizer,
        _code_prior(prior, codes, sizes, prior_seed),
        likelihood=likelihood,
        objective=objectives.Quantized(commitment),
        condition=condition,
        seed=seed,
        name=name or "vq_vae",
    )


def _code_prior(prior, codes, sizes, seed):
    """The prior of `vq_vae`, by its name; a layer as it is, if it is for such codes."""
    kinds = ("pixelcnn", "transformer", "masked")
    named = isinstance(prior, str) and prior in kinds
    if not named and not (isinstance(prior, keras.layers.Layer) and hasattr(prior, "map_shape")):
        raise ValueError(
            f"`prior` must be one of {kinds}, or a prior of maps of codes, such as "
            f"`priors.CodeTransformer({codes['num_codes']}, {codes['map_shape']})`. "
            f"Received: prior={prior!r}"
        )
    channels, depth, kernel_size, dropout = sizes.values()
    if prior == "pixelcnn":
        return priors.GatedPixelCNN(
            **codes,
            channels=channels,
            depth=depth,
            kernel_size=kernel_size,
            seed=seed,
            condition_dropout=dropout,
        )
    # What this prior does not read must be left at its default.
    default = {"prior_kernel_size": 3}
    if not named:
        default |= {"prior_channels": 64, "prior_depth": 8, "condition_dropout": 0.0}
    unread = {name: sizes[name] for name in default if sizes[name] != default[name]}
    if unread:
        owner = "the PixelCNN's" if named else "the prior's own"
        way = "leave them out" if named else f"give them to `{type(prior).__name__}`"
        raise ValueError(
            f"{', '.join(unread)}: {owner}, so {way}. Received: prior={prior!r}, {unread}"
        )
    if not named:
        found = {name: getattr(prior, name, None) for name in codes}
        if found != codes:
            raise ValueError(
                f"`prior` must be for the codes of this model: {codes}. Received: {found}"
            )
        return prior
    if not _checks.is_integer(channels, 1) or channels % 4:
        raise ValueError(
            "`prior_channels`, the width of a transformer of 4 heads, must be a multiple of 4; for "
            "other heads give `prior` a layer, such as `priors.CodeTransformer`. "
            f"Received: prior_channels={channels!r}"
        )
    kind = priors.CodeTransformer if prior == "transformer" else priors.MaskedTransformer
    return kind(**codes, width=channels, depth=depth, heads=4, seed=seed, condition_dropout=dropout)


def _check_quantizer(quantizer, own):
    """Raises a ValueError for no quantizer, or for arguments that it has itself."""
    if not isinstance(quantizer, keras.layers.Layer) or not hasattr(quantizer, "discretize"):
        raise ValueError(
            "`quantizer` must be one of `keras_vae.quantizers`, such as "
            f"`quantizers.FiniteScalar([8, 5, 5, 5])`. Received: quantizer={quantizer!r}"
        )
    twice = {name: value for name, (value, default) in own.items() if value != default}
    if twice.get("latent_dim") == quantizer.latent_dim:
        del twice["latent_dim"]
    if twice:
        raise ValueError(
            f"{', '.join(twice)} are the quantizer's own: give them to "
            f"`{type(quantizer).__name__}`, which has latent_dim={quantizer.latent_dim} and "
            f"num_codes={quantizer.num_codes}. Received: {twice}"
        )


@paper(dense={"units": (500, 500)})
def auxiliary_vae(
    input_shape=(28, 28, 1),
    latent_dim=100,
    *,
    network="dense",
    units=None,
    likelihood="bernoulli",
    seed=None,
    name="auxiliary_vae",
    auxiliary_dim: int | None = None,
    num_classes: int | None = None,
    condition_names: list[str] | None = None,
    classification: float = 1.0,
    beta: float | schedules.Schedule = 1.0,
    prior: priors.Prior | None = None,
    **options,
) -> AuxiliaryVAE:
    """Auxiliary VAE: -E_q[log p(x|z) + log p(a|x,z) + log p(z) - log q(a|x) - log q(z|a,x)].

    Maaløe et al., "Auxiliary Deep Generative Models", 2016. With `num_classes` it is the
    semi-supervised one: `fit(x, y)` with labels, -1 where there is none, and
    `classify(x)`. See `AuxiliaryVAE` and `objectives.Auxiliary`. Dense networks are
    500-500 by default; neither batch normalisation nor skip connections are the paper's.

    Args: as `vae`, without `condition`, `posterior` and `objective`, and
        auxiliary_dim: number of dimensions of a; those of z by default.
        num_classes: C, labels are integers below it; None for a model without labels.
        condition_names: a name for each class, optional.
        classification: α, the weight of -log q(y|a,x) of labelled examples.
        beta: weight of the terms of z and a, a number or a `schedules.Schedule`.

    Returns:
        A built `AuxiliaryVAE`.

    Raises:
        ValueError: as `vae`; a value that is out of range.
    """
    auxiliary_dim = latent_dim if auxiliary_dim is None else auxiliary_dim
    _checks.count(auxiliary_dim, "auxiliary_dim")
    condition = None
    if num_classes is not None:
        condition = conditions.OptionalLabels(num_classes, condition_names)
    classes = num_classes or 0
    seeds = itertools.islice(initializers.seeds(seed), 8)
    likelihood = parts.likelihood(likelihood)
    options["per_value"] = likelihood.per_value
    build = functools.partial(networks.build, network, input_shape, latent_dim, units)

    def encoder(beside, part):
        found, _ = build(beside or None, next(seeds), **options)
        found.name = part
        return found

    def normal(dim, part):
        return posteriors.DiagonalNormal(dim, seed=next(seeds), name=part)

    auxiliary_encoder = encoder(0, "auxiliary_encoder")
    main_encoder = encoder(auxiliary_dim + classes, "encoder")
    auxiliary_decoder = encoder(latent_dim + classes, "auxiliary_decoder")
    _, decoder = build(classes or None, next(seeds), **options)
    classifier = None
    if classes:
        features = encoder(auxiliary_dim, "features")
        logits = keras.layers.Dense(
            classes, kernel_initializer=initializers.GlorotUniform(seed), dtype="float32"
        )
        classifier = keras.Model(features.inputs, logits(features.output), name="classifier")
    return AuxiliaryVAE(
        main_encoder,
        decoder,
        normal(latent_dim, "posterior"),
        prior=prior,
        likelihood=likelihood,
        objective=objectives.Auxiliary(classification, beta, bool(classes)),
        condition=condition,
        seed=seed,
        name=name,
        auxiliary_encoder=auxiliary_encoder,
        auxiliary_posterior=normal(auxiliary_dim, "auxiliary_posterior"),
        auxiliary_decoder=auxiliary_decoder,
        auxiliary_prior=normal(auxiliary_dim, "auxiliary_prior"),
        classifier=classifier,
    )


@paper()
def structured_vae(
    input_shape=(28, 28, 1),
    latent_dim=10,
    *,
    components: int = 15,
    iterations: int = 5,
    beta: float | schedules.Schedule = 1.0,
    seed=None,
    **options,
) -> StructuredVAE:
    """Structured VAE: -log p(x|z) + KL(q(z) q(k) || p(z, k)), q from a local mean field.

    Johnson et al., "Composing graphical models with neural networks for structured
    representations and fast inference", 2016; see `StructuredVAE` for what is done
    otherwise.

    Args: as `vae`, without `prior`, `posterior` and `objective`, and
        components: K, number of normals of the mixture.
        iterations: of the local mean field.
        beta: weight of the KL, a number or a `schedules.Schedule`.

    Returns:
        A built `StructuredVAE`.

    Raises:
        ValueError: as `vae`; a number that is out of range.
    """
    prior = priors.LearnedMixture(latent_dim, components, _prior_seed(seed))
    return vae(
        input_shape,
        latent_dim,
        prior=prior,
        objective=objectives.MixtureELBO(beta),
        model_class=functools.partial(StructuredVAE, iterations=iterations),
        seed=seed,
        **options,
    )


@paper(dense={"units": (200, 200), "activation": "tanh"})
def hierarchical_vae(
    input_shape=(28, 28, 1),
    latent_dim=100,
    *,
    network="dense",
    units=None,
    likelihood="bernoulli",
    seed=None,
    name="hierarchical_vae",
    top_dim: int = 50,
    hidden_units: tuple[int, ...] = (100, 100),
    objective: objectives.Objective | None = None,
    beta: float | schedules.Schedule = 1.0,
    **options,
) -> VAE:
    """Two layers of codes: -log p(x|z₁) + log q(z₁|x) q(z₂|z₁) - log p(z₁|z₂) p(z₂).

    Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", 2016, with two
    stochastic layers; see `posteriors.ChainedPosterior`. A code is (z₁, z₂), and z₂ of
    `encode` is the mean at the mean of z₁. Dense networks are the paper's, 200-200 tanh,
    by default.

    Args: as `vae`, without `prior`, `posterior` and `condition`, and
        latent_dim: dimensions of z₁.
        top_dim: dimensions of z₂.
        hidden_units: widths of the tanh layers between z₁ and z₂, in both directions.
        objective: such as `objectives.IWAE(50)`; `objectives.ELBO(beta)` by default.

    Returns:
        A built `VAE` of `latent_dim + top_dim` latent dimensions.

    Raises:
        ValueError: as `vae`; a number that is out of range.
    """
    if not _checks.is_integer(latent_dim):
        raise ValueError(f"`latent_dim` must be an integer of at least 1. Received: {latent_dim!r}")
    whole = latent_dim + top_dim if _checks.is_integer(top_dim) else latent_dim

    def decoded(decoder):
        """The decoder, which sees z₁ of the whole code."""
        code = keras.Input((whole,), name="code")
        return keras.Model(code, decoder(layers.Bottom(latent_dim)(code)), name="decoder")

    *_, own = itertools.islice(initializers.seeds(seed), 3)
    posterior = posteriors.ChainedPosterior(whole, top_dim, hidden_units, seed=own)
    likelihood = parts.likelihood(likelihood)
    options["per_value"] = likelihood.per_value
    encoder, decoder = networks.build(network, input_shape, latent_dim, units, seed=seed, **options)
    return VAE(
        encoder,
        decoded(decoder),
        posterior,
        prior=priors.ChainedPrior(whole, top_dim, hidden_units, seed=_prior_seed(seed)),
        likelihood=likelihood,
        objective=objective or objectives.ELBO(beta),
        seed=seed,
        name=name,
    )
