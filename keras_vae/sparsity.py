"""Sparse codes: a posterior that keeps the largest units, and penalties of all of them."""

import keras
from keras import ops

from keras_vae import distributions
from keras_vae.objectives import Objective, at_least_0
from keras_vae.posteriors import Point

register = keras.saving.register_keras_serializable("keras_vae")

PENALTIES = ("l1", "l2", "kl")
# Mean activations are kept this far from 0 and 1, where the KL has no end.
_MARGIN = 1e-6


@register
class SparsePoint(Point):
    """A linear code of which the k largest units are kept and the others are 0.

    Makhzani & Frey, "k-Sparse Autoencoders", 2013. The gradient reaches the units that
    were kept only. No more than k are, even of units that are equal.

    Args:
        latent_dim: number of latent dimensions d.
        k: units kept in training, from 1 to d.
        alpha: at any other time round(αk) are kept, at most d.
        seed: int for the initial weights, or None.

    Raises:
        ValueError: a number that is out of range.
    """

    # Not a derivative of the whole code, which is cut as well.
    slope = None
    chooses = True

    def __init__(self, latent_dim, k, alpha=1.0, seed=None, **kwargs):
        if not isinstance(k, int) or not 1 <= k <= latent_dim:
            raise ValueError(
                f"`k` must be an integer from 1 to the number of units, {latent_dim}. "
                f"Received: k={k!r}"
            )
        if not 1.0 <= alpha < float("inf"):
            raise ValueError(f"`alpha` must be at least 1 and finite. Received: alpha={alpha!r}")
        super().__init__(latent_dim, None, seed, **kwargs)
        self.k, self.alpha = k, float(alpha)

    def distribution(self, mean):
        """The `distributions.Point` at the round(αk) largest units of this code."""
        return distributions.Point(largest(mean, min(round(self.alpha * self.k), self.latent_dim)))

    def training_distribution(self, step, mean):
        return distributions.Point(largest(mean, self.k))

    def get_config(self):
        config = {**super().get_config(), "k": self.k, "alpha": self.alpha}
        del config["activation"]
        return config


def largest(values, k):
    """The k largest of the last axis `(..., d)`, the others 0; never more than k."""
    _, index = ops.top_k(values, k)
    kept = ops.sum(ops.one_hot(index, values.shape[-1], dtype="float32"), axis=-2)
    return values * kept


@register
class Sparse(Objective):
    """-log p(x|z) + λ times what keeps few units of the code active at a time.

    "l1" is Σ_j |z_j| and "l2" Σ_j z_j² of each example; "kl" is Σ_j KL(ρ ‖ ρ̂_j) of
    Bernoulli variables, ρ̂_j unit j's mean activation over the batch (Ng, "Sparse
    Autoencoder", 2011), for codes in (0, 1). That is one number for all examples of the
    batch, and sample weights do not change the mean in it.

    With `layer_weights` ω the sums of "l1" and "l2" are over the encoder's hidden layers
    as well, each times its ω_k; the code's own ω is 1.

    Args:
        penalty: "l1", "l2" or "kl".
        weight: λ, at least 0.
        target: ρ of "kl", between 0 and 1.
        layer_weights: ω, one for each layer of `hidden_layers`, from the data inwards;
            or None.

    Raises:
        ValueError: an unknown penalty, or a number that is out of range.
    """

    terms = ("reconstruction_loss", "sparsity_loss")

    def __init__(self, penalty="l1", weight=1e-3, target=0.05, layer_weights=None):
        if penalty not in PENALTIES:
            raise ValueError(f"`penalty` must be one of {PENALTIES}. Received: penalty={penalty!r}")
        if not 0.0 < target < 1.0:
            raise ValueError(f"`target` must be between 0 and 1. Received: target={target!r}")
        if penalty == "kl" and layer_weights is not None:
            raise ValueError(
                "`layer_weights` are those of 'l1' and 'l2': activations of hidden layers need "
                f"not lie in (0, 1). Received: layer_weights={layer_weights!r}"
            )
        self.penalty, self.target = penalty, target
        self.layer_weights = None
        if layer_weights is not None:
            self.layer_weights = [at_least_0("layer_weights", omega) for omega in layer_weights]
        self.weight = at_least_0("weight", weight)

    def __call__(self, evidence):
        reconstruction = evidence.reconstruction
        z = ops.mean(evidence.z, axis=0)
        if self.penalty == "kl":
            sparsity = self._divergence(ops.mean(z, axis=0)) + ops.zeros_like(reconstruction)
        else:
            sparsity = self._size(z)
            for omega, values in self._layers(evidence):
                sparsity = sparsity + omega * self._size(values)
        terms = {"reconstruction_loss": reconstruction, "sparsity_loss": sparsity}
        return reconstruction + self.weight * sparsity, terms

    def _size(self, values):
        """Σ|h| or Σh² of each example, `(n,)`."""
        values = ops.cast(values, "float32")
        each = ops.abs(values) if self.penalty == "l1" else ops.square(values)
        return ops.sum(each, axis=tuple(range(1, len(values.shape))))

    def _layers(self, evidence):
        """Pairs of ω_k and the values of hidden layer k."""
        if self.layer_weights is None:
            return []
        values = evidence.hidden()
        if len(values) != len(self.layer_weights):
            raise ValueError(
                f"`layer_weights` must hold one for each of the encoder's {len(values)} hidden "
                f"layers. Received: layer_weights={self.layer_weights}"
            )
        return zip(self.layer_weights, values, strict=True)

    def _divergence(self, mean):
        """Σ_j KL(ρ ‖ ρ̂_j), nats, of mean activations `(d,)`."""
        # Not clipped: a unit that has gone out needs the gradient that lights it again.
        mean = _MARGIN + (1.0 - 2.0 * _MARGIN) * mean
        on = self.target * (ops.log(self.target) - ops.log(mean))
        off = (1.0 - self.target) * (ops.log(1.0 - self.target) - ops.log(1.0 - mean))
        return ops.sum(on + off)

    def get_config(self):
        return {
            "penalty": self.penalty,
            "weight": self.weight,
            "target": self.target,
            "layer_weights": self.layer_weights,
        }


def hidden_layers(encoder):
    """The dense and convolutional layers of an encoder, from the data inwards."""
    return [layer for layer in encoder.layers if layer.weights and hasattr(layer, "activation")]


def hidden(model, x, condition=None, training=False):
    """What an encoder's hidden layers give for data: a list of tensors `(n, ...)`."""
    outputs = [layer.output for layer in hidden_layers(model.encoder)]
    if not outputs:
        return []
    seen = keras.Model(model.encoder.inputs, outputs)
    # A model of one output gives it bare.
    return keras.tree.flatten(seen(model._with_condition(x, condition), training=training))
