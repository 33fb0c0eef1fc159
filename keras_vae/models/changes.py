"""Whether the Python state of a model has changed since a function of it was compiled.

A compiled function (a graph of TensorFlow, a program of JAX, a recording of PyTorch) reads
weights anew at each call. All else is a constant of it: the layers and their activations,
`trainable` and dtype policies, and every number that an objective, a likelihood or a schedule
holds. Keras' own functions would go on with the old constants without a word.
"""

import operator

import keras

from keras_vae.training import keras_private

# Public attributes that Keras itself changes, or that no function depends on.
_PASSING = {
    "autocast",
    "build",
    "built",
    "call_signature_parameters",
    "compiled",
    "history",
    "loss",
    "name",
    "optimizer",
    "output_names",
    "predict_function",
    "quantize",
    "steps_per_execution",
    "stop_evaluating",
    "stop_predicting",
    "stop_training",
    "supports_jit",
    "test_function",
    "train_function",
    "training",
}
# Read anew at each call.
_STATE = (keras.Variable, keras.metrics.Metric, keras.random.SeedGenerator)
_DEPTH = 4


class PythonState:
    """The constants that functions of a model are compiled with.

    Attributes:
        version: rises by one whenever `current` finds a change.
    """

    def __init__(self, model):
        self.version, self._model = 0, model
        self._watched = self._constants()

    def current(self):
        """The version of the model as it is now. Costs a few microseconds."""
        if self._changed():
            self.version += 1
            self._watched = self._constants()
        return self.version

    def accept(self):
        """Takes changes for what the model did itself, in a call of one of the functions."""
        if self._changed():
            self._watched = self._constants()

    def _changed(self):
        try:
            for attributes, read, before in self._watched:
                # Compares identities first, so that this takes a fraction of a microsecond.
                if read(attributes) != before:
                    return True
        except Exception:
            # An attribute is gone, or its comparison is no truth value, as of arrays.
            return True
        return False

    def _constants(self):
        """Triples of a part's attributes, a function that reads some of them, and their values."""
        model, found, seen = self._model, [], set()
        known = {id(v) for v in (*model.variables, *model.non_trainable_variables)}
        layers = (model, *keras_private.all_layers(model))
        waiting = [(p, 0) for p in layers if not isinstance(p, keras.layers.InputLayer)]
        while waiting:
            part, depth = waiting.pop()
            if id(part) in seen:
                continue
            seen.add(id(part))
            attributes = vars(part)
            is_layer = isinstance(part, keras.layers.Layer)
            names = [n for n in attributes if _counts(n, attributes[n], is_layer)]
            for name in names:
                value = attributes[name]
                if isinstance(value, keras.Variable) and not is_layer and id(value) not in known:
                    raise ValueError(
                        "A variable of an objective or a schedule, which no model tracks, would "
                        "be a constant of a compiled step: give a number, or a schedule such as "
                        f"`schedules.Linear`. Received: {type(part).__name__}.{name} = a variable"
                    )
                for item in value if isinstance(value, (list, tuple)) else (value,):
                    if depth < _DEPTH and _is_part(item):
                        waiting.append((item, depth + 1))
            names = [n for n in names if not _has_state(attributes[n])]
            apart = keras_private.layers_apart(part)
            inside = [n for n in apart if n != keras_private.WEIGHTS_APART]
            if inside:
                read = _getter(inside)
                found.append((apart, read, read(apart)))
            if names:
                read = _getter(names)
                found.append((attributes, read, _copied(read(attributes))))
        return found


def _getter(names):
    """A function from a dict to the tuple of its values under these names."""
    if len(names) == 1:
        (name,) = names
        return lambda attributes: (attributes[name],)
    return operator.itemgetter(*names)


def _counts(name, value, is_layer):
    if not is_layer:
        return not name.startswith("__")
    if name.startswith("_"):
        return name in keras_private.CONSTANTS_OF_LAYERS
    if name in _PASSING or name.endswith("initializer"):
        return False
    return not isinstance(value, keras.optimizers.Optimizer)


def _is_part(value):
    """Whether a value is an object whose own attributes may be constants too."""
    if isinstance(value, (type, *_STATE, keras.optimizers.Optimizer, keras.KerasTensor)):
        return False
    module = type(value).__module__.split(".")[0]
    return hasattr(value, "__dict__") and module not in ("builtins", "keras", "numpy", "torch")


def _has_state(value):
    """Whether a value is read anew at each call, or is an array, whose comparison is one too."""
    if isinstance(value, (list, tuple)):
        return any(map(_has_state, value))
    return isinstance(value, _STATE) or (hasattr(value, "shape") and hasattr(value, "dtype"))


def _copied(values):
    """Values with lists and dicts copied: they may change in place."""
    kinds = {list: list, dict: dict}
    return tuple(
        next((make(v) for kind, make in kinds.items() if isinstance(v, kind)), v) for v in values
    )
