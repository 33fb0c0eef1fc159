"""The parts that users bring, as a model needs them: functional networks, layers, objects."""

import inspect
import math

import keras
import numpy as np
from keras import ops

from keras_vae import conditions, likelihoods, objectives, posteriors, priors
from keras_vae.training import keras_private

_NAMED = {
    "normal": posteriors.DiagonalNormal,
    "full_covariance": posteriors.FullCovariance,
    "point": posteriors.Point,
}
# The kinds of part that are classes of ours, and how one is written.
_KINDS = {
    "prior": (priors.Prior, "`priors.StandardNormal(latent_dim)`"),
    "objective": (objectives.Objective, "`objectives.ELBO()`"),
    "condition": (conditions.Condition, "`conditions.Labels(10)`"),
}
_CALLED = {"prior": "log_prob", "objective": "__call__", "condition": "encode"}
# A decoder under a likelihood of logits must reach them: ±5 is a probability of 0.007 or 0.993.
_LOGIT = 5.0
_FAR = 50.0
# Layers that only move numbers about, or change none outside training.
_MOVING = (
    "Cropping1D Cropping2D Cropping3D DepthToSpace Dropout Flatten GetItem Identity InputLayer "
    "Permute Reshape SpaceToDepth Squeeze Transpose ZeroPadding1D ZeroPadding2D ZeroPadding3D"
).split()


def decoder(network, code_shape, condition_dim=None):
    """A decoder as a functional model from codes of that shape."""
    if not _inputs(network, "decoder"):
        network = _functional(network, "decoder", "codes", tuple(code_shape), condition_dim)
    if len(network.outputs) != 1:
        raise ValueError(
            "The decoder must give one tensor in data shape. "
            f"Received: a decoder with {len(network.outputs)} outputs"
        )
    return network


def encoder(network, data_shape, condition_dim=None, flat=True):
    """An encoder as a functional model from data.

    Args:
        network: a Keras model or layer.
        data_shape: of one example, where the network does not say.
        condition_dim: length of its second input, or None.
        flat: whether features are vectors: maps are flattened.
    """
    if not _inputs(network, "encoder"):
        network = _functional(network, "encoder", "data", tuple(data_shape), condition_dim)
    outputs = keras.tree.flatten(network.outputs)
    if len(outputs) != 1:
        raise ValueError(
            "The encoder must give one tensor of features `(n, f)`. The posterior makes mean and "
            "log-variance of them and draws the sample: end the encoder with the layer before "
            f"these. Received: an encoder with {len(outputs)} outputs"
        )
    if flat and len(outputs[0].shape) > 2:
        features = keras.layers.Flatten(data_format="channels_last")(outputs[0])
        network = keras.Model(network.inputs, features, name=network.name)
    if flat and (len(network.outputs[0].shape) != 2 or network.outputs[0].shape[-1] is None):
        raise ValueError(
            "The encoder must give features `(n, f)` whose number f is known. "
            f"Received: output shape {tuple(network.outputs[0].shape)}"
        )
    return network


def posterior(part, network, seed=None):
    """A posterior layer: as given, or made of its dimensions, its name or its class.

    Args:
        part: a layer; an integer, the dimensions of a `DiagonalNormal`; or "normal",
            "full_covariance", "point" or a class of posterior, whose dimensions are those
            of the decoder's input.
        network: the decoder.
        seed: int for the initial weights of one that is made, or None.
    """
    if hasattr(part, "latent_dim") and not inspect.isclass(part):
        return part
    if isinstance(part, (int, np.integer)) and not isinstance(part, bool) and part > 0:
        return posteriors.DiagonalNormal(int(part), seed=seed)
    kind = _NAMED.get(part) if isinstance(part, str) else part
    if not inspect.isclass(kind) or not issubclass(kind, posteriors.Posterior):
        raise ValueError(
            "`posterior` must be a posterior layer, such as `posteriors.DiagonalNormal(8)`; a "
            f"number of dimensions; or one of {', '.join(map(repr, _NAMED))}. "
            f"Received: posterior={part!r}"
        )
    inputs = _inputs(network, "decoder")
    shape = tuple(inputs[0].shape[1:]) if inputs else ()
    if len(shape) != 1:
        raise ValueError(
            "The number of latent dimensions is not known, as the decoder does not begin with "
            "`keras.Input((latent_dim,))`: give a posterior layer, such as "
            f"`posteriors.DiagonalNormal(8)`. Received: posterior={part!r}"
        )
    return kind(int(shape[0]), seed=seed)


def checked(name, part):
    """A prior, an objective or a condition, or an error that says how one is written."""
    kind, example = _KINDS[name]
    if part is None or isinstance(part, kind):
        return part
    if inspect.isclass(part) and issubclass(part, kind):
        raise ValueError(
            f"`{name}` must be an instance, not a class: {example}. Received: {part.__name__}"
        )
    # A class of one's own need not have our base.
    if not isinstance(part, (str, bool, int, float, dict, list, tuple)) and callable(
        getattr(part, _CALLED[name], None)
    ):
        return part
    raise ValueError(f"`{name}` must be one of ours, such as {example}. Received: {part!r}")


def _inputs(network, part):
    """The inputs of a functional network; None for any other that a model can be made of."""
    if not isinstance(network, keras.layers.Layer):
        hint = ""
        if any(base.__module__.startswith("torch.") for base in type(network).__mro__):
            hint = (
                " On the PyTorch backend a module becomes a layer by "
                "`keras.layers.TorchModuleWrapper(module)`."
            )
        raise ValueError(
            f"The {part} must be a Keras model or layer, such as "
            f"`keras.Sequential([keras.Input(shape), ...])`.{hint} Received: {_named(network)}"
        )
    try:
        return getattr(network, "inputs", None)
    except (AttributeError, ValueError):
        # A `Sequential` that does not know its input yet.
        return None


def _functional(network, part, name, shape, condition_dim):
    """A functional model of any other, or of a layer: it is called on inputs of that shape."""
    if None in shape:
        raise ValueError(
            f"The shape of the {part}'s input is not known: begin it with "
            f"`keras.Input(shape)`. Received: {_named(network)}"
        )
    inputs = [keras.Input(shape, name=name)]
    if condition_dim is not None:
        inputs.append(keras.Input((condition_dim,), name="condition"))
    inputs = inputs if len(inputs) > 1 else inputs[0]
    try:
        return keras.Model(inputs, network(inputs), name=part)
    except Exception as error:
        shapes = [tuple(i.shape) for i in keras.tree.flatten(inputs)]
        raise ValueError(
            f"The {part} does not take {name} of shape {' and '.join(map(str, shapes))}: begin "
            "it with `keras.Input(shape)`, or give a functional model. "
            f"Received: {_named(network)}, which raises {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}"
        ) from error


def _named(network):
    return f"{type(network).__name__}"


def check_outputs(network, likelihood):
    """Refuses a decoder whose last activation keeps it from what the likelihood takes."""
    if not getattr(likelihood, "takes_logits", False):
        return
    low, high, by = _range(network)
    if low > -_LOGIT or high < _LOGIT:
        raise ValueError(
            f"{type(likelihood).__name__} takes {likelihood.takes}: leave the decoder's last "
            "activation out, or take a likelihood of means such as 'normal'. "
            f"Received: a decoder that ends in {by}, whose outputs lie in [{low:.3g}, {high:.3g}]"
        )


def _range(network):
    """What a decoder's outputs can reach, from the layer of its last weights on, and by what."""
    after, by, operation = [], [], network
    while keras_private.is_graph(operation):
        operation, behind, segment = _last(operation)
        after = [*segment, *after]
        by = [*(o for o in behind if type(o).__name__ not in _MOVING), *by]
    activation = getattr(operation, "activation", None)
    if operation is None or not (callable(activation) or isinstance(operation, keras.Model)):
        bounded = bool(by)
    elif callable(activation):
        bounded = bool(by) or activation is not keras.activations.linear
    else:
        return _seen_range(network, operation)
    if not bounded or operation is None:
        return -math.inf, math.inf, ""
    try:
        shape = tuple(operation.output.shape[1:])
        x = np.stack([np.full(shape, s * _FAR, "float32") for s in (-1, 1)])
        x = ops.convert_to_tensor(x)
        x = activation(x) if callable(activation) else x
        for step in after:
            x = step(x)
        x = ops.convert_to_numpy(ops.cast(x, "float32"))
    except Exception:
        # An end that does not run by itself says nothing.
        return -math.inf, math.inf, ""
    last = by[-1] if by else activation
    name = getattr(last, "activation", last)
    name = getattr(name, "__name__", None) or type(name).__name__
    return float(np.min(x)), float(np.max(x)), f"'{name.lower()}'"


def _last(network):
    """The last operation of a graph that has weights or several inputs; those behind it; and
    these as a model in a list, which is empty where there are none."""
    tensor, after = network.outputs[0], []
    while True:
        operation, inputs = keras_private.made_by(tensor)
        weights = getattr(operation, "weights", ())
        if weights or len(inputs) != 1 or keras_private.is_graph(operation):
            segment = [keras.Model(tensor, network.outputs[0])] if after else []
            return (operation if inputs else None), after, segment
        after.insert(0, operation)
        (tensor,) = inputs


def _seen_range(network, operation):
    """The range of a network that is no graph: of its outputs for codes far from the origin."""
    rng = np.random.default_rng(0)
    inputs = [
        ops.convert_to_tensor(1e4 * rng.standard_normal((16, *i.shape[1:])).astype("float32"))
        for i in network.inputs
    ]
    outputs = network(inputs if len(inputs) > 1 else inputs[0], training=False)
    x = ops.convert_to_numpy(ops.cast(outputs, "float32"))
    low, high = float(x.min()), float(x.max())
    # Of outputs that hardly differ (weights that start at 0) nothing can be said.
    bounded = high - low > 0.1 and (low >= 0.0 or max(-low, high) <= 1.0)
    if not bounded:
        return -math.inf, math.inf, ""
    return low, high, f"'{type(operation).__name__}' of bounded outputs"


def features_fit(model):
    """Raises a ValueError where a posterior was built for other features."""
    shape = model.encoder.output_shape
    try:
        model.posterior_layer(keras.KerasTensor(shape, "float32"))
    except Exception as error:
        raise ValueError(
            "The posterior was built for other features than the encoder gives: give a new "
            f"posterior too, by building a new model of the parts. Received: features {shape}"
        ) from error


def likelihood(part):
    """A likelihood by itself, its name or its class."""
    if inspect.isclass(part) and issubclass(part, likelihoods.Likelihood):
        part = part()
    return likelihoods.get(part)
