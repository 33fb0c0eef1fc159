"""Pretrained models by name. Presets are data: hashes are checked, no code is executed.

A preset is a folder with `config.json` (the parts, no code), `metadata.json`
(description, metrics, hashes), `model.weights.h5`, and files for people and tests:
`recipe.json`, `golden.npz`, `README.md`, pictures.
"""

from keras_vae.zoo import features as _features  # noqa: F401
from keras_vae.zoo.description import Info
from keras_vae.zoo.presets import folder, info, list_models, load, push, save

__all__ = ["Info", "folder", "info", "list_models", "load", "push", "save"]
