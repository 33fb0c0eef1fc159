"""Papers by name: models that differ in their objective."""

import functools
import itertools

from keras_vae import _checks, initializers, likelihoods, objectives, posteriors, schedules
from keras_vae.models.factor import FactorVAE, discriminator_network
from keras_vae.models.miwae import MIWAE
from keras_vae.models.papers.plain import vae
from keras_vae.models.papers.register import paper
from keras_vae.models.vae import VAE


@paper()
def factor_vae(
    input_shape=(28, 28, 1),
    latent_dim=10,
    *,
    gamma: float = 6.4,
    discriminator_units: tuple[int, ...] = (1000,) * 6,
    discriminator_learning_rate: float = 1e-4,
    seed=None,
    **options,
) -> FactorVAE:
    """FactorVAE: -log p(x|z) + KL + γ E[log D(z) - log(1 - D(z))].

    Kim & Mnih, "Disentangling by Factorising", 2018. The last term estimates the total
    correlation KL(q(z) || Π q(z_j)); see `FactorVAE`. γ = 0 is the plain `vae`. It needs
    batches, the larger the better; one of one is finite, but teaches nothing of it.

    Args: as `vae`, and
        gamma: γ, at least 0.
        discriminator_units: widths of the discriminator's layers.
        discriminator_learning_rate: of its optimizer.

    Returns:
        A built `FactorVAE`.

    Raises:
        ValueError: as `vae`; a negative γ, or widths that are no positive integers.
    """
    widths = tuple(discriminator_units)
    if not all(map(_checks.is_integer, widths)):
        raise ValueError(
            f"`discriminator_units` must be positive integers. Received: {discriminator_units!r}"
        )
    *_, own = itertools.islice(initializers.seeds(seed), 5)
    model_class = functools.partial(
        FactorVAE,
        discriminator=discriminator_network(latent_dim, widths, own),
        discriminator_learning_rate=discriminator_learning_rate,
    )
    return vae(
        input_shape,
        latent_dim,
        objective=objectives.DensityRatio(gamma),
        model_class=model_class,
        seed=seed,
        **options,
    )


@paper()
def miwae(
    input_shape=(28, 28, 1),
    latent_dim=50,
    *,
    likelihood="bernoulli",
    samples: int = 20,
    gradient: str = "standard",
    **options,
) -> MIWAE:
    """MIWAE: -log 1/K Σ_k p(x_obs|z_k) p(z_k) / q(z_k|x_obs, 0).

    Mattei & Frellsen, "MIWAE: Deep Generative Modelling and Imputation of Incomplete
    Data Sets", 2019. Values that are missing at random are NaN, or marked by
    `fit(x, missing=...)`; `impute(x)` fills them in. Without missing values it is `iwae`. With
    `network="recurrent"` the encoder skips what is missing of series, see `pad_series`.

    Args: as `iwae`, but
        likelihood: of single pixels: not one that looks at the whole picture.
        samples: K, 20 by default.

    Returns:
        A built `MIWAE`.

    Raises:
        ValueError: as `iwae`; a likelihood that does not look at single pixels.
    """
    return vae(
        input_shape,
        latent_dim,
        likelihood=likelihoods.Observed(likelihood),
        objective=objectives.IWAE(samples, gradient),
        model_class=MIWAE,
        **options,
    )


@paper()
def annealed_vae(
    input_shape=(28, 28, 1),
    latent_dim=10,
    *,
    gamma: float = 1000.0,
    capacity: float | schedules.Schedule | None = None,
    **options,
) -> VAE:
    """Capacity-annealed VAE: -log p(x|z) + γ |mean KL - C(step)|.

    Burgess et al., "Understanding disentangling in β-VAE", 2018.

    Args: as `vae`, and
        gamma: γ.
        capacity: C in nats, a number or a `schedules.Schedule`; from 0 to 25 in 100000
            steps by default.

    Raises:
        ValueError: as `vae`; a negative weight or capacity.
    """
    capacity = schedules.Linear(0.0, 25.0, 100_000) if capacity is None else capacity
    objective = objectives.Capacity(gamma, capacity)
    return vae(input_shape, latent_dim, objective=objective, **options)


@paper()
def beta_tc_vae(
    input_shape=(28, 28, 1),
    latent_dim=10,
    *,
    alpha: float = 1.0,
    beta: float = 6.0,
    gamma: float = 1.0,
    sampling: str = "weighted",
    dataset_size: int | None = None,
    **options,
) -> VAE:
    """β-TCVAE: -log p(x|z) + α I(x; z) + β TC(z) + γ Σ_j KL(q(z_j) || p(z_j)).

    Chen et al., "Isolating Sources of Disentanglement in Variational Autoencoders",
    2018. See `objectives.TotalCorrelation`. It needs batches, the larger the better; one
    of one is finite, but has no total correlation.

    Args: as `vae`, and
        alpha, beta, gamma: weights of mutual information, total correlation and
            dimension-wise KL.
        sampling: "weighted" or "stratified".
        dataset_size: number of training examples, which "stratified" needs.

    Raises:
        ValueError: as `vae`; see `objectives.TotalCorrelation`.
    """
    objective = objectives.TotalCorrelation(alpha, beta, gamma, sampling, dataset_size)
    return vae(input_shape, latent_dim, objective=objective, **options)


@paper()
def dip_vae(
    input_shape=(28, 28, 1),
    latent_dim=10,
    *,
    kind: str = "i",
    off_diagonal: float = 10.0,
    diagonal: float | None = None,
    **options,
) -> VAE:
    """DIP-VAE: VAE + λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii - 1)².

    Kumar, Sattigeri & Balakrishnan, "Variational Inference of Disentangled Latent
    Concepts from Unlabeled Observations", 2018. C is Cov[μ] ("i") or Cov[μ] + E[Σ]
    ("ii") over the batch.

    Args: as `vae`, and
        kind: "i" or "ii".
        off_diagonal: λ_od.
        diagonal: λ_d; 100 for "i" and 10 for "ii" by default.

    Raises:
        ValueError: as `vae`; unknown kind or a negative weight.
    """
    objective = objectives.DIP(kind, off_diagonal, diagonal)
    return vae(input_shape, latent_dim, objective=objective, **options)


@paper()
def info_vae(
    input_shape=(28, 28, 1),
    latent_dim=20,
    *,
    alpha: float = 0.0,
    lambda_: float = 1000.0,
    kernel: str = "rbf",
    **options,
) -> VAE:
    """InfoVAE: -log p(x|z) + (1 - α) KL + (α + λ - 1) MMD²(q(z), p(z)).

    Zhao, Song & Ermon, "InfoVAE: Balancing Learning and Inference in Variational
    Autoencoders", 2019. α = 1 is the MMD-VAE, without a KL; α = 0 and λ = 1 would be the
    plain `vae`. It needs batches of at least two.

    Args: as `vae`, and
        alpha: α, at most 1.
        lambda_: λ, above 1 - α.
        kernel: "rbf" or "imq"; see `objectives.mmd`.

    Raises:
        ValueError: as `vae`; a weight of the MMD that is not above 0, or of the KL that
            is negative.
    """
    objective = objectives.MMD(alpha + lambda_ - 1.0, 1.0 - alpha, kernel)
    return vae(input_shape, latent_dim, objective=objective, **options)


def _matched(stochastic, latent_dim, likelihood):
    """Posterior and likelihood of Wasserstein autoencoders, as arguments of `vae`."""
    layer = posteriors.DiagonalNormal if stochastic else posteriors.Point
    return {
        "posterior": functools.partial(layer, latent_dim),
        "likelihood": likelihoods.Normal(0.5) if likelihood == "squared" else likelihood,
    }


@paper()
def wae_mmd(
    input_shape=(28, 28, 1),
    latent_dim=8,
    *,
    likelihood="squared",
    weight: float = 10.0,
    stochastic: bool = False,
    kernel: str = "imq",
    **options,
) -> VAE:
    """Wasserstein autoencoder: ‖x - x̂‖² + λ MMD²(q(z), p(z)), MMD² unbiased.

    Tolstikhin et al., "Wasserstein Auto-Encoders", 2018, with inverse multiquadratics
    at seven scales. It needs batches of at least two. A deterministic encoder has no
    density over codes, so that `log_likelihood` is refused.

    Args: as `vae`, but
        likelihood: as there, or "squared", a normal one of variance ½: ‖x - x̂‖² and a
            constant.
        weight: λ, above 0.
        stochastic: whether the encoder is a diagonal normal; the paper's is not.
        kernel: "imq" or "rbf"; see `objectives.mmd`.

    Raises:
        ValueError: as `vae`; a weight that is not above 0.
    """
    objective = objectives.MMD(weight, kernel=kernel)
    matched = _matched(stochastic, latent_dim, likelihood)
    return vae(input_shape, latent_dim, objective=objective, **matched, **options)


@paper()
def swae(
    input_shape=(28, 28, 1),
    latent_dim=8,
    *,
    likelihood="squared",
    weight: float = 10.0,
    slices: int = 50,
    stochastic: bool = False,
    **options,
) -> VAE:
    """Sliced-Wasserstein autoencoder: ‖x - x̂‖² + λ mean_θ (sort θᵀz - sort θᵀz̃)².

    Kolouri et al., "Sliced-Wasserstein Autoencoder", 2018. The mean is over random unit
    vectors θ and over the batch, z̃ are codes of the prior.

    Args: as `wae_mmd`, and
        weight: λ, at least 0.
        slices: number of vectors θ.

    Raises:
        ValueError: as `vae`; a negative weight, or no slices.
    """
    objective = objectives.SlicedWasserstein(weight, slices)
    matched = _matched(stochastic, latent_dim, likelihood)
    return vae(input_shape, latent_dim, objective=objective, **matched, **options)


@paper(dense={"units": (200, 200), "activation": "tanh"})
def iwae(
    input_shape=(28, 28, 1),
    latent_dim=50,
    *,
    likelihood="dynamic_bernoulli",
    samples: int = 50,
    gradient: str = "standard",
    backward: int | None = None,
    **options,
) -> VAE:
    """Importance-weighted autoencoder: -log 1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x).

    Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", 2016. K = 1 is the
    plain `vae` in expectation. Dense networks are the paper's, 200-200 tanh, by default.

    Args: as `vae`, and
        samples: K.
        gradient: "standard", or "dreg" for the doubly reparameterised one of Tucker et
            al., "Doubly Reparameterized Gradient Estimators for Monte Carlo
            Objectives", 2019.
        backward: samples whose gradient is taken, drawn by their weights: with 50 samples
            and a few of them a step takes a fraction of the time; None for all.

    Raises:
        ValueError: as `vae`; `samples` below 1, an unknown gradient, or `backward` not
            from 1 to K.
    """
    objective = objectives.IWAE(samples, gradient, backward)
    return vae(input_shape, latent_dim, likelihood=likelihood, objective=objective, **options)
