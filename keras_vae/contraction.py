"""How much a code moves with the data, ‖∂code/∂x‖²_F, and the objective that asks for little.

The code is what `encode` gives, so that the encoder runs without dropout, and nothing
that it counts in training is counted here.
"""

import keras
from keras import layers, ops

from keras_vae.objectives import Objective, at_least_0
from keras_vae.posteriors import Point

register = keras.saving.register_keras_serializable("keras_vae")

# Layers that only move numbers about.
_PLAIN = (layers.InputLayer, layers.Flatten, layers.Reshape)


def has_closed_form(model):
    """Whether one dense layer whose derivative is known makes the code of the data."""
    posterior = model.posterior_layer
    plain = all(isinstance(layer, _PLAIN) for layer in model.encoder.layers)
    return plain and isinstance(posterior, Point) and posterior.slope is not None


def squared_jacobian(model, x, condition=None, vectors=None):
    """‖∂code/∂x‖²_F of each example, tensors in and out.

    Exact without `vectors`: in closed form where one dense layer makes the code
    (Rifai et al. 2011), else with d products eᵢᵀ ∂code/∂x, in one pass over d · n rows.
    With vectors v of which E[v vᵀ] = I it is the mean of ‖vᵀ ∂code/∂x‖², whose mean is
    the same (Hutchinson 1989).

    Args:
        model: a `VAE`.
        x: data `(n, ...)`, float32.
        condition: see `VAE.evidence`.
        vectors: `(K, n, d)`, or None.

    Returns:
        Tensor `(n,)`, float32.
    """
    if vectors is None and has_closed_form(model):
        return model.posterior_layer.squared_jacobian(model.encoder(x, training=False))
    d = model.latent_dim
    weight = 1.0
    if vectors is None:
        ones = ops.ones((1, ops.shape(x)[0], 1), "float32")
        vectors = ops.expand_dims(ops.eye(d, dtype="float32"), 1) * ones
    else:
        weight = 1.0 / vectors.shape[0]
    count = vectors.shape[0]

    def repeated(tensor):
        return ops.tile(tensor, (count,) + (1,) * (len(tensor.shape) - 1))

    seen = None if condition is None else repeated(condition)

    def code(rows):
        parameters = model.infer(rows, seen, False)
        return model.posterior_layer.distribution(*parameters).center

    products = model.vector_jacobian(code, repeated(x), ops.reshape(vectors, (-1, d)))
    squares = ops.sum(ops.square(products), axis=tuple(range(1, len(products.shape))))
    return weight * ops.sum(ops.reshape(squares, (count, -1)), axis=0)


@register
class Contractive(Objective):
    """-log p(x|z) + λ ‖∂z/∂x‖²_F, Rifai et al. 2011.

    The norm is exact without `probes`: in closed form where one dense layer makes the
    code, else by d products with the Jacobian, which cost about as much as encoding and
    training on d times the batch. With K probes it is estimated without bias from K
    products vᵀ ∂z/∂x with random signs v (Hutchinson 1989).

    The term `jacobian_loss` is the squared norm, not yet weighted.

    Args:
        weight: λ, at least 0.
        probes: K, or None for the exact norm.

    Raises:
        ValueError: a number that is out of range.
    """

    terms = ("reconstruction_loss", "jacobian_loss")

    def __init__(self, weight=0.1, probes=None):
        if probes is not None and (not isinstance(probes, int) or probes < 1):
            raise ValueError(
                "`probes` must be an integer of at least 1, or None for the exact norm. "
                f"Received: probes={probes!r}"
            )
        self.weight, self.probes = at_least_0("weight", weight), probes

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
