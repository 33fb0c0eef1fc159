"""Inference writes nothing; an exception anywhere in training costs no completed step."""

import functools
import os
import signal
import threading

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models
from tests.support import array

BACKEND = keras.backend.backend()
D = 6
X = np.random.default_rng(0).random((64, D)).astype("float32")
pytestmark = pytest.mark.filterwarnings("ignore:(`shuffle=True` was passed|Your input ran out)")


@pytest.fixture
def model():
    model = models.vae((D,), 2, units=(8,), likelihood="normal", seed=0)
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def steps(model):
    return int(array(model.step))


@functools.cache
def undisturbed():
    """The weights after 0 to 8 steps on batches of 8."""
    model = models.vae((D,), 2, units=(8,), likelihood="normal", seed=0)
    model.compile(keras.optimizers.Adam(1e-3))
    found = [[w.copy() for w in model.get_weights()]]
    for start in range(0, len(X), 8):
        model.fit(X[start : start + 8], batch_size=8, verbose=0, shuffle=False)
        found.append([w.copy() for w in model.get_weights()])
    return found


def assert_weights(model, number):
    assert steps(model) == number
    for one, other in zip(model.get_weights(), undisturbed()[number], strict=True):
        if one.ndim:
            np.testing.assert_allclose(one, other, atol=1e-6)
    assert int(array(model.optimizer.iterations)) == number
    assert np.isfinite(model.encode(X)).all()


class Raise(keras.callbacks.Callback):
    def __init__(self, name, number, error=KeyboardInterrupt):
        super().__init__()
        self.left, self.error = number, error
        setattr(self, name, self.count)

    def count(self, *args, **options):
        self.left -= 1
        if self.left < 0:
            raise self.error


@pytest.mark.parametrize(
    "name, number, done",
    [
        ("on_train_begin", 0, 0),
        ("on_train_batch_begin", 3, 3),
        ("on_train_batch_end", 3, 4),
        ("on_epoch_end", 0, 8),
        ("on_test_batch_end", 0, 8),
        ("on_test_end", 0, 8),
    ],
)
def test_a_callback_that_raises(model, name, number, done):
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            X,
            batch_size=8,
            shuffle=False,
            validation_data=X,
            callbacks=[Raise(name, number)],
            verbose=0,
        )
    assert_weights(model, done)
    model.fit(X, batch_size=8, verbose=0)
    assert steps(model) == done + 8


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_source_that_raises(model, number):
    def source():
        for i in range(number):
            yield (X[i * 8 : i * 8 + 8],)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(source(), verbose=0)
    done = steps(model)
    # TensorFlow reads ahead of the steps, but loses none: the error comes in its place.
    assert done == number
    assert_weights(model, done)
    model.fit(X, batch_size=8, verbose=0)
    assert steps(model) == done + 8


@pytest.mark.skipif(BACKEND != "jax", reason="JAX deletes the arrays that a step is given")
class TestDeletedArrays:
    @pytest.mark.parametrize("fast", [False, True])
    def test_an_exception_just_after_a_step(self, model, fast, monkeypatch):
        """Where Python lets a signal in first: when the step has returned to its caller."""
        from keras_vae.training import jax as training

        kept_step, calls = training.TrainStep.kept_step, []

        def interrupted(self, step):
            kept = kept_step(self, step)

            def call(*arguments):
                results = kept(*arguments)
                calls.append(1)
                if len(calls) == 2:
                    raise KeyboardInterrupt
                return results

            return call

        monkeypatch.setattr(training.TrainStep, "kept_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, batch_size=8, epochs=60, verbose=0, fast=fast, shuffle=False)
        done = steps(model)
        assert done >= 2 and int(array(model.optimizer.iterations)) == done
        assert np.isfinite(model.encode(X)).all()
        model.fit(X, batch_size=8, verbose=0, fast=fast)
        assert steps(model) == done + 8

    @pytest.mark.parametrize("way", [False, True])
    def test_the_stop_button(self, model, way, request):
        """A signal at a random moment, as a notebook sends one."""
        lost, done = 0, threading.Event()
        # A process in the background of a shell was started with the signal ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
        model.fit(X, batch_size=8, verbose=0, fast=way)
        rng = np.random.default_rng(0)

        class Strike(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 5:
                    threading.Thread(target=strike, args=(rng.uniform(0, 0.2),)).start()

        def strike(wait):
            while not done.wait(wait):
                # JAX swallows one that meets its garbage collector.
                os.kill(os.getpid(), signal.SIGINT)
                wait = 1.0

        for _ in range(3):
            done.clear()
            # As many epochs as take far longer than the strike, and yet an end.
            with pytest.raises(KeyboardInterrupt):
                model.fit(X, batch_size=8, epochs=5000, verbose=0, fast=way, callbacks=[Strike()])
            done.set()
            lost += steps(model) != int(array(model.optimizer.iterations))
            assert np.isfinite(model.encode(X)).all()
        assert not lost


def test_inference_writes_nothing(model):
    if BACKEND != "torch":
        before = model.get_weights()
        for _ in range(3):
            model.reconstruct(X)
        for one, other in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
        return
    import torch

    loss = model.objective(model.evidence(torch.tensor(X), training=True))[0].mean()
    versions = [v.value._version for v in model.variables]
    calls = (
        lambda: model.encode(X),
        lambda: model.posterior(X),
        lambda: model.reconstruct(X),
        lambda: model.decode(np.zeros((4, 2))),
        lambda: model.sample(4, seed=0),
        lambda: model.log_likelihood(X, 3, verbose=False),
        lambda: model.predict(X, verbose=0),
    )
    for call in calls:
        for _ in range(3):
            call()
    assert versions == [v.value._version for v in model.variables]
    loss.backward()


def in_threads(*jobs, number=4):
    """The errors of jobs that run together, each several times."""
    errors = []

    def run(job):
        try:
            for _ in range(5):
                job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_threads_use_a_model_together(model):
    expected = model.reconstruct(X)
    kl = model.evaluate(X, verbose=0, return_dict=True)["kl_loss"]

    def predicts():
        np.testing.assert_allclose(model.predict(X, verbose=0), expected, atol=1e-6)

    def rebuilds():
        np.testing.assert_allclose(model.reconstruct(X), expected, atol=1e-6)

    def evaluates():
        logs = model.evaluate(X, verbose=0, return_dict=True)
        assert logs["kl_loss"] == pytest.approx(kl, rel=1e-5)

    assert not in_threads(predicts, rebuilds)
    assert not in_threads(evaluates)
    rebuilds()
    assert np.isfinite(model.fit(X, verbose=0).history["loss"]).all()


def test_threads_while_one_trains(model):
    """Inference answers, but on JAX; what would mix up the losses is refused."""
    found = {}

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                for name in ("encode", "evaluate", "fit", "train_on_batch"):
                    call = getattr(self.model, name)
                    found[name] = in_threads(lambda call=call: call(X), number=1)

    history = model.fit(X, batch_size=8, callbacks=[Look()], verbose=0)
    assert np.isfinite(history.history["loss"]).all() and steps(model) == 8
    inference = found.pop("encode")
    assert bool(inference) == (BACKEND == "jax")
    for errors in (*found.values(), *([inference] if inference else [])):
        assert len(errors) == 1 and isinstance(errors[0], RuntimeError)
        assert "Another thread trains this model" in str(errors[0])
    assert np.isfinite(model.evaluate(X, verbose=0)).all()


def test_a_callback_looks_at_pictures_between_two_steps(model):
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(model.reconstruct(X[:4]))
    )
    model.fit(X, batch_size=8, callbacks=[look], shuffle=False, verbose=0)
    assert len(seen) == 8 and np.abs(seen[0] - seen[7]).max() > 0
    np.testing.assert_allclose(model.reconstruct(X[:4]), seen[7], atol=1e-6)
    assert_weights(model, 8)
    assert ops.convert_to_numpy(model.step) == 8
