"""PyTorch: recorded steps do what the steps do, and are replayed only then."""

import keras
import numpy as np
import pytest

from keras_vae import models
from tests.support import SHAPE, array, make_images
from tests.support.registry import TINY, data, make

if keras.backend.backend() != "torch":
    pytest.skip("Of PyTorch.", allow_module_level=True)

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from keras_vae.training import torch_replay

STEPS = 6
# PyTorch's `one_hot` reads the numbers of its argument.
READS = {"sparse_autoencoder"}


def trained(model, x, y, recording, monkeypatch, epochs=2):
    """Logs of every epoch and all variables after `fit`, and the replays that were tested."""
    tested = []
    with monkeypatch.context() as patch:
        if recording:
            agrees = torch_replay.Replay.agrees

            def watched(replay, *args):
                logs, same = agrees(replay, *args)
                tested.append(same)
                return logs, same

            patch.setattr(torch_replay.Replay, "agrees", watched)
        else:
            patch.setattr(torch_replay, "record", lambda step, arrays: (step(arrays), None))
        keras.utils.set_random_seed(3)
        history = model.fit(x, y, batch_size=4, epochs=epochs, verbose=0, fast=True)
    variables = [*model.variables, *model.optimizer.variables]
    return history.history, [array(v) for v in variables], tested


def assert_equal(one, other):
    assert list(one[0]) == list(other[0])
    for name, values in one[0].items():
        np.testing.assert_array_equal(values, other[0][name], err_msg=name)
    for value, expected in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("network", ["dense", "conv"])
@pytest.mark.parametrize("kind", TINY)
def test_every_model_is_recorded_and_trains_to_the_same_bits(kind, network, monkeypatch):
    if network == "conv" and ":" in kind:
        pytest.skip("One kind of a function is enough.")
    runs = []
    for recording in (True, False):
        keras.utils.set_random_seed(0)
        model = make(kind, network)
        x, y = data(kind, 4 * STEPS + 1)
        runs.append(trained(model, x, y, recording, monkeypatch))
    assert runs[0][2] == ([] if kind in READS else [True])
    assert_equal(*runs)


def test_codebooks_and_their_revival(monkeypatch):
    runs = []
    for recording in (True, False):
        model = models.vq_vae(SHAPE, 2, "conv", (4, 8), num_codes=8, prior_channels=4, seed=0)
        x = make_images(np.random.default_rng(0), 4 * STEPS)
        runs.append(trained(model, x, None, recording, monkeypatch, epochs=3))
    assert_equal(*runs)


def layered(*layers):
    """A VAE whose encoder has these layers too."""
    plain = models.vae(SHAPE, 2, units=(4,), seed=0)
    encoder = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), *layers])
    return models.VAE(encoder, plain.decoder, plain.posterior_layer, seed=0)


class Reads(keras.layers.Layer):
    """Branches on a number of the batch."""

    def call(self, x):
        return x * 2 if float(x.detach().sum()) > 20 else x


class Counts(keras.layers.Layer):
    """Changes at each call without an operator."""

    calls = 0

    def call(self, x):
        self.calls += 1
        return x * (1 + self.calls % 3)


class DrawsFromTheGlobalGenerator(keras.layers.Layer):
    def call(self, x):
        return x + torch.randn(x.shape)


@pytest.mark.parametrize(
    "layer, tested",
    [
        (lambda: keras.layers.Dropout(0.5, seed=1), [True]),
        (lambda: keras.layers.BatchNormalization(), [True]),
        (Reads, []),
        (Counts, [False]),
        (DrawsFromTheGlobalGenerator, []),
    ],
)
def test_only_steps_that_repeat_are_replayed(layer, tested, monkeypatch):
    runs, x = [], make_images(np.random.default_rng(0), 4 * STEPS)
    for recording in (True, False):
        model = layered(layer(), keras.layers.Dense(4, kernel_initializer="ones"))
        torch.manual_seed(0)
        runs.append(trained(model, x, None, recording, monkeypatch))
    assert runs[0][2] == tested
    if layer is Counts:
        # Testing the replay is one more call.
        return
    assert_equal(*runs)


def test_what_was_changed_between_two_fits_is_seen(monkeypatch):
    x, runs = make_images(np.random.default_rng(0), 4 * STEPS), []
    for recording in (True, False):
        model = models.beta_vae(SHAPE, 2, units=(4,), beta=1.0, seed=0)
        trained(model, x, None, recording, monkeypatch)
        model.objective.beta = 50.0
        runs.append(trained(model, x, None, recording, monkeypatch))
    # The old recording is dropped; the first comparison is that of the new one.
    assert runs[0][2] == [True]
    assert_equal(*runs)


def test_a_new_learning_rate_is_used(monkeypatch):
    x, runs = make_images(np.random.default_rng(0), 4 * STEPS), []
    for recording in (True, False):
        model = models.vae(SHAPE, 2, units=(4,), seed=0)
        trained(model, x, None, recording, monkeypatch)
        model.optimizer.learning_rate = 0.5
        runs.append(trained(model, x, None, recording, monkeypatch))
    assert runs[0][2] == [True]
    assert_equal(*runs)


@pytest.mark.parametrize("kind", TINY)
def test_inference_is_replayed_and_follows_the_weights(kind, monkeypatch):
    model = make(kind)
    x, y = data(kind, 3)
    used, call = [], torch_replay.Replay.__call__
    monkeypatch.setattr(
        torch_replay.Replay, "__call__", lambda *args: (used.append(1), call(*args))[1]
    )
    first, second, third = (model.reconstruct(x, y) for _ in range(3))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    # The second call tested the replay, the third was one.
    replays = 0 if kind in READS else 2
    assert len(used) == replays
    model.set_weights([0.5 * w if w.dtype == "float32" else w for w in model.get_weights()])
    changed = model.reconstruct(x, y)
    assert len(used) == replays + bool(replays) and np.abs(changed - first).max() > 1e-4
    again = make(kind)
    again.set_weights(model.get_weights())
    monkeypatch.setattr(torch_replay, "record", lambda step, arrays: (step(arrays), None))
    np.testing.assert_array_equal(again.reconstruct(x, y), changed)


def test_inference_takes_arrays_as_they_lie_in_memory():
    model = models.vae(SHAPE, 2, network="conv", units=(4,), hidden=0, seed=0)
    x = make_images(np.random.default_rng(0), 8)
    expected = [model.encode(x[i : i + 1]) for i in range(8)]
    turned = np.asfortranarray(x)
    for _ in range(3):
        np.testing.assert_allclose(model.encode(x), np.concatenate(expected), atol=1e-6)
        np.testing.assert_allclose(model.encode(turned), np.concatenate(expected), atol=1e-6)
        np.testing.assert_allclose(model.encode(x[::2]), np.concatenate(expected[::2]), atol=1e-6)


def test_a_replay_frees_what_it_no_longer_needs():
    """Of 30 large intermediates only a few are there at once."""
    weak, alive = [], []

    def step(arrays):
        x = arrays[0]
        for _ in range(30):
            x = torch.exp(-x)
        return {"x": x.sum()}

    x = torch.ones(3)
    logs, replay = torch_replay.record(step, (x,))

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
            out = operator(*args, **(kwargs or {}))
            if operator is torch.ops.aten.exp.default:
                weak.append(out.untyped_storage()._weak_ref())
                alive.append(sum(not torch.UntypedStorage._expired(w) for w in weak))
            return out

    with Count():
        assert float(replay((x,))["x"]) == float(logs["x"])
    assert len(alive) == 30 and max(alive) <= 3
