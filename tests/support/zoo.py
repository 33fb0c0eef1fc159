"""Shared by the tests of zoo."""

import base64

from tests.support.presets import (
    function_code,
)


def evil(canary):
    """Configurations that must not be built, each with a way to the canary."""
    code = function_code(canary)
    text = base64.b64encode(b"pickle").decode()
    lambda_ = {
        "class_name": "__lambda__",
        "config": {"code": code, "defaults": None, "closure": None, "value": code},
    }
    plain = {"registered_name": None}
    touch = f"touch {canary}"
    url = {"fname": str(canary), "origin": f"file://{__file__}"}
    return {
        "Lambda": {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {"function": lambda_},
            **plain,
        },
        "Lambda by its file": {
            "module": "keras.src.layers.core.lambda_layer",
            "class_name": "Lambda",
            "config": {"function": lambda_},
            **plain,
        },
        "__lambda__": lambda_,
        "__lambda__ of ours": {
            **lambda_,
            "module": "keras_vae.models.vae",
            "registered_name": "keras_vae>VAE",
        },
        "__typespec__ of ours": {
            "class_name": "__typespec__",
            "spec_name": "VAE",
            "config": [],
            "module": "keras_vae.models.vae",
            "registered_name": "keras_vae>VAE",
        },
        "TFSMLayer": {
            "module": "keras.layers",
            "class_name": "TFSMLayer",
            "config": {"filepath": str(canary)},
            **plain,
        },
        "TorchModuleWrapper": {
            "module": "keras.layers",
            "class_name": "TorchModuleWrapper",
            "config": {"module": text},
            **plain,
        },
        "StringLookup": {
            "module": "keras.layers",
            "class_name": "StringLookup",
            "config": {"vocabulary": __file__},
            **plain,
        },
        "os.system": {"module": "os", "class_name": "system", "config": touch, **plain},
        "os.system with a dict": {
            "module": "os",
            "class_name": "system",
            "config": {"command": touch},
            **plain,
        },
        "function of builtins": {
            "module": "builtins",
            "class_name": "function",
            "config": "eval",
            "registered_name": "eval",
        },
        "function get_file": {
            "module": "keras.utils",
            "class_name": "function",
            "config": "get_file",
            "registered_name": "get_file",
        },
        "function of activations": {
            "module": "keras.activations",
            "class_name": "function",
            "config": "deserialize",
            "registered_name": "function",
        },
        "get_file": {"module": "keras.utils", "class_name": "get_file", "config": url, **plain},
        "a class of another module": {
            "module": "canary_module",
            "class_name": "Evil",
            "config": {},
            **plain,
        },
        "registered by the caller": {
            "module": "canary_module",
            "class_name": "Thing",
            "config": {"path": str(canary)},
            "registered_name": "mine>Thing",
        },
        "claims to be ours": {
            "module": "keras_vae.evil",
            "class_name": "Evil",
            "config": {},
            "registered_name": "keras_vae>Evil",
        },
        "ours by module": {
            "module": "keras_vae.evil",
            "class_name": "Evil",
            "config": {},
            **plain,
        },
        "ours by name": {
            "module": "canary_module",
            "class_name": "VAE",
            "config": {},
            "registered_name": "keras_vae>VAE",
        },
        "another of our names": {
            "module": "keras_vae.models",
            "class_name": "Evil",
            "config": {},
            "registered_name": "keras_vae>VAE",
        },
        "nearly ours": {
            "module": "keras_vae_evil",
            "class_name": "VAE",
            "config": {},
            "registered_name": "keras_vae>VAE",
        },
        "no module": {"class_name": "Dense", "config": {"units": 2}},
        "a class that is no text": {"class_name": ["Dense"], "module": "keras.layers"},
        "a module that is no text": {"class_name": "Dense", "module": {"keras": "layers"}},
    }
