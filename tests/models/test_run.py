"""`Run`, and what changes it before Keras' `fit`: each by itself, without training."""

import keras
import numpy as np
import pytest

from keras_vae import callbacks, models
from keras_vae.callbacks import nan, resume
from keras_vae.models import fast
from keras_vae.models.run import Run
from keras_vae.training import weights_kept
from tests.support import SHAPE

X = np.arange(10 * 64, dtype="float32").reshape(10, *SHAPE) / 640
Y = np.arange(10)


@pytest.fixture
def model():
    model = models.vae(SHAPE, 2, units=(4,), seed=0)
    model.compile(keras.optimizers.Adam(0.01))
    return model


class TestRun:
    def test_its_arguments_are_those_of_keras(self, model):
        run = Run.of(model, X, y=Y, epochs=3, validation_freq=2, class_weight={0: 1.0})
        assert run.rest == {"validation_freq": 2, "class_weight": {0: 1.0}}
        arguments = run.arguments
        assert arguments["x"] is X and arguments["y"] is Y and arguments["epochs"] == 3
        assert arguments["validation_freq"] == 2 and arguments["class_weight"] == {0: 1.0}
        assert not {"model", "rest"} & arguments.keys()

    def test_an_unknown_argument_is_refused_by_keras(self, model):
        with pytest.raises(TypeError, match="no_such"):
            model.fit(X, verbose=0, no_such=1)

    def test_callbacks_become_a_list(self, model):
        one = keras.callbacks.History()
        assert Run(model, X).callbacks == []
        assert Run(model, X, callbacks=one).callbacks == [one]
        assert Run(model, X, callbacks=(one,)).callbacks == [one]
        several = keras.callbacks.CallbackList([one])
        assert Run(model, X, callbacks=several).callbacks == [one]

    @pytest.mark.parametrize("share, rows", [(0.2, 8), (0.25, 7), (0.0, 10), (None, 10)])
    def test_validation_rows_are_the_last(self, model, share, rows):
        weights = np.linspace(0, 1, 10)
        run = Run(model, X, Y, validation_split=share, sample_weight=weights)
        assert run.training_rows == rows
        run.split_validation()
        np.testing.assert_array_equal(run.x, X[:rows])
        np.testing.assert_array_equal(run.y, Y[:rows])
        np.testing.assert_array_equal(run.sample_weight, weights[:rows])
        assert not run.arguments["validation_split"]
        if share:
            x, y, sample_weight = run.validation_data
            np.testing.assert_array_equal(x, X[rows:])
            np.testing.assert_array_equal(y, Y[rows:])
            np.testing.assert_array_equal(sample_weight, weights[rows:])
        else:
            assert run.validation_data is None

    def test_data_for_validation_comes_before_a_split(self, model):
        run = Run(model, X, validation_split=0.5, validation_data=(X[:2],))
        run.split_validation()
        assert len(run.x) == run.training_rows == 10 and len(run.validation_data[0]) == 2


class TestResume:
    def test_without_one_nothing_changes(self, model):
        run = Run(model, X, Y, batch_size=4, shuffle=True)
        before = run.arguments
        resume.begin(run)
        assert run.arguments == before

    def test_arrays_become_batches_in_an_order_of_its_own(self, model, tmp_path):
        callback = callbacks.Resume(tmp_path, seed=5)
        run = Run(model, X, Y, batch_size=4, callbacks=callback, validation_split=0.2)
        resume.begin(run)
        assert isinstance(run.x, callbacks.Shuffled) and callback.dataset is run.x
        assert (run.x.seed, run.x.batch_size, len(run.x)) == (5, 4, 2)
        assert (run.y, run.sample_weight, run.batch_size, run.shuffle) == (None, None, None, False)
        assert len(run.validation_data[0]) == 2 and run.initial_epoch == 0

    def test_arrays_in_order_stay_arrays(self, model, tmp_path):
        run = Run(model, X, Y, batch_size=4, callbacks=callbacks.Resume(tmp_path), shuffle=False)
        resume.begin(run)
        assert run.x is X and run.y is Y and run.batch_size == 4

    def test_batches_in_an_order_of_their_own_stay(self, model, tmp_path):
        callback, source = callbacks.Resume(tmp_path), callbacks.Shuffled(X, batch_size=3)
        run = Run(model, source, callbacks=[callback])
        resume.begin(run)
        assert run.x is source is callback.dataset and run.shuffle is False

    def test_it_begins_where_the_state_ended(self, model, tmp_path):
        callback = callbacks.Resume(tmp_path, keep=True)
        model.fit(X, epochs=2, verbose=0, callbacks=callback)
        other = models.vae(SHAPE, 2, units=(4,), seed=1)
        other.compile(keras.optimizers.Adam(0.01))
        run = Run(other, X, epochs=5, callbacks=callback)
        resume.begin(run)
        assert run.initial_epoch == 2
        for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)


class TestWatch:
    def test_a_run_has_one_callback_more_and_a_built_optimizer(self, model):
        run = Run(model, X)
        with nan.watched(run):
            assert [type(c) for c in run.callbacks] == [callbacks.StopAtNaN]
            assert model.optimizer.built

    def test_other_errors_pass(self, model):
        model.train_function = "one that failed while it was traced"
        with pytest.raises(FloatingPointError, match="another"):
            with nan.watched(Run(model, X)):
                raise FloatingPointError("another")
        assert model.train_function is None

    def test_its_own_error_says_where_and_gives_the_weights_back(self, model):
        before, run = model.get_weights(), Run(model, X)
        with pytest.raises(FloatingPointError, match="epoch 3, batch 8.*loss=nan") as caught:
            with nan.watched(run):
                (stop,) = run.callbacks
                stop.set_model(model)
                stop.on_epoch_begin(2)
                model.decoder.set_weights([np.nan * w for w in model.decoder.get_weights()])
                stop.on_train_batch_end(7, {"loss": np.nan, "kl_loss": 1.0})
        assert "kl_loss" not in str(caught.value)
        for one, other in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize("source", [False, True], ids=["arrays", "source"])
    def test_the_error_names_batches_that_nobody_looked_at(self, model, source):
        """Tensors of a GPU are not, nor is what several devices share."""
        run = Run(model, iter([X]) if source else X)
        with pytest.raises(FloatingPointError) as caught:
            with nan.watched(run):
                (stop,) = run.callbacks
                stop.set_model(model)
                stop.on_epoch_begin(0)
                stop.on_train_batch_end(0, {"loss": np.nan})
        assert ("search them for NaN" in str(caught.value)) is source


class TestFast:
    def test_row_numbers_stand_in_for_the_arrays(self, model, monkeypatch):
        monkeypatch.setattr(fast, "steps_at_once", lambda model: 2)
        run = Run(model, X, Y, batch_size=2, validation_split=0.1, shuffle=False)
        with fast.kept_on_device(run, True):
            resident = model._resident
            assert (resident.batch_size, resident.steps) == (2, 2)
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(resident.arrays[0]), X[:9])
            assert len(resident.arrays) == 2
            assert run.y is None and run.sample_weight is None
            assert run.rest["validation_batch_size"] == 2
            assert len(run.validation_data[0]) == 1
            assert isinstance(run.callbacks, keras.callbacks.CallbackList)
            assert run.callbacks.params["steps"] == 5
        assert model._resident is None

    def test_the_ordinary_way_changes_nothing(self, model):
        run = Run(model, X, Y)
        before = run.arguments
        with fast.kept_on_device(run, False):
            assert run.arguments == before and model._resident is None

    def test_a_refusal_comes_before_any_state_is_loaded(self, model, tmp_path):
        callback = callbacks.Resume(tmp_path, keep=True)
        model.fit(X, epochs=2, verbose=0, callbacks=callback)
        other = models.vae(SHAPE, 2, units=(4,), seed=1)
        before = other.get_weights()
        with pytest.raises(ValueError, match="cannot be fast"):
            other.fit(X, verbose=0, fast=True, callbacks=callback, steps_per_epoch=1)
        for one, two in zip(before, other.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)


class _Fails(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt

    on_test_batch_end = on_predict_batch_end = on_train_batch_end


@pytest.mark.parametrize("fast_or_not", [False, True])
def test_an_error_destroys_no_weights(model, fast_or_not):
    callback = [_Fails()]
    with pytest.raises(KeyboardInterrupt):
        if fast_or_not:
            # A callback that sees each batch rules the fast way out.
            model.fit(X, verbose=0, fast=True, callbacks=[_FailsAtEpochs()])
        else:
            model.fit(X, verbose=0, callbacks=callback)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert np.isfinite(model.fit(X, verbose=0).history["loss"]).all()


class _FailsAtEpochs(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["evaluate", "predict"])
def test_an_error_outside_fit_destroys_no_weights(model, name):
    before = model.get_weights()
    with pytest.raises(KeyboardInterrupt):
        getattr(model, name)(X, verbose=0, callbacks=[_Fails()])
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras lends weights on JAX only")
def test_lent_arrays_come_back(model):
    from keras_vae.training import keras_private

    before = model.get_weights()
    with pytest.raises(RuntimeError, match="in the step"):
        with weights_kept(model):
            for variable in model.variables:
                keras_private.put_back(variable, None)
            raise RuntimeError("in the step")
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_prior_alone_trains_by_the_same_fit():
    """On both ways, resumable, and watched."""
    model = models.vq_vae(SHAPE, 2, "conv", (4, 8), num_codes=8, prior_channels=4, seed=0)
    kind = type(model.prior_alone())
    for name in ("fit", "evaluate", "predict", "make_train_function"):
        assert getattr(kind, name) is getattr(models.VAE, name)
    codes = np.random.default_rng(0).integers(0, 8, (12, *model.code_shape)).astype("int32")
    for way in (False, True):
        alone = model.prior_alone()
        alone.compile(keras.optimizers.Adam(1e-3))
        history = alone.fit(codes, batch_size=4, verbose=0, fast=way, validation_data=(codes[:4],))
        assert np.isfinite(history.history["val_loss"]).all()
    alone.compile(keras.optimizers.SGD(1e30))
    with pytest.raises(FloatingPointError, match="since epoch"):
        alone.fit(codes, batch_size=4, verbose=0, epochs=9)
    assert all(np.isfinite(w).all() for w in alone.get_weights())
