"""Pretrained models by name: data only, hashes checked, no code executed.

A preset is a folder: `config.json` (the parts, no code), `metadata.json` (what
it is, what was measured, hashes), `model.weights.h5`, and beside them what
people and tests use: `recipe.json`, `golden.npz`, `README.md`, pictures.
"""

from keras_vae.zoo.description import Info
from keras_vae.zoo.presets import folder, info, list_models, load, push, save

__all__ = ["Info", "folder", "info", "list_models", "load", "push", "save"]
