"""What an objective may ask of a model: hidden activations, the squared Jacobian of the code."""

import keras
from keras import layers, ops

from keras_vae.training.noise import uniform


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


# Layers that only move numbers about.
_PLAIN = (layers.InputLayer, layers.Flatten, layers.Reshape)


def has_closed_form(model):
    """Whether one dense layer whose derivative is known makes the code of the data."""
    posterior = model.posterior_layer
    plain = all(isinstance(layer, _PLAIN) for layer in model.encoder.layers)
    return plain and posterior.slope is not None


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


class Probe:
    """What an objective may ask of a model about the batch that it is given.

    Args:
        model: a `VAE`.
        x: data `(n, ...)`, float32.
        condition: see `VAE.evidence`.
        parameters: what `infer` gave for the batch.
    """

    def __init__(self, model, x, condition, parameters):
        self._model, self._x = model, x
        self._condition, self._parameters = condition, parameters

    def uniform(self, shape):
        """Uniform numbers in [0, 1) from the model's own generator."""
        return uniform(shape, self._model.seed_generator)

    def log_px(self, z):
        """log p(x|z) of codes `(K, n, d)` in inference mode, `(K, n)` nats."""
        return self._model._log_px(self._x, z, self._condition, training=False)

    def fixed_posterior(self):
        """q(z|x), a distribution whose parameters have no gradient."""
        fixed = map(ops.stop_gradient, self._parameters)
        return self._model.posterior_layer.distribution(*fixed)
