"""Classes and functions of one's own in a model: what its files need to be loaded."""

import types

import keras

from keras_vae.training import keras_private

_DEPTH = 4


def objects(model):
    """Classes and functions in a model that are neither Keras' nor ours, by registered name."""
    found, seen = {}, set()
    waiting = [(part, 0) for part in (model, *keras_private.all_layers(model))]
    while waiting:
        part, depth = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, types.FunctionType):
            if _foreign(part.__module__):
                found[part.__name__] = part
            continue
        kind = type(part)
        if _foreign(kind.__module__) and hasattr(part, "get_config"):
            found[keras.saving.get_registered_name(kind)] = kind
        if depth < _DEPTH and not isinstance(part, keras.Variable):
            for value in getattr(part, "__dict__", {}).values():
                items = value if isinstance(value, (list, tuple)) else (value,)
                waiting += [(i, depth + 1) for i in items if _may_be_own(i)]
    return found


def expanded(custom_objects):
    """Classes by the names that Keras looks them up by, and by those that they are given."""
    found = {}
    for name, item in (custom_objects or {}).items():
        found[name] = item
        found[keras.saving.get_registered_name(item)] = item
    return found


def is_foreign(part):
    """Whether a part is of a class of one's own."""
    return _foreign(type(part).__module__)


def _may_be_own(value):
    if isinstance(value, types.FunctionType):
        return True
    return hasattr(value, "get_config") and not isinstance(value, type)


def _foreign(module):
    return str(module).split(".")[0] not in ("keras", "keras_vae", "builtins")
