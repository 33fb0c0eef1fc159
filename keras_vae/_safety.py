"""What a preset's configuration may name: classes that compute, no more."""

import keras

# Layers that run code or read files of their own.
_FORBIDDEN = {
    "FlaxLayer",
    "IntegerLookup",
    "JaxLayer",
    "Lambda",
    "NnxLayer",
    "StringLookup",
    "TFSMLayer",
    "TextVectorization",
    "TorchModuleWrapper",
    # Keras' word for a function; activations are plain names.
    "function",
}
_KERAS = {
    "keras",
    "keras.activations",
    "keras.constraints",
    "keras.initializers",
    "keras.layers",
    "keras.regularizers",
    "keras.src.models.functional",
    "keras.src.models.sequential",
}
_MODELS = {"keras": {"DTypePolicy", "DTypePolicyMap", "Functional", "Sequential"}}
_NEUTRAL = {"__keras_tensor__", "__tuple__"}


def check_config(value, path):
    """Refuses a configuration with a class that is not Keras' or ours.

    Keras deserializes by importing what the configuration names; this is read
    before that happens.

    Args:
        value: parsed JSON.
        path: named in the error.

    Raises:
        ValueError: a class, function or lambda that is not allowed.
    """
    if isinstance(value, dict):
        if "class_name" in value:
            _check_class(value, path)
        for item in value.values():
            check_config(item, path)
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_config(item, path)


def _check_class(value, path):
    name, module = value["class_name"], value.get("module")
    registered = value.get("registered_name")
    named = isinstance(name, str)
    if named and name in _NEUTRAL and module is None:
        return
    ours = named and registered == f"keras_vae>{name}" and _is_ours(registered, module)
    theirs = (
        named
        and isinstance(module, str)
        and module in _KERAS
        and name in _MODELS.get(module, {name})
        and name not in _FORBIDDEN
        and registered in (None, name)
    )
    if not (ours or theirs):
        raise ValueError(
            "A preset may name classes of keras and keras_vae only, none that runs "
            f"code of its own. Nothing was executed. Received: {module}.{name} in {path}"
        )


def _is_ours(registered, module):
    """Whether a class is registered under that name, and comes from this package."""
    found = keras.saving.get_registered_object(registered)
    modules = (module, getattr(found, "__module__", None))
    return found is not None and all(str(m).split(".")[0] == "keras_vae" for m in modules)
