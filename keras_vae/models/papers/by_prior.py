"""Papers by name: models that differ in their prior."""

import itertools

from keras_vae import initializers, priors
from keras_vae.models.papers.plain import vae
from keras_vae.models.papers.register import paper
from keras_vae.models.vae import VAE


def _prior_seed(seed):
    # The first three are the networks' and the posterior's.
    *_, own = itertools.islice(initializers.seeds(seed), 4)
    return own


@paper(dense={"units": (300, 300)})
def vamp_vae(
    input_shape=(28, 28, 1),
    latent_dim=40,
    *,
    likelihood="dynamic_bernoulli",
    components: int = 500,
    seed=None,
    **options,
) -> VAE:
    """VAE with a VampPrior: -log p(x|z) + log q(z|x) - log 1/K Σ_k q(z|u_k).

    Tomczak & Welling, "VAE with a VampPrior", 2018. The pseudo-inputs u_k are learned and
    stay in the range of the data; see `priors.VampPrior`. Dense networks are
    300-300 by default.

    Args: as `vae`, and
        components: K, number of pseudo-inputs.

    Raises:
        ValueError: as `vae`; `components` below 1; a condition.
    """
    prior = priors.VampPrior(latent_dim, components, input_shape, _prior_seed(seed))
    return vae(input_shape, latent_dim, likelihood=likelihood, prior=prior, seed=seed, **options)


@paper()
def mixture_vae(
    input_shape=(28, 28, 1), latent_dim=10, *, components: int = 10, seed=None, **options
) -> VAE:
    """VAE with a learned mixture: -log p(x|z) + log q(z|x) - log Σ_k w_k N(z; μ_k, σ²_k).

    Jiang et al., "Variational Deep Embedding: An Unsupervised and Generative Approach to
    Clustering", 2017, with the component summed out and without their first phase as an
    autoencoder. `metrics.cluster_probabilities(model, x)` says which component x is of.

    Args: as `vae`, and
        components: K, number of normals.

    Raises:
        ValueError: as `vae`; `components` below 1.
    """
    prior = priors.LearnedMixture(latent_dim, components, _prior_seed(seed))
    return vae(input_shape, latent_dim, prior=prior, seed=seed, **options)


@paper()
def flow_prior_vae(
    input_shape=(28, 28, 1),
    latent_dim=40,
    *,
    couplings: int = 6,
    hidden_units: int = 64,
    seed=None,
    **options,
) -> VAE:
    """VAE with a flow as its prior: -log p(x|z) + log q(z|x) - log N(f⁻¹(z)) + log|det ∂f|.

    Chen et al., "Variational Lossy Autoencoder", 2017, with the coupling layers f of
    Dinh et al., "Density estimation using Real NVP", 2017. Without couplings it is the
    plain `vae`, whose KL is estimated at the sample.

    Args: as `vae`, and
        couplings: number of coupling layers, at least 0.
        hidden_units: width of the two hidden layers of each.

    Raises:
        ValueError: as `vae`; a number that is out of range.
    """
    prior = priors.FlowPrior(latent_dim, couplings, hidden_units, _prior_seed(seed))
    return vae(input_shape, latent_dim, prior=prior, seed=seed, **options)
