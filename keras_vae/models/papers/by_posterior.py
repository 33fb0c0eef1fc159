"""Papers by name: models that differ in their posterior."""

import functools
import itertools
import math

from keras_vae import initializers, objectives, posteriors, priors, schedules
from keras_vae.models.papers.plain import vae
from keras_vae.models.papers.register import paper
from keras_vae.models.vae import VAE


@paper()
def full_covariance_vae(
    input_shape=(28, 28, 1),
    latent_dim=20,
    **options,
) -> VAE:
    """Full-covariance VAE: -log p(x|z) + KL(N(μ, L Lᵀ) || N(0, I)), z = μ + Lε.

    Kingma & Welling, "An Introduction to Variational Autoencoders", 2019, §2.5.1. L is
    below its diagonal what the encoder gives, on it σ;
    KL = ½(‖L‖² + ‖μ‖² - d - 2 Σ log L_ii).

    Args and Raises: as `vae`.
    """
    posterior = functools.partial(posteriors.FullCovariance, latent_dim)
    return vae(input_shape, latent_dim, posterior=posterior, **options)


@paper()
def flow_vae(
    input_shape=(28, 28, 1),
    latent_dim=40,
    *,
    kind: str = "planar",
    flows: int = 10,
    **options,
) -> VAE:
    """VAE with normalizing flows: -log p(x|z_K) + log q_0(z_0) - Σ log|det| - log p(z_K).

    Rezende & Mohamed, "Variational Inference with Normalizing Flows", 2015. The encoder
    gives the flows' parameters. Without flows it is the plain `vae`.

    Args: as `vae`, and
        kind: "planar" or "radial".
        flows: number of flows, at least 0.

    Raises:
        ValueError: as `vae`; unknown kind or a negative number of flows.
    """
    posterior = functools.partial(posteriors.FlowPosterior, latent_dim, kind, flows)
    return vae(input_shape, latent_dim, posterior=posterior, **options)


@paper()
def iaf_vae(
    input_shape=(28, 28, 1),
    latent_dim=32,
    *,
    steps: int = 4,
    hidden_units: int = 64,
    context_dim: int = 32,
    free_bits: float = 0.0,
    beta: float | schedules.Schedule = 1.0,
    **options,
) -> VAE:
    """VAE with inverse autoregressive flows: z ← σz + (1 - σ)m, (m, σ) = MADE(z, h(x)).

    Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow",
    2016. -log p(x|z) + log q(z|x) - log p(z), log q losing Σ log σ at each step, between
    which the order is reversed. Without steps it is the plain `vae`.

    Args: as `vae`, and
        steps: number of steps, at least 0.
        hidden_units: width of the hidden layer of each step's MADE.
        context_dim: length of h(x).
        free_bits: nats below which the mean KL is not pressed on; see
            `objectives.ELBO`.

    Raises:
        ValueError: as `vae`; a number that is out of range.
    """
    posterior = functools.partial(
        posteriors.InverseAutoregressive, latent_dim, steps, hidden_units, context_dim
    )
    objective = objectives.ELBO(beta, free_bits=free_bits)
    return vae(input_shape, latent_dim, posterior=posterior, objective=objective, **options)


@paper()
def hyperspherical_vae(
    input_shape=(28, 28, 1),
    latent_dim=10,
    *,
    min_concentration: float = 1.0,
    **options,
) -> VAE:
    """Hyperspherical VAE: -log p(x|z) + KL(vMF(μ, κ) || U), z on the unit sphere.

    Davidson et al., "Hyperspherical Variational Auto-Encoders", 2018. μ is a unit vector, U
    uniform; KL = κ A(κ) + log C(κ) + log area, A = I_(d/2) / I_(d/2-1). `encode` gives μ. It
    suits few dimensions, and data whose classes are directions.

    Args: as `vae`, but
        latent_dim: d, numbers of a code, at least 2: its sphere has d - 1 dimensions.
        min_concentration: the smallest κ.

    Raises:
        ValueError: as `vae`; fewer than two dimensions, or a negative concentration.
    """
    posterior = functools.partial(posteriors.VonMisesFisher, latent_dim, min_concentration)
    prior = priors.UniformSphere(latent_dim)
    return vae(input_shape, latent_dim, posterior=posterior, prior=prior, **options)


@paper()
def categorical_vae(
    input_shape=(28, 28, 1),
    latent_dim=20,
    *,
    classes: int = 10,
    temperature: float | schedules.Schedule | None = None,
    **options,
) -> VAE:
    """Categorical VAE: -log p(x|z) + Σ q log(C q), z from the Gumbel-softmax.

    Jang, Gu & Poole, "Categorical Reparameterization with Gumbel-Softmax", 2017, and
    Maddison, Mnih & Teh 2017. Training decodes relaxed codes at temperature τ; `encode`,
    `sample` and every evaluation take one-hot ones, so that validation losses are of the
    discrete model itself.

    Args: as `vae`, but
        latent_dim: number of categorical variables; a code has `latent_dim · classes`
            values.
        classes: C, classes of each variable.
        temperature: τ, a number or a `schedules.Schedule`;
            max(0.5, e^(-3e-5 step)) by default.

    Raises:
        ValueError: as `vae`; a value that is out of range.
    """
    temperature = schedules.Exponential(1.0, 0.5, 3e-5) if temperature is None else temperature
    posterior = functools.partial(posteriors.Categorical, latent_dim, classes, temperature)
    prior = priors.UniformCategorical(latent_dim, classes)
    return vae(input_shape, latent_dim * classes, posterior=posterior, prior=prior, **options)


@paper()
def joint_vae(
    input_shape=(28, 28, 1),
    latent_dim=10,
    *,
    variables: int = 1,
    classes: int = 10,
    gamma: float = 30.0,
    capacity: float | schedules.Schedule | None = None,
    discrete_capacity: float | schedules.Schedule | None = None,
    temperature: float | schedules.Schedule | None = None,
    **options,
) -> VAE:
    """Joint VAE: -log p(x|z,c) + γ |KL_z - C_z| + γ |KL_c - C_c|.

    Dupont, "Learning Disentangled Joint Continuous and Discrete Representations", 2018.
    A code is normal dimensions z, then one-hot variables c (see `categorical_vae`). KL
    are means over the batch; `kl_continuous` and `kl_discrete` are logged.

    Args: as `vae`, but
        latent_dim: number of continuous dimensions.
        variables: number of categorical variables.
        classes: classes of each.
        gamma: γ.
        capacity: C_z in nats, a number or a `schedules.Schedule`; from 0 to 5 in 25000
            steps by default.
        discrete_capacity: C_c; by default the same, but at most what the variables can
            hold, `variables · log(classes)`.
        temperature: as `categorical_vae`; 0.67 by default.

    Raises:
        ValueError: as `vae`; a value that is out of range.
    """
    temperature = 0.67 if temperature is None else temperature
    most = min(5.0, variables * math.log(max(classes, 2)))
    capacities = (
        schedules.Linear(0.0, 5.0, 25_000) if capacity is None else capacity,
        schedules.Linear(0.0, most, 25_000) if discrete_capacity is None else discrete_capacity,
    )

    def posterior(seed):
        first, second = itertools.islice(initializers.seeds(seed), 2)
        continuous = posteriors.DiagonalNormal(latent_dim, seed=first, name="continuous")
        discrete = posteriors.Categorical(
            variables, classes, temperature, seed=second, name="discrete"
        )
        return posteriors.ProductPosterior([continuous, discrete])

    prior = priors.ProductPrior(
        [priors.StandardNormal(latent_dim), priors.UniformCategorical(variables, classes)]
    )
    objective = objectives.Capacity(gamma, capacities, ("continuous", "discrete"))
    whole = latent_dim + variables * classes
    return vae(input_shape, whole, posterior=posterior, prior=prior, objective=objective, **options)
