"""Keras' compiled functions of a batch, made again where a part of the model has changed."""

import keras

from keras_vae.models import fast as fast_path
from keras_vae.models.changes import PythonState
from keras_vae.training import traced_anew


class Compiled:
    """Methods of `Fitting` that make the functions of a batch."""

    @property
    def python_state(self):
        """Version of what compiled functions have as constants; see `models.changes`."""
        if "_python_state" not in self.__dict__:
            # An attribute that Keras does not look into, and track.
            self.__dict__["_python_state"] = PythonState(self)
        return self.__dict__["_python_state"].current()

    def accept_python_state(self):
        """Has `python_state` stay what it is, though a function may have changed the model."""
        self.__dict__["_python_state"].accept()

    def make_train_function(self, force=False):
        """Keras' own function of a batch, or of a chunk where the data is on the device."""
        # The function of the last `fit` may be of the other kind.
        chunked = self._resident is not None
        function = self.train_function
        force = force or isinstance(function, fast_path.Chunk) != chunked
        if force or function is None or function.version != self.python_state:
            if chunked:
                self.train_function = fast_path.Chunk(self)
            else:
                with traced_anew(self, "train_step"):
                    keras.Model.make_train_function(self, force=True)
                self.train_function = _Batch(self, self.train_function)

    def make_test_function(self, force=False):
        """Keras' own, made again where the model has changed since."""
        self._made_again("test", keras.Model.make_test_function, force)

    def make_predict_function(self, force=False):
        """Keras' own, made again where the model has changed since."""
        self._made_again("predict", keras.Model.make_predict_function, force)
        return self.predict_function

    def _made_again(self, name, make, force):
        versions = self.__dict__.setdefault("_versions_of_functions", {})
        version = self.python_state
        with traced_anew(self, f"{name}_step"):
            make(self, force or versions.get(name) != version)
        versions[name] = version


class _Batch:
    """Keras' `train_function`, made again where a callback has changed the model."""

    def __init__(self, model, function):
        self.model, self.function, self.version = model, function, model.python_state

    def __call__(self, *arguments):
        if self.version != self.model.python_state:
            self.model._trains_what_it_was_compiled_for()
            self.model.make_train_function(force=True)
            return self.model.train_function(*arguments)
        results = self.function(*arguments)
        # A part that counts its calls changes itself, each time.
        self.model.accept_python_state()
        return results
