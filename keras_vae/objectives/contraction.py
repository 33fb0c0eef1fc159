"""A penalty on the derivative of the code with respect to the data."""

from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae.objectives.base import Objective

__all__ = ["Contractive"]


@register
class Contractive(Objective):
    """-log p(x|z) + λ ‖∂z/∂x‖²_F, Rifai et al. 2011.

    Without `probes` the norm is exact: in closed form if the encoder is one dense layer,
    else by d products with the Jacobian, which cost about as much as d forward and backward
    passes of the encoder. With K probes an unbiased estimate uses K products vᵀ ∂z/∂x with
    random signs v (Hutchinson 1989).

    The term `jacobian_loss` is the squared norm without its weight.

    Args:
        weight: λ, at least 0.
        probes: K, number of random vectors; None for the exact norm.

    Raises:
        ValueError: a number that is out of range.
    """

    terms = ("reconstruction_loss", "jacobian_loss")

    def __init__(self, weight: float = 0.1, probes: int | None = None) -> None:
        if probes is not None and not _checks.is_integer(probes):
            raise ValueError(
                "`probes` must be an integer of at least 1, or None for the exact norm. "
                f"Received: probes={probes!r}"
            )
        self.weight, self.probes = _checks.at_least_0("weight", weight), probes

    def __call__(self, evidence):
        vectors = None
        if self.probes is not None:
            noise = evidence.normal((self.probes, *ops.shape(evidence.z)[1:]))
            vectors = ops.where(noise < 0.0, -1.0, 1.0)
        squared = evidence.squared_jacobian(vectors=vectors)
        reconstruction = evidence.reconstruction
        terms = {"reconstruction_loss": reconstruction, "jacobian_loss": squared}
        return reconstruction + self.weight * squared, terms

    def get_config(self):
        return {"weight": self.weight, "probes": self.probes}
