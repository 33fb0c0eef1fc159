"""`fit`, `evaluate` and `predict`: Keras' own, behind a check of the data.

On JAX an error inside a step destroys the weights: what can be refused is refused before
Keras sees it.
"""

import contextlib
import threading

import keras
import numpy as np

from keras_vae import _checks
from keras_vae.callbacks import nan, resume
from keras_vae.models import fast as fast_path
from keras_vae.models import saving, sources
from keras_vae.models.cleaning import Cleaning
from keras_vae.models.compiled import Compiled
from keras_vae.models.divided import among_processes
from keras_vae.models.run import Run
from keras_vae.training import keras_private, kernels, weights_kept


class Fitting(Cleaning, Compiled):
    """`fit`, `evaluate` and `predict` of every model here, in front of Keras' trainer.

    A model whose data is not that of a VAE has its own `_clean` and `_clean_input`.
    """

    # The data that `fit` keeps on the device, while it does: see `fast.kept_on_device`.
    _resident = None
    # Whether the model is compiled with `metrics`, and the thread that trains it.
    _measured, _trained_by = False, None

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
        TensorFlow XLA compiles these steps after the first epoch of long training, which takes
        some seconds.

        After an exception, an interruption too, the model has the weights of its last completed
        step, and `fit` goes on from there. After `distribution.start()` all processes call `fit`
        with the same arrays, and each trains on its part of every batch. One thread at a time can
        train a model or evaluate it. While it trains, other threads may use it for inference on
        TensorFlow and PyTorch; JAX gives them an error.

        Args:
            x: data `(n, ...)`: an array, a table of pandas (of mixed types under a
                `likelihoods.Columns`), or any source of batches `x`,
                `(x, y)` or `(x, y, sample_weight)`: a `tf.data.Dataset`, `PyDataset`,
                PyTorch `DataLoader`, generator or iterable. Of a dictionary of TensorFlow
                Datasets "image" and "label" are used. Every batch is checked.
            y: conditions of a conditional model. Of another model, what it shall give for
                x, if y has the shape of x: the encoder sees x and the likelihood scores
                y, as in `fit(noisy, clean)`; only y must lie in the data's range. Labels
                are ignored, but for `class_weight`.
            validation_data: `x`, `(x, y)`, `(x, y, sample_weight)`, or a source of them.
            sample_weight: `(n,)`, factors w of the examples' losses l: the loss is
                Σ w l / n, and its terms are too.
            callbacks: Keras' callbacks. With a `callbacks.Resume`, training that was
                interrupted goes on from its last completed epoch.
            fast: False for Keras' own loop; True for many steps a call, or an error where
                that is impossible; None for many steps where it is possible and pays.
            **kwargs: the other arguments of Keras' `fit`; `class_weight` needs labels y.

        Returns:
            `keras.callbacks.History`. Metrics of `compile(metrics=...)` compare x, or the
            y that is scored, with the reconstruction.

        Raises:
            TypeError, ValueError: the model cannot train on the data; nothing has changed
                then.
            FloatingPointError: a loss is NaN or infinite. Training has stopped, and
                the weights are those at the beginning of the epoch.
        """
        self._ready_to_train()
        check_batch_size(batch_size)
        _no_rows_of_batches(x, batch_size, validation_data)
        sources.adapt(self, x)
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
        _weigh_classes(run)
        with _alone(self, training=True), _own_errors(run.x, run.validation_data):
            resume.begin(run)
            # `weights_kept` is the innermost: those before read the weights after an error.
            with (
                kernels.denormals_flushed(),
                among_processes(run),
                nan.watched(run),
                fast_path.kept_on_device(run, fast),
                weights_kept(self),
            ):
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
        """Losses on data; Keras' `evaluate` with all its options.

        Args:
            x, y, sample_weight: as in `fit`.

        Threads take turns.
        """
        if kwargs.get(keras_private.INSIDE_FIT):
            return self._evaluate(x, y, batch_size, verbose, sample_weight, kwargs)
        self._compile_by_default()
        self._check_compiled()
        check_batch_size(batch_size)
        _no_rows_of_batches(x, batch_size)
        x, y, sample_weight = self._clean(x, y, sample_weight)
        with _alone(self), _own_errors(x):
            return self._evaluate(x, y, batch_size, verbose, sample_weight, kwargs)

    def _evaluate(self, x, y, batch_size, verbose, sample_weight, rest):
        with weights_kept(self):
            return keras.Model.evaluate(
                self,
                x,
                y,
                batch_size=batch_size,
                verbose=verbose,
                sample_weight=sample_weight,
                **rest,
            )

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Reconstructions of x; prefer `reconstruct`, of which it is Keras' form.

        Safe in threads, as `reconstruct` is.

        Args:
            x: data as in `fit`, or `(x, condition)`; y of an unconditional model's source
                is ignored.
            batch_size: rows per batch, 32 by default; a source has its own.
            verbose, steps, callbacks: as in Keras' `predict`.

        Returns:
            `(n, ...)` float32.
        """
        check_batch_size(batch_size)
        _no_rows_of_batches(x, batch_size)
        steps = None if steps is None else _checks.count(steps, "steps")
        x = x if isinstance(x, tuple) else sources.numbers(self, x)
        if isinstance(x, dict):
            x = sources.unpacked(x)[:2]
            x = x if self.condition is not None else x[0]
        if sources.is_source(x):
            source = x if isinstance(x, sources.Batches) else sources.Batches(self, x)
            parts, number = source.batches(), steps or source.num_batches
        else:
            x = self._clean_input(x)
            x = x if isinstance(x, tuple) else (x,)
            size = batch_size or (32 if steps is None else -(-len(x[0]) // steps))
            starts = range(0, len(x[0]), size)[:steps]
            parts, number = ([a[i : i + size] for a in x] for i in starts), len(starts)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = keras.callbacks.CallbackList(
                callbacks,
                add_progbar=verbose not in (0, False),
                verbose=verbose,
                epochs=1,
                steps=number,
                model=self,
            )
        callbacks.on_predict_begin()
        outputs = []
        for number, part in enumerate(parts):
            if number == steps:
                break
            callbacks.on_predict_batch_begin(number)
            found = self._rebuilt(part[0], part[1] if len(part) > 1 else None)
            outputs.append(found)
            callbacks.on_predict_batch_end(number, {"outputs": found})
        callbacks.on_predict_end()
        return np.concatenate(outputs)

    def _rebuilt(self, x, condition):
        """The reconstructions of one checked batch."""
        x = _checks.host(x, "x").astype("float32", copy=False)
        size = 1 << (len(x) - 1).bit_length()
        y = None if self.condition is None or condition is None else _checks.host(condition, "y")
        return self._padded("rebuild", size, [x, y])

    def predict_on_batch(self, x):
        """As `predict`, of one batch."""
        return self.predict(x, batch_size=len(x[0] if isinstance(x, tuple) else x), verbose=0)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One step; Keras' `train_on_batch`, with x, y and weights as in `fit`."""
        self._ready_to_train()
        x, y, sample_weight = self._clean_arrays(x, y, sample_weight, class_weight)
        with _alone(self, training=True), weights_kept(self):
            return keras.Model.train_on_batch(self, x, y, sample_weight, return_dict=return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """The losses of one batch; Keras' `test_on_batch`, with arguments as in `fit`."""
        self._compile_by_default()
        self._check_compiled()
        x, y, sample_weight = self._clean_arrays(x, y, sample_weight)
        with _alone(self), weights_kept(self):
            return keras.Model.test_on_batch(self, x, y, sample_weight, return_dict)

    def _compile_by_default(self):
        if not self.compiled:
            self.compile(optimizer=keras.optimizers.Adam(1e-3))

    def _ready_to_train(self):
        self._compile_by_default()
        self._check_compiled()
        keras_private.drop_compiled_loss(self)
        self._trains_what_it_was_compiled_for()
        kernels.order_thin([*self.trainable_variables, *self.non_trainable_variables])

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

    def _check_compiled(self):
        """Refuses what of `compile` has no meaning here, and builds its metrics."""
        loss = keras_private.compiled_loss(self)
        if loss is not None:
            raise ValueError(
                "The model's objective is its loss: compile it without `loss`. "
                "Choose another objective when you build the model. "
                f"Received: loss={loss!r}"
            )
        weights = keras_private.compiled_loss_weights(self)
        if weights is not None:
            raise ValueError(
                "`loss_weights` belong to a `loss`, and the model's objective is its loss: "
                "weigh its terms there, as in `objectives.ELBO(beta=4.0)`. "
                f"Received: loss_weights={_checks.shown(weights)}"
            )
        # In `__dict__`, as no attribute to track.
        self.__dict__["_measured"] = keras_private.has_compiled_metrics(self)
        if self._measured:
            self._build_metrics()

    def _build_metrics(self):
        if self.likelihood.missing:
            raise ValueError(
                "Metrics of `compile` cannot leave missing values out: compile without "
                "`metrics`, and look at `reconstruct` or `impute`. Received: metrics"
            )
        keras_private.build_compiled_metrics(self, self.data_shape)


def check_batch_size(batch_size):
    if batch_size is not None:
        _checks.count(batch_size, "batch_size")


def _no_rows_of_batches(x, batch_size, validation_data=None):
    """Refuses a `batch_size` that nothing would use."""
    used = validation_data is not None and not sources.is_source(validation_data)
    if batch_size is not None and sources.is_source(x) and not used:
        raise ValueError(
            "A source of batches has its own batch size: leave `batch_size` out. "
            f"Received: batch_size={batch_size} with {type(x).__name__}"
        )


def _weigh_classes(run):
    """Puts sample weights in place of a run's `class_weight`, for every kind of data."""
    class_weight = run.rest.pop("class_weight", None)
    if class_weight is None:
        return
    if isinstance(run.x, sources.Batches):
        run.x.class_weight = class_weight
        # Once before the first step.
        run.x.first = run.x._parts(run.x.first, 0)
    else:
        y = None if run.model._is_target(run.y) else run.y
        run.sample_weight = _checks.class_weights(class_weight, y, run.sample_weight)


@contextlib.contextmanager
def _own_errors(*batches):
    """Raises what a source or its check has raised, of which TensorFlow makes errors of its own."""
    try:
        yield
    except BaseException as error:
        for source in batches:
            own = source.error if isinstance(source, sources.Batches) else None
            if own is not None and own is not error:
                raise own from None
        raise


@contextlib.contextmanager
def _alone(model, training=False):
    """One thread at a time trains or evaluates: the others wait for an evaluation.

    Raises:
        RuntimeError: another thread trains the model.
    """
    _check_free(model)
    lock = model.__dict__.setdefault("_turn", threading.RLock())
    with lock:
        before = model._trained_by
        if training:
            model.__dict__["_trained_by"] = threading.get_ident()
        try:
            yield
        finally:
            model.__dict__["_trained_by"] = before


def _check_free(model):
    if model._trained_by not in (None, threading.get_ident()):
        raise RuntimeError(
            "Another thread trains this model, which has one set of losses and metrics: wait "
            "until its `fit` ends, or use a copy (`keras.models.clone_model` and `set_weights`)."
        )
