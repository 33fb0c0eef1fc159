"""Local mean field inference: an example's potential combined with a mixture prior."""

from typing import Any

from keras import ops

from keras_vae import distributions
from keras_vae._registry import register
from keras_vae.objectives.elbo import ELBO

__all__ = ["MixtureELBO", "local_mean_field"]


def local_mean_field(
    potential: distributions.Normal, mixture: distributions.Mixture, iterations: int
) -> distributions.Normal:
    """Coordinate ascent on q(z) q(k) for ψ(z) p(z|k) p(k), in closed form.

    Johnson et al., "Composing graphical models with neural networks for structured
    representations and fast inference", 2016, for a mixture. ψ(z) = exp(-½ Σ (z - m)²/v)
    is the output of the recognition network for an example. Each iteration sets

        q(z) = N(h/J, 1/J),  J = 1/v + Σ_k r_k/σ²_k,  h = m/v + Σ_k r_k μ_k/σ²_k
        r_k = q(k) ∝ w_k exp(-KL(q(z) || N(μ_k, σ²_k)))

    and does not decrease E[log ψ(z) p(z, k) / (q(z) q(k))]. It starts at r = w.

    Args:
        potential: `distributions.Normal` of m and log v, `(n, d)`.
        mixture: `distributions.Mixture` of K components.
        iterations: number of iterations, at least 1. The last one updates q(z) only.

    Returns:
        q(z), a `distributions.Normal` `(n, d)`.
    """
    precision = ops.exp(-potential.log_var)
    pull = potential.mean * precision
    components = mixture.components
    precisions = ops.exp(-components.log_var)
    weights = ops.expand_dims(ops.exp(mixture.log_weights), 0)
    q: Any = None
    for _ in range(iterations):
        r = weights if q is None else mixture.responsibilities(q)
        total = precision + ops.matmul(r, precisions)
        mean = (pull + ops.matmul(r, precisions * components.mean)) / total
        q = distributions.Normal(mean, -ops.log(total))
    return q


@register
class MixtureELBO(ELBO):
    """-log p(x|z) + β · KL(q(z|x) q(k|x) || p(z, k)): the component k is latent too.

    The KL has a closed form at the optimal q(k|x); see `distributions.Mixture.joint_kl`.

    Args and Raises: as `ELBO`. A call raises `ValueError` if the prior is not a mixture.
    """

    def divergence(self, evidence):
        if not hasattr(evidence.p, "joint_kl"):
            raise ValueError(
                "This objective needs a mixture prior: `priors.LearnedMixture`. "
                f"Received: {type(evidence.p).__name__}"
            )
        return evidence.p.joint_kl(evidence.q)
