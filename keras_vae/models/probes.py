"""What an objective may ask of a model: hidden activations, the squared Jacobian of the code."""

import contextlib
import math

import keras
from keras import layers, ops

from keras_vae.training import keras_private
from keras_vae.training.held import held
from keras_vae.training.noise import uniform


def hidden_layers(encoder):
    """The dense and convolutional layers of an encoder, from the data inwards."""
    return [layer for layer in encoder.layers if layer.weights and hasattr(layer, "activation")]


def hidden(model, x, condition=None, training=False, seen=None):
    """What an encoder's hidden layers give for data: a list of tensors `(n, ...)`.

    Args:
        model: a `VAE`.
        x, condition, training: as `VAE.evidence`.
        seen: what the pass that made the codes has kept, see `watched`; where it kept
            nothing, the encoder runs once more.
    """
    if not seen:
        _, values = features_and_hidden(model, model._with_condition(x, condition), training)
        return values
    return seen[-1]


def features_and_hidden(model, inputs, training=False):
    """The encoder's features, and the values of its hidden layers, of one pass."""
    encoder = model.encoder
    known, watching = model.__dict__.get("_watching", (None, None))
    if known is not encoder:
        outputs = [layer.output for layer in hidden_layers(encoder)]
        watching = keras.Model(encoder.inputs, [encoder.output, *outputs])
        # In `__dict__`, because Keras would track, and save, a second encoder.
        model.__dict__["_watching"] = encoder, watching
    # A model of one output gives it bare.
    features, *values = keras.tree.flatten(watching(inputs, training=training))
    return features, values


@contextlib.contextmanager
def watched(model):
    """A context whose list keeps the values of the encoder's hidden layers, pass by pass."""
    model.__dict__["_hidden_values"] = seen = []
    try:
        yield seen
    finally:
        del model.__dict__["_hidden_values"]


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
    (Rifai et al. 2011), else with d products eᵢᵀ ∂code/∂x, in one pass over d · n rows, d the
    numbers of a code.
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
    shape = model.code_shape
    if None in shape:
        shape = (*model._code_size(*x.shape[1:3]), model.latent_dim)
    d, weight = math.prod(shape), 1.0
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
        return ops.reshape(model.posterior_layer.distribution(*parameters).center, (-1, d))

    products = model.vector_jacobian(code, repeated(x), ops.reshape(vectors, (-1, d)))
    squares = ops.sum(ops.square(products), axis=tuple(range(1, len(products.shape))))
    return weight * ops.sum(ops.reshape(squares, (count, -1)), axis=0)


def squared_output_jacobian(model, z, condition=None, vectors=None):
    """‖∂x̂/∂z‖²_F of codes, x̂ the mean of p(x|z); tensors in and out.

    Estimated as the mean of ‖vᵀ ∂x̂/∂z‖² of vectors v with E[v vᵀ] = I, whose mean it is
    (Hutchinson 1989).

    Args:
        model: a `VAE`.
        z: codes `(n, ...)`, float32.
        condition: see `VAE.evidence`.
        vectors: `(K, n, numbers of one example)`.

    Returns:
        Tensor `(n,)`, float32.
    """
    count = vectors.shape[0]

    def repeated(tensor):
        return ops.tile(tensor, (count,) + (1,) * (len(tensor.shape) - 1))

    seen = None if condition is None else repeated(condition)

    def mean(rows):
        rebuilt = model.likelihood.mean(model.generate(rows, seen, False))
        return ops.reshape(rebuilt, (-1, vectors.shape[-1]))

    flat = ops.reshape(vectors, (-1, vectors.shape[-1]))
    products = model.vector_jacobian(mean, repeated(z), flat)
    squares = ops.sum(ops.square(products), axis=tuple(range(1, len(products.shape))))
    return ops.mean(ops.reshape(squares, (count, -1)), axis=0)


def squared_weights(network):
    """‖θ‖² of a network's trainable weights, a float32 scalar; 0 where there are none."""
    squares = [
        ops.sum(ops.square(ops.cast(ops.convert_to_tensor(weight), "float32")))
        for weight in network.trainable_variables
    ]
    return sum(squares, ops.zeros((), "float32"))


class Probe:
    """What an objective may ask of a model about the batch that it is given.

    Args:
        model: a `VAE`.
        x: data `(n, ...)`, float32.
        condition: see `VAE.evidence`.
        parameters: what `infer` gave for the batch.
        distribution: function that gives q(z|x) of such parameters.
        log_px: function that gives log p(x|z) of codes, in the mode of the batch.
    """

    def __init__(self, model, parameters, distribution, log_px):
        self._model, self._parameters = model, parameters
        self._distribution, self._log_px = distribution, log_px

    def uniform(self, shape):
        """Uniform numbers in [0, 1) from the model's own generator."""
        return uniform(shape, self._model.seed_generator)

    @property
    def samples_are_tied(self):
        """Whether the decoder makes samples depend on each other, as batch normalisation does.

        That shows in weights that training moves without a gradient.
        """
        layers = _innermost(self._model.decoder)
        return any(layer.trainable and layer.non_trainable_weights for layer in layers)

    @property
    def samples_are_independent(self):
        """Whether log p(x|z) of a sample depends on no other sample and on no noise.

        Not where samples are tied, where the decoder draws noise, as dropout does, nor where
        the likelihood is fitted to its batch.
        """
        model = self._model
        noise = any(
            len(layer.non_trainable_variables) > len(layer.non_trainable_weights)
            for layer in _innermost(model.decoder)
        )
        return not (noise or self.samples_are_tied or model.likelihood.depends_on_batch)

    def log_px(self, z):
        """log p(x|z) of codes `(K, n, d)` as the next pass will give it, `(K, n)` nats.

        In the mode of the batch, with the noise and the state that the next pass will find:
        nothing changes here.
        """
        if self.samples_are_independent:
            return self._log_px(z)
        with held(self._model.variables):
            return self._log_px(z)

    def fixed_log_prob(self, z):
        """log q(z|x), which has a gradient by z only.

        A posterior may have weights besides those that made its parameters: the networks of
        an inverse autoregressive flow, or the layer above of a chained posterior.
        """
        fixed = map(ops.stop_gradient, self._parameters)
        with held(self._model.posterior_layer.variables, ops.stop_gradient):
            return self._distribution(*fixed).log_prob(z)


def _innermost(network):
    """The layers of a network that consist of no other layers."""
    every = keras_private.all_layers(network) or [network]
    return [layer for layer in every if not keras_private.all_layers(layer)]
