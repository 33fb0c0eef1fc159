"""Papers by name: the VAE itself, β-VAE, conditional VAE."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

from keras_vae import conditions, initializers, networks, objectives, posteriors, priors, schedules
from keras_vae.models import parts
from keras_vae.models.papers.register import paper
from keras_vae.models.spatial import SpatialVAE
from keras_vae.models.vae import VAE


@paper()
def vae(
    input_shape=(28, 28, 1),
    latent_dim=20,
    network="dense",
    units=None,
    likelihood="bernoulli",
    seed=None,
    name="vae",
    *,
    beta: float | schedules.Schedule = 1.0,
    objective: objectives.Objective | None = None,
    posterior: Callable[..., posteriors.Posterior] | None = None,
    prior: priors.Prior | None = None,
    condition: conditions.Condition | None = None,
    maps: bool = False,
    model_class: Callable[..., VAE] | None = None,
    **options,
) -> VAE:
    """Variational autoencoder: -log p(x|z) + β · KL(q(z|x) || N(0, I)).

    Kingma & Welling, "Auto-Encoding Variational Bayes", 2014.

    Args:
        input_shape: shape of one example without the batch axis.
        latent_dim: number of latent dimensions d.
        network: "dense"; "conv" or "residual", of series, pictures and volumes;
            "recurrent", of series `(time, features)`.
        units: widths from the data inwards; see `networks.build`.
        likelihood: "bernoulli", "dynamic_bernoulli", "normal" (σ learned),
            "optimal_normal" (σ the best for each batch), "student_t"; of counts "poisson",
            "negative_binomial"; others of `likelihoods.get`; or a layer.
        seed: int for the initial weights, the same on every backend, and for the
            noise of training; or None. For the same model twice set the order of the data
            too: `keras.utils.set_random_seed(0)` before `fit`, or `fit(shuffle=False)`.
        name: model name.
        beta: weight of the KL, a number or a `schedules.Schedule`.
        objective: what is minimised in place of that; it has no `beta`.
        posterior: function from a seed to the posterior layer; `DiagonalNormal` by
            default.
        prior: prior layer; N(0, I) by default.
        condition: see `conditions`; None for an unconditional model.
        maps: whether a code is a map `(h, w, latent_dim)`, which keeps places and can hold a
            photograph, in place of a vector: a `SpatialVAE`. Of pictures, with network "conv" or
            "residual"; each of `units` halves height and width.
        model_class: `VAE` or a subclass; by default `VAE`, or `SpatialVAE` with `maps`.
        **options: of the networks, such as `activation`; see `networks.build`.

    Returns:
        A built `VAE`, ready to `compile`, or to `fit` with Adam's defaults.

    Raises:
        TypeError: an unknown option.
        ValueError: a value is out of its range, or unknown.
    """
    if objective is not None and beta != 1.0:
        raise ValueError(
            "`beta` is the weight of the plain objective: give it or `objective`, whose own "
            f"weights it does not change. Received: beta={beta!r}, "
            f"objective={type(objective).__name__}"
        )
    *_, posterior_seed = itertools.islice(initializers.seeds(seed), 3)
    condition_dim = None if condition is None else condition.dim
    if maps:
        if model_class is not None and model_class is not SpatialVAE:
            raise ValueError(
                "`maps=True` makes a `models.SpatialVAE`, and codes of this model are vectors: "
                "leave `maps` out, or use `vae`, `cvae` or `autoencoder`. "
                f"Received: maps=True, model_class={_name_of(model_class)}"
            )
        options["spatial"] = networks.FEATURES
    likelihood = parts.likelihood(likelihood)
    options["per_value"] = likelihood.per_value
    encoder, decoder = networks.build(
        network, input_shape, latent_dim, units, condition_dim, seed, **options
    )
    if posterior is None:
        kind = posteriors.SpatialNormal if maps else posteriors.DiagonalNormal
        posterior = functools.partial(kind, latent_dim)
    if model_class is None:
        model_class = SpatialVAE if maps else VAE
    return model_class(
        encoder,
        decoder,
        posterior(seed=posterior_seed),
        prior=prior,
        likelihood=likelihood,
        objective=objective or objectives.ELBO(beta=beta),
        condition=condition,
        seed=seed,
        name=name or "vae",
    )


@paper()
def beta_vae(
    input_shape=(28, 28, 1),
    latent_dim=20,
    *,
    beta: float | schedules.Schedule = 4.0,
    **options,
) -> VAE:
    """β-VAE: -log p(x|z) + β · KL(q(z|x) || N(0, I)).

    Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a
    Constrained Variational Framework", 2017. β = 1 is the plain `vae`.

    Args: as `vae`, with `beta` 4 by default.
    """
    return vae(input_shape, latent_dim, beta=beta, **options)


@paper()
def cvae(
    input_shape=(28, 28, 1),
    latent_dim=20,
    *,
    num_classes: int | None = None,
    condition_dim: int | None = None,
    condition_names: list[str] | None = None,
    prior: str | priors.Prior | None = None,
    seed=None,
    **options,
) -> VAE:
    """Conditional VAE: -log p(x|z,y) + KL(q(z|x,y) || N(0, I)).

    Sohn, Lee & Yan, "Learning Structured Output Representation using Deep
    Conditional Generative Models", 2015, with the prior N(0, I), or with theirs, p(z|y),
    which is learned. Encoder and decoder both see the condition. Fits on `(x, y)`.

    Args: as `vae`, and one of
        num_classes: y are integer labels `(n,)` below this.
        condition_dim: y are vectors `(n, condition_dim)`.
        condition_names: a name for each class or attribute, optional.
        prior: None for N(0, I); "learned" for a normal p(z|y) whose mean and log-variance
            a network of the condition gives, `priors.ConditionalNormal`; or a prior layer, such
            as a `priors.FlowMatching`, which `fit_prior` trains after `fit`.

    Raises:
        ValueError: an unknown prior; neither or both of `num_classes` and `condition_dim`.
    """
    if (num_classes is None) == (condition_dim is None):
        raise ValueError(
            "Give one of `num_classes` (integer labels) and `condition_dim` (vectors). "
            f"Received: num_classes={num_classes}, condition_dim={condition_dim}"
        )
    condition: Any
    if num_classes is not None:
        condition = conditions.Labels(num_classes, condition_names)
    elif condition_dim is not None:
        condition = conditions.Attributes(condition_dim, condition_names)
    if isinstance(prior, str):
        if prior != "learned":
            raise ValueError(
                f"`prior` must be 'learned', a prior layer, or None. Received: prior={prior!r}"
            )
        if options.get("maps"):
            raise ValueError(
                "The learned normal prior is one of vectors. For maps give "
                "`prior=priors.FlowMatching((h, w, latent_dim), condition_dim)`, and after `fit` "
                "call `fit_prior`. Received: prior='learned', maps=True"
            )
        # The first three seeds are the networks' and the posterior's.
        *_, own = itertools.islice(initializers.seeds(seed), 4)
        prior = priors.ConditionalNormal(latent_dim, condition.dim, seed=own)
    return vae(input_shape, latent_dim, condition=condition, prior=prior, seed=seed, **options)


def _name_of(model_class):
    return getattr(model_class, "func", model_class).__name__
