"""Papers by name: models with latent variables besides z."""

import functools
import itertools

import keras

from keras_vae import (
    auxiliary,
    conditions,
    hierarchy,
    initializers,
    learned_priors,
    mean_field,
    networks,
    objectives,
    posteriors,
)
from keras_vae.models import checks
from keras_vae.models.auxiliary import AuxiliaryVAE
from keras_vae.models.by_prior import _prior_seed
from keras_vae.models.model import VAE
from keras_vae.models.structured import StructuredVAE
from keras_vae.models.variants import vae


def auxiliary_vae(
    input_shape=(28, 28, 1),
    latent_dim=100,
    network="dense",
    units=None,
    likelihood="bernoulli",
    seed=None,
    name="auxiliary_vae",
    *,
    auxiliary_dim=None,
    num_classes=None,
    condition_names=None,
    classification=1.0,
    beta=1.0,
    prior=None,
    **options,
):
    """Auxiliary VAE: -E_q[log p(x|z) + log p(a|x,z) + log p(z) - log q(a|x) - log q(z|a,x)].

    Maaløe et al., "Auxiliary Deep Generative Models", 2016. With `num_classes` it is the
    semi-supervised one: `fit(x, y)` with labels, -1 where there is none, and
    `classify(x)`. See `AuxiliaryVAE` and `auxiliary.Auxiliary`. Dense networks are
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
    if network == "dense" and units is None:
        units = (500, 500)
    auxiliary_dim = latent_dim if auxiliary_dim is None else auxiliary_dim
    checks.count(auxiliary_dim, "auxiliary_dim")
    condition = None
    if num_classes is not None:
        condition = conditions.OptionalLabels(num_classes, condition_names)
    classes = 0 if condition is None else num_classes
    seeds = itertools.islice(initializers.seeds(seed), 8)
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
        objective=auxiliary.Auxiliary(classification, beta, bool(classes)),
        condition=condition,
        seed=seed,
        name=name,
        auxiliary_encoder=auxiliary_encoder,
        auxiliary_posterior=normal(auxiliary_dim, "auxiliary_posterior"),
        auxiliary_decoder=auxiliary_decoder,
        auxiliary_prior=normal(auxiliary_dim, "auxiliary_prior"),
        classifier=classifier,
    )


def structured_vae(
    input_shape=(28, 28, 1),
    latent_dim=10,
    network="dense",
    units=None,
    likelihood="bernoulli",
    seed=None,
    name="structured_vae",
    *,
    components=15,
    iterations=5,
    beta=1.0,
    **options,
):
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
    prior = learned_priors.LearnedMixture(latent_dim, components, _prior_seed(seed))
    return vae(
        input_shape, latent_dim, network, units, likelihood, seed, name, prior=prior,
        objective=mean_field.MixtureELBO(beta),
        model_class=functools.partial(StructuredVAE, iterations=iterations), **options,
    )  # fmt: skip


def hierarchical_vae(
    input_shape=(28, 28, 1),
    latent_dim=100,
    network="dense",
    units=None,
    likelihood="bernoulli",
    seed=None,
    name="hierarchical_vae",
    *,
    top_dim=50,
    hidden_units=(100, 100),
    objective=None,
    beta=1.0,
    **options,
):
    """Two layers of codes: -log p(x|z₁) + log q(z₁|x) q(z₂|z₁) - log p(z₁|z₂) p(z₂).

    Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", 2016, with two
    stochastic layers; see `hierarchy`. A code is (z₁, z₂), and z₂ of `encode` is the
    mean at the mean of z₁. Dense networks are the paper's, 200-200 tanh, by default.

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
    if network == "dense":
        units = (200, 200) if units is None else units
        options.setdefault("activation", "tanh")
    if not isinstance(latent_dim, int) or latent_dim < 1:
        raise ValueError(f"`latent_dim` must be an integer of at least 1. Received: {latent_dim!r}")
    whole = latent_dim + top_dim if isinstance(top_dim, int) else latent_dim

    def decoded(decoder):
        """The decoder, which sees z₁ of the whole code."""
        code = keras.Input((whole,), name="code")
        return keras.Model(code, decoder(hierarchy.Bottom(latent_dim)(code)), name="decoder")

    *_, own = itertools.islice(initializers.seeds(seed), 3)
    posterior = hierarchy.ChainedPosterior(whole, top_dim, hidden_units, seed=own)
    encoder, decoder = networks.build(network, input_shape, latent_dim, units, seed=seed, **options)
    return VAE(
        encoder,
        decoded(decoder),
        posterior,
        prior=hierarchy.ChainedPrior(whole, top_dim, hidden_units, seed=_prior_seed(seed)),
        likelihood=likelihood,
        objective=objective or objectives.ELBO(beta),
        seed=seed,
        name=name,
    )
