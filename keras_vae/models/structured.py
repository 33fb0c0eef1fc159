"""Structured VAE: inference by message passing between an encoder and a mixture."""

from keras_vae import _checks, objectives, priors
from keras_vae._registry import register
from keras_vae.models.vae import VAE


@register
class StructuredVAE(VAE):
    """A VAE whose encoder gives potentials that are combined with a mixture prior.

    Johnson et al., "Composing graphical models with neural networks for structured
    representations and fast inference", 2016, for a latent mixture of normals. The
    encoder does not give q(z|x) but ψ(z; x), and q(z) q(k) is found by
    `objectives.local_mean_field`, a fixed number of iterations that gradients pass
    through. Unlike in the paper, the mixture's weights, means and diagonal variances are
    points without priors of their own, and are trained by plain gradients with
    everything else, not by natural gradients.

    `metrics.cluster_probabilities(model, x)` gives q(k|x).

    Args:
        iterations: of the local mean field, at least 1.
        *args, **parts: as `VAE`, but the posterior is a `posteriors.DiagonalNormal`, whose
            mean and variance are ψ's; the prior a mixture; and the objective
            `objectives.MixtureELBO()` by default.

    Raises:
        ValueError: a part does not fit another, or no iterations.
    """

    def __init__(
        self,
        encoder,
        decoder,
        posterior,
        prior,
        *args,
        objective=None,
        iterations=5,
        **parts,
    ):
        mixture = isinstance(prior, priors.LearnedMixture)
        if not mixture or not posterior.is_diagonal_normal:
            raise ValueError(
                "A structured VAE needs a prior `LearnedMixture` and a posterior "
                f"`DiagonalNormal`. Received: {type(prior).__name__} and "
                f"{type(posterior).__name__}"
            )
        iterations = _checks.count(iterations, "iterations")
        super().__init__(
            encoder,
            decoder,
            posterior,
            prior,
            *args,
            objective=objective or objectives.MixtureELBO(),
            **parts,
        )
        self.iterations = iterations

    _plain_codes = False

    def infer(self, x, condition=None, training=False):
        """Mean and log-variance of q(z|x), tensors in and out."""
        potential = self.posterior_layer.distribution(*super().infer(x, condition, training))
        q = objectives.local_mean_field(potential, self.prior.distribution(), self.iterations)
        return q.mean, q.log_var

    def _own_arguments(self):
        return {"iterations": self.iterations}

    def get_config(self):
        return {**super().get_config(), "iterations": self.iterations}
