"""`fit`, `evaluate` and `predict`: Keras' own, behind a check of the data.

On JAX an error inside a step destroys the weights: what can be refused is refused before
Keras sees it.
"""

import itertools

import keras
import numpy as np

from keras_vae import _checks
from keras_vae.callbacks import nan, resume
from keras_vae.models import fast as fast_path
from keras_vae.models import saving
from keras_vae.models.changes import PythonState
from keras_vae.models.run import Run, is_array
from keras_vae.training import keras_private, traced_anew, weights_kept


class Fitting:
    """`fit`, `evaluate` and `predict` of every model here, in front of Keras' trainer.

    A model whose data is not that of a VAE has its own `_clean` and `_clean_input`.
    """

    # The data that `fit` keeps on the device, while it does: see `fast.kept_on_device`.
    _resident = None

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        sample_weight=None,
        fast=None,
        **kwargs,
    ):
        """Trains the model; Keras' `fit` with all its options.

        Arrays that fit in memory are kept on the device and trained on many steps a
        call, with the same result but for rounding; `why_not_fast` says when not. On
        TensorFlow XLA compiles these steps once they have run for long, which takes
        some seconds.

        Args:
            x: data `(n, ...)`, or any source of batches `x`, `(x, y)` or
                `(x, y, sample_weight)` that Keras' `fit` takes.
            y: conditions of a conditional model; other models ignore it.
            validation_data: `x`, `(x, y)` or `(x, y, sample_weight)`.
            sample_weight: `(n,)`, factors of the examples' losses.
            callbacks: Keras' callbacks. With a `callbacks.Resume`, training that was
                interrupted goes on from its last completed epoch.
            fast: False for Keras' own loop; True for many steps a call, or an error where
                that is impossible; None for many steps where it is possible and pays.
            **kwargs: the other arguments of Keras' `fit`.

        Returns:
            `keras.callbacks.History`.

        Raises:
            TypeError, ValueError: the model cannot train on the data; nothing has changed
                then.
            FloatingPointError: a loss is NaN or infinite. Training has stopped, and
                the weights are those at the beginning of the epoch.
        """
        self._ready_to_train()
        check_batch_size(batch_size)
        x, y, sample_weight = self._clean(x, y, sample_weight)
        if validation_data is not None:
            validation_data = self._clean_validation(validation_data)
        run = Run.of(
            self,
            x,
            y=y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            sample_weight=sample_weight,
            **kwargs,
        )
        saving.check_callbacks(run.callbacks)
        # Chosen first, as it may refuse, and on the arrays: `Resume` makes batches of them.
        fast = fast_path.chosen(run, fast)
        resume.begin(run)
        # `weights_kept` is the innermost: the other two read the weights after an error.
        with nan.watched(run), fast_path.kept_on_device(run, fast), weights_kept(self):
            return keras.Model.fit(self, **run.arguments)

    def why_not_fast(self, x, y=None, callbacks=None, **kwargs):
        """Why `fit` with these arguments takes Keras' own loop; None if it does not.

        Args:
            x, y, callbacks, **kwargs: as `fit`.

        Returns:
            A sentence, or None.
        """
        self._compile_by_default()
        run = Run.of(self, x, y=y, callbacks=callbacks, **kwargs)
        return fast_path.why_not(run) or fast_path.too_few(run)

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, **kwargs
    ):
        """Losses on data; Keras' `evaluate` with all its options."""
        self._compile_by_default()
        check_batch_size(batch_size)
        if not kwargs.get(keras_private.INSIDE_FIT):
            x, y, sample_weight = self._clean(x, y, sample_weight)
        with weights_kept(self):
            return keras.Model.evaluate(
                self,
                x,
                y,
                batch_size=batch_size,
                verbose=verbose,
                sample_weight=sample_weight,
                **kwargs,
            )

    def predict(self, x, *args, **kwargs):
        """Reconstructions of x, or of `(x, condition)`; prefer `reconstruct`."""
        x = self._clean_input(x)
        with weights_kept(self):
            return keras.Model.predict(self, x, *args, **kwargs)

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

    def _compile_by_default(self):
        if not self.compiled:
            self.compile(optimizer=keras.optimizers.Adam(1e-3))

    def _ready_to_train(self):
        self._compile_by_default()
        loss = keras_private.compiled_loss(self)
        if loss is not None:
            raise ValueError(
                "The model's objective is its loss: compile it without `loss`. "
                "Choose another objective when you build the model. "
                f"Received: loss={loss!r}"
            )
        keras_private.drop_compiled_loss(self)
        self._trains_what_it_was_compiled_for()

    def _trains_what_it_was_compiled_for(self):
        known = {id(v) for v in keras_private.optimized_variables(self.optimizer)}
        if self.optimizer.built and known != {id(v) for v in self.trainable_variables}:
            raise ValueError(
                "The trainable variables have changed since the optimizer was built: call "
                "`model.compile(...)` again after freezing, unfreezing or replacing a part, and "
                "do so between two calls of `fit`. "
                f"Received: {len(self.trainable_variables)} trainable variables, "
                f"an optimizer of {len(known)}"
            )

    def _clean(self, x, y, sample_weight=None):
        if x is None:
            raise ValueError("`x` is missing: give data to train on. Received: x=None")
        if not is_array(x):
            return self._clean_source(x), y, sample_weight
        clean = _checks.data(self, x)
        # Bytes stay bytes, a quarter of the memory: a step converts them to floats.
        x = x if isinstance(x, np.ndarray) and x.dtype == "uint8" else clean
        y = self._clean_condition(y, len(x))
        if sample_weight is not None:
            sample_weight = _checks.weights(sample_weight, len(x))
            # Keras silently drops the weights of data without y.
            y = np.zeros(len(x), "float32") if y is None else y
        return x, y, sample_weight

    def _clean_input(self, x):
        """Data for `predict`: x, or `(x, condition)`."""
        if isinstance(x, (tuple, list)) and self.condition is not None:
            data = _checks.data(self, x[0])
            return data, _checks.condition(self, x[1], len(data))
        if is_array(x):
            x = _checks.data(self, x)
            _checks.condition(self, None, len(x))
        return x

    def _clean_condition(self, y, n):
        if self.condition is not None:
            return _checks.condition(self, y, n, name="y")
        if y is not None:
            y = _checks.array(y, "y")
            if len(y) != n:
                raise ValueError(
                    f"`y` must hold one value for each example. Received: {len(y)} for {n}"
                )
        return y

    def _clean_validation(self, validation_data):
        several = isinstance(validation_data, (tuple, list)) and (
            isinstance(validation_data, tuple) or hasattr(validation_data[0], "shape")
        )
        if not several:
            return self._clean(validation_data, None)[0]
        if len(validation_data) > 3:
            raise ValueError(
                "`validation_data` must be x, (x, y) or (x, y, sample_weight). "
                f"Received: {len(validation_data)} parts"
            )
        return self._clean(*(*validation_data, None, None)[:3])

    def _clean_source(self, source):
        """Checks the first batch of a data set or generator; returns a source."""
        if isinstance(source, keras.utils.PyDataset):
            batch = source[0]
        elif hasattr(source, "__next__"):
            batch = next(source, None)
            if batch is None:
                raise ValueError("`x` is a generator that gives no batch.")
            source = itertools.chain([batch], source)
        elif hasattr(source, "__iter__") and not isinstance(source, (dict, str, bytes)):
            batch = next(iter(source), None)
            if batch is None:
                raise ValueError("`x` is a data set that gives no batch.")
        else:
            raise TypeError(
                "`x` must be an array, a tf.data.Dataset, a PyDataset, a PyTorch "
                f"DataLoader or a generator. Received: {type(source).__name__}"
            )
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(
            tuple(batch) if isinstance(batch, list) else batch
        )
        x = _checks.data(self, x, name="the first batch")
        clean = self._clean_condition(y, len(x))
        # `_clean_condition` repeats one condition for all examples; a step does not.
        conditional = self.condition is not None and y is not None
        if conditional and np.size(clean) != _checks.array(y, "y").size:
            raise ValueError(
                f"`y` of the first batch must have shape {clean.shape}. "
                f"Received: shape {tuple(y.shape)}"
            )
        if sample_weight is not None:
            _checks.weights(sample_weight, len(x))
        # Keras recognises a generator by its type, and a chain is of another.
        if isinstance(source, itertools.chain):
            return (batch for batch in source)
        return source


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


def check_batch_size(batch_size):
    if batch_size is not None:
        _checks.count(batch_size, "batch_size")
