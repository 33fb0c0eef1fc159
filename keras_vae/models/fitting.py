"""`fit`, `evaluate` and `predict`: Keras' own, behind a check of the data.

On JAX an exception inside the first step would take the weights with it, so
what can be refused is refused before Keras sees it.
"""

import itertools

import keras
import numpy as np

from keras_vae import _checks
from keras_vae.callbacks.nan import StopAtNaN
from keras_vae.callbacks.resume import Resume, Shuffled
from keras_vae.models import fast as fast_path


class Guarded(fast_path.Fast):
    """Keras' `fit`, which a `callbacks.Resume` makes go on, and which stops at a NaN."""

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        sample_weight=None,
        fast=None,
        **kwargs,
    ):
        stop = StopAtNaN()
        told = {"batch_size": batch_size, "epochs": epochs, "validation_split": validation_split}
        fast = self._fast(fast, x, callbacks, **told, **kwargs)
        callbacks = [*_listed(callbacks), stop]
        resume = next((c for c in callbacks if isinstance(c, Resume)), None)
        if resume is not None:
            kwargs["initial_epoch"] = resume.begin(self, epochs, kwargs.get("initial_epoch", 0))
            if _is_array(x):
                (x, y, sample_weight), split = fast_path.split_off(
                    (x, y, sample_weight), validation_split
                )
                validation_data = split if validation_data is None else validation_data
                validation_split = 0.0
                if kwargs.get("shuffle", True):
                    x, y, sample_weight = (
                        resume.shuffled(x, y, sample_weight, batch_size),
                        None,
                        None,
                    )
                    batch_size = None
            if isinstance(x, Shuffled):
                resume.dataset = x
                # Keras would shuffle the batches once more, by a generator of its own.
                kwargs["shuffle"] = False
        try:
            return super().fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                callbacks=callbacks,
                validation_split=validation_split,
                validation_data=validation_data,
                sample_weight=sample_weight,
                fast=fast,
                **kwargs,
            )
        except BaseException as error:
            # TensorFlow would take a step that failed while it was traced for one
            # that has made the optimizer's variables, and refuse to make them.
            self.train_function = None
            if stop.found is not None and isinstance(error, FloatingPointError):
                raise stop.error() from None
            raise

    def _fast(self, fast, x, callbacks, **arguments):
        if fast not in (None, True, False):
            raise ValueError(f"`fast` must be True, False or None. Received: fast={fast!r}")
        if fast is False:
            return False
        why = fast_path.why_not(self, x, _listed(callbacks), **arguments)
        if fast and why:
            raise ValueError(
                f"`fit` cannot be fast here: {why}. Leave `fast` out and it takes the ordinary "
                "way. Received: fast=True"
            )
        return not why and bool(fast or not fast_path.too_few(x, **arguments))


class Fitting(Guarded):
    """Methods of `VAE` in front of Keras' trainer."""

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
        call, to the same result but for rounding; `why_not_fast` says when not. On
        TensorFlow XLA compiles these steps once they have run for long, which takes
        some seconds.

        Args:
            x: data `(n, ...)`, or anything Keras' `fit` takes that gives
                batches `x`, `(x, y)` or `(x, y, sample_weight)`.
            y: conditions of a conditional model; labels given to another model
                are ignored.
            validation_data: like `x`, `(x, y)` or `(x, y, sample_weight)`.
            sample_weight: `(n,)`, what each example's loss is multiplied by.
            callbacks: Keras' callbacks. With a `callbacks.Resume` training that was
                interrupted goes on from its last completed epoch.
            fast: False for Keras' own loop; True for an error where that is the only
                one; None for what applies and pays.
            **kwargs: the rest of Keras' arguments.

        Returns:
            `keras.callbacks.History`.

        Raises:
            TypeError, ValueError: data that the model cannot train on; nothing
                has changed then.
            FloatingPointError: a loss is NaN or infinite. Training has stopped, and
                the weights are those at the beginning of the epoch.
        """
        self._ready_to_train()
        _check_batch_size(batch_size)
        x, y, sample_weight = self._clean(x, y, sample_weight)
        if validation_data is not None:
            validation_data = self._clean_validation(validation_data)
        return super().fit(
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            sample_weight=sample_weight,
            fast=fast,
            **kwargs,
        )

    def why_not_fast(self, x, y=None, callbacks=None, **kwargs):
        """Why `fit` with these arguments takes Keras' own loop; None if it does not.

        Args:
            x, y, callbacks, **kwargs: as `fit`.

        Returns:
            A sentence, or None.
        """
        self._compile_by_default()
        why = fast_path.why_not(self, x, _listed(callbacks), **kwargs)
        return why or fast_path.too_few(x, **kwargs)

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, **kwargs
    ):
        """Losses on data; Keras' `evaluate` with all its options."""
        self._compile_by_default()
        _check_batch_size(batch_size)
        # Inside `fit` Keras evaluates data that has been checked already.
        if not kwargs.get("_use_cached_eval_dataset"):
            x, y, sample_weight = self._clean(x, y, sample_weight)
        return super().evaluate(
            x, y, batch_size=batch_size, verbose=verbose, sample_weight=sample_weight, **kwargs
        )

    def predict(self, x, *args, **kwargs):
        """Reconstructions of x, or of `(x, condition)`; prefer `reconstruct`."""
        if isinstance(x, (tuple, list)) and self.condition is not None:
            data = _checks.data(self, x[0])
            x = (data, _checks.condition(self, x[1], len(data)))
        elif _is_array(x):
            x = _checks.data(self, x)
            _checks.condition(self, None, len(x))
        return super().predict(x, *args, **kwargs)

    def _compile_by_default(self):
        if not self.compiled:
            self.compile(optimizer=keras.optimizers.Adam(1e-3))

    def _ready_to_train(self):
        self._compile_by_default()
        loss = self._compile_config.config["loss"]
        if loss is not None:
            raise ValueError(
                "The model's objective is its loss: compile it without `loss`. "
                "Another objective is given when the model is built. "
                f"Received: loss={loss!r}"
            )
        # Compiling without a loss leaves that of an earlier `compile` in place.
        self._compile_loss = None
        known = {id(v) for v in self.optimizer._trainable_variables}
        if self.optimizer.built and known != {id(v) for v in self.trainable_variables}:
            raise ValueError(
                "What is trainable has changed since the optimizer was built: call "
                "`model.compile(...)` again after freezing or unfreezing a part. "
                f"Received: {len(self.trainable_variables)} trainable variables, "
                f"an optimizer of {len(known)}"
            )

    def _clean(self, x, y, sample_weight=None):
        if x is None:
            raise ValueError("`x` is missing: give data to train on. Received: x=None")
        if not _is_array(x):
            return self._clean_source(x), y, sample_weight
        clean = _checks.data(self, x)
        # Bytes stay bytes, a quarter of the memory: a step makes floats of them.
        x = x if isinstance(x, np.ndarray) and x.dtype == "uint8" else clean
        y = self._clean_condition(y, len(x))
        if sample_weight is not None:
            sample_weight = _checks.weights(sample_weight, len(x))
            # Keras drops the weights of data without y, and says nothing.
            y = np.zeros(len(x), "float32") if y is None else y
        return x, y, sample_weight

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
        # What was spread over the examples here will not be so in the step.
        given = self.condition is not None and y is not None
        if given and np.size(clean) != _checks.array(y, "y").size:
            raise ValueError(
                f"`y` of the first batch must have shape {clean.shape}. "
                f"Received: shape {tuple(y.shape)}"
            )
        if sample_weight is not None:
            _checks.weights(sample_weight, len(x))
        # Keras tells a generator by its type, which a chain has not.
        if isinstance(source, itertools.chain):
            return (batch for batch in source)
        return source


def _listed(callbacks):
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks.callbacks
    if isinstance(callbacks, keras.callbacks.Callback):
        return [callbacks]
    return callbacks or []


def _is_array(x):
    return isinstance(x, (tuple, list)) or (hasattr(x, "shape") and hasattr(x, "dtype"))


def _check_batch_size(batch_size):
    if batch_size is not None:
        _checks.count(batch_size, "batch_size")
