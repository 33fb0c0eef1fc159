"""KerasHub's names for presets, on the class: `from_preset`, `presets`, `save_to_preset`."""

from collections.abc import Mapping
from typing import Any

import keras

# The zoo, which stands above the models and puts itself here when it is imported.
zoo: Any = None


class Presets(Mapping):
    """The packaged presets that a class can load: names to metadata, read when asked for.

    Keras looks at each attribute of a model that it saves: reading nothing until then
    keeps that fast.
    """

    def __init__(self, cls):
        self._class = cls

    def __getitem__(self, name):
        if all(name != known for known in self):
            raise KeyError(name)
        return zoo.info(name)

    def __iter__(self):
        # The class that defines the names is the base of all.
        every = HubNames in self._class.__bases__
        names = zoo.list_models()
        return (n for n in names if every or issubclass(zoo.class_of(n), self._class))

    def __len__(self):
        return sum(1 for _ in self)

    def __repr__(self):
        return f"<presets of {self._class.__name__}: {', '.join(self)}>"


class _PresetsOfClass:
    def __get__(self, instance, cls):
        return Presets(cls)


class HubNames:
    """What `zoo` does, under the names of KerasHub's classes."""

    # The packaged presets of this class: a mapping of names to metadata.
    presets = _PresetsOfClass()

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """`zoo.load`: a model by a preset's name, folder, or "hf://user/repo".

        Args:
            preset: see `zoo.load`.
            load_weights: False for the same architecture with new weights.
            **kwargs: `compile`, `trusted`, `custom_objects` of `zoo.load`.

        Raises:
            ValueError: a model of a class that is not this one, which is named; and what
                `zoo.load` raises.
        """
        model = zoo.load(preset, weights="pretrained" if load_weights else None, **kwargs)
        if not isinstance(model, cls):
            raise ValueError(
                f"The preset is of another class: call `{type(model).__name__}.from_preset`, or "
                f"`VAE.from_preset` for any. Expected: {cls.__name__}. "
                f"Received: {type(model).__name__} in {preset}"
            )
        return model

    def save_to_preset(self, preset_dir):
        """`zoo.save`: writes a folder for `from_preset`; returns its path."""
        return zoo.save(self, preset_dir)

    @staticmethod
    def upload_preset(uri, preset):
        """`zoo.push`: puts a preset's folder at "hf://user/repo"; returns its commit's name."""
        if isinstance(preset, keras.Model):
            raise TypeError(
                "`upload_preset` takes the folder that `save_to_preset` wrote; "
                f"`zoo.push(model, uri)` takes a model. Received: {type(preset).__name__}"
            )
        return zoo.push(preset, uri)
