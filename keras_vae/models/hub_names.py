"""KerasHub's names for presets, on the class: `from_preset`, `presets`, `save_to_preset`."""

from typing import Any

import keras

# The zoo, which stands above the models and puts itself here when it is imported.
zoo: Any = None


class _Presets:
    """An attribute of the class: the presets that it can load."""

    def __get__(self, instance, cls):
        names = {name: zoo.info(name) for name in zoo.list_models()}
        return {n: info for n, info in names.items() if issubclass(zoo.class_of(n), cls)}


class HubNames:
    """What `zoo` does, under the names of KerasHub's classes."""

    # Dict of the names of the packaged presets of this class to their metadata.
    presets = _Presets()

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
