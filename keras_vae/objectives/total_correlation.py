"""Objectives that penalise dependence between the dimensions of the code."""

from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae._types import Tensor
from keras_vae.objectives.base import Objective, same

__all__ = ["DIP", "DensityRatio", "TotalCorrelation", "stratified_log_weights"]


def stratified_log_weights(n: int | Tensor, dataset_size: int) -> Tensor:
    """log W `(n, n)` of the stratified estimate of q(z_i) = Σ_j W_ij q(z_i|x_j).

    Chen et al. 2018, appendix C.2. The posterior of example i itself has the weight 1/N,
    where N is the size of the data set; the others share the rest. Rows sum to 1.

    Args:
        n: number of examples in the batch, an int or an integer scalar.
        dataset_size: N; for a larger batch N is the size of the batch.
    """
    index = ops.arange(n)
    own = same(index, index)
    following = same(ops.mod(index + 1, n), index)
    n = ops.cast(n, "float32")
    total = ops.maximum(n, float(dataset_size))
    others = ops.maximum(n - 1.0, 1.0)
    rest = (total - others) / (total * others)
    weights = own / total + (1.0 - own) * (following * rest + (1.0 - following) / others)
    # A batch of one example has the weight 1.
    return ops.log(ops.where(n > 1.0, weights, own))


@register
class TotalCorrelation(Objective):
    """-log p(x|z) + α I(x; z) + β TC(z) + γ Σ_j KL(q(z_j) || p(z_j)), Chen et al. 2018.

    q(z) and q(z_j) are estimated from the batch. "weighted": the mixture of the posteriors
    of the batch. The paper's weights 1/(N·M) differ by the constant log N, which has no
    gradient but shifts the total correlation of independent dimensions from 0 to
    (d - 1)·log N. "stratified": see `stratified_log_weights`.

    The three terms sum to log q(z|x) - log p(z), whose mean is the KL. As estimates, each
    may be negative. `kl_loss` is the exact KL.

    Args:
        alpha, beta, gamma: the weights, at least 0.
        sampling: "weighted" or "stratified".
        dataset_size: number of training examples, for "stratified".

    Raises:
        ValueError: a negative weight; unknown sampling; no size for "stratified".
    """

    terms = ("reconstruction_loss", "kl_loss", "mi_loss", "tc_loss", "dimension_kl_loss")
    needs_densities = True

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 6.0,
        gamma: float = 1.0,
        sampling: str = "weighted",
        dataset_size: int | None = None,
    ) -> None:
        self.alpha = _checks.at_least_0("alpha", alpha)
        self.beta = _checks.at_least_0("beta", beta)
        self.gamma = _checks.at_least_0("gamma", gamma)
        if sampling not in ("weighted", "stratified"):
            raise ValueError(
                f"`sampling` must be 'weighted' or 'stratified'. Received: sampling={sampling!r}"
            )
        if sampling == "stratified" and not _checks.is_integer(dataset_size):
            raise ValueError(
                "Stratified sampling needs `dataset_size`, the number of training examples. "
                f"Received: dataset_size={dataset_size!r}"
            )
        self.sampling, self.dataset_size = sampling, dataset_size

    def __call__(self, evidence):
        z, p = evidence.z, evidence.p
        n = ops.shape(z)[1]
        if self.sampling == "stratified":
            log_weights = stratified_log_weights(n, self.dataset_size)
        else:
            log_weights = -ops.log(ops.cast(n, "float32")) * ops.ones((1, 1))
        # Each sample under each posterior: (K, n, n, d).
        each = evidence.q.log_prob_each(ops.expand_dims(z, 2))
        log_qz = ops.logsumexp(ops.sum(each, axis=-1) + log_weights, axis=2)
        marginals = ops.logsumexp(each + ops.expand_dims(log_weights, -1), axis=2)
        log_marginals = ops.sum(marginals, axis=-1)
        information, correlation, dimensions = (
            ops.mean(value, axis=0)
            for value in (
                evidence.log_qz - log_qz,
                log_qz - log_marginals,
                log_marginals - p.log_prob(z),
            )
        )
        reconstruction = evidence.reconstruction
        loss = reconstruction + self.alpha * information
        loss = loss + self.beta * correlation + self.gamma * dimensions
        values = (reconstruction, evidence.kl, information, correlation, dimensions)
        return loss, dict(zip(self.terms, values, strict=True))

    def get_config(self):
        return {
            "alpha": self.alpha,
            "beta": self.beta,
            "gamma": self.gamma,
            "sampling": self.sampling,
            "dataset_size": self.dataset_size,
        }


@register
class DensityRatio(Objective):
    """-log p(x|z) + KL + γ log D(z) / (1 - D(z)), Kim & Mnih 2018.

    D(z) is the discriminator's probability that z is a code and not a code with shuffled
    dimensions. For an optimal discriminator the mean log-odds are the total correlation
    KL(q(z) || Π q(z_j)). `models.FactorVAE` trains the discriminator.

    Args:
        gamma: γ, at least 0.

    Raises:
        ValueError: negative γ. A call raises it for a model without discriminator.
    """

    terms = ("reconstruction_loss", "kl_loss", "tc_loss")

    def __init__(self, gamma: float = 6.4) -> None:
        self.gamma = _checks.at_least_0("gamma", gamma)

    def __call__(self, evidence):
        if evidence.discriminator is None:
            raise ValueError(
                "This objective needs a model with a discriminator: `models.FactorVAE`. "
                "Received: discriminator=None"
            )
        correlation = ops.mean(evidence.discriminator(evidence.z), axis=0)
        reconstruction, kl = evidence.reconstruction, evidence.kl
        loss = reconstruction + kl + self.gamma * correlation
        return loss, dict(zip(self.terms, (reconstruction, kl, correlation), strict=True))

    def get_config(self):
        return {"gamma": self.gamma}


@register
class DIP(Objective):
    """-log p(x|z) + KL + λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii - 1)², Kumar et al. 2018.

    C is the covariance over the batch of the posterior means ("i"), or of the codes,
    Cov[μ] + E[Σ] ("ii"), where Σ is the whole covariance of q(z|x).

    Args:
        kind: "i" or "ii".
        off_diagonal: λ_od, at least 0.
        diagonal: λ_d, at least 0; 100 for "i" and 10 for "ii" by default.

    Raises:
        ValueError: unknown kind, or a negative weight.
    """

    terms = ("reconstruction_loss", "kl_loss", "dip_loss")

    def __init__(
        self, kind: str = "i", off_diagonal: float = 10.0, diagonal: float | None = None
    ) -> None:
        if kind not in ("i", "ii"):
            raise ValueError(f"`kind` must be 'i' or 'ii'. Received: kind={kind!r}")
        if diagonal is None:
            diagonal = 100.0 if kind == "i" else 10.0
        self.kind = kind
        self.off_diagonal = _checks.at_least_0("off_diagonal", off_diagonal)
        self.diagonal = _checks.at_least_0("diagonal", diagonal)

    def __call__(self, evidence):
        q = evidence.q
        centred = q.mean - ops.mean(q.mean, axis=0)
        n = ops.cast(ops.shape(centred)[0], "float32")
        covariance = ops.matmul(ops.transpose(centred), centred) / n
        own = ops.sum(ops.square(centred), axis=0) / n
        squared = ops.sum(ops.square(covariance)) - ops.sum(ops.square(own))
        if self.kind == "ii":
            within = q.mean_covariance()
            own = own + ops.diagonal(within)
            apart = 1.0 - ops.eye(own.shape[-1], dtype="float32")
            squared = ops.sum(ops.square(apart * (covariance + within)))
        penalty = self.off_diagonal * squared
        penalty = penalty + self.diagonal * ops.sum(ops.square(own - 1.0))
        reconstruction, kl = evidence.reconstruction, evidence.kl
        values = (reconstruction, kl, penalty + ops.zeros_like(kl))
        return reconstruction + kl + penalty, dict(zip(self.terms, values, strict=True))

    def get_config(self):
        return {"kind": self.kind, "off_diagonal": self.off_diagonal, "diagonal": self.diagonal}
