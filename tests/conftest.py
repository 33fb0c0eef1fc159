"""What the tests share: small models, a NumPy reference, seeds."""

import gc
import os
import zlib

import keras
import numpy as np
import pytest

from tests.support import make_images

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The end-to-end tests run as users run them (tools/checks/testing.py).
DEFAULTS = os.environ.get("KERAS_VAE_TEST_DEFAULTS") == "1"

# PyTorch takes ten turns of twelve: it compiles nothing, and most tests compile for longer than
# they compute.
SHARES = {"torch": 10}

if keras.backend.backend() == "tensorflow" and not DEFAULTS:
    import tensorflow as tf

    # Tests build many graphs and run each a few times, which takes less time than optimising them.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    # The end of an iterator waits for the thread that tunes it, which is mostly asleep.
    untuned, tuned = tf.data.Options(), tf.data.Dataset.__iter__
    untuned.autotune.enabled = False
    tf.data.Dataset.__iter__ = lambda data: tuned(data.with_options(untuned))


def pytest_collection_modifyitems(config, items):
    """Divides the tests marked `turns` among the backends of this run, by their parameters.

    `tools test` names the backends. Without it, as under plain pytest, every test runs.
    """
    backends = os.environ.get("KERAS_VAE_TEST_TURNS", "").split()
    if keras.backend.backend() not in backends:
        return
    mine, others = [], []
    for item in items:
        divided = item.get_closest_marker("turns") and not item.get_closest_marker("once")
        other = divided and turn(item, backends) != keras.backend.backend()
        (others if other else mine).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = mine


def pytest_collection_finish():
    """What is imported stays, so the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


def turn(item, backends):
    """The backend whose turn a test is: the same for all tests of the same parameters."""
    key = item.callspec.id if hasattr(item, "callspec") else item.name
    shares = [backend for backend in backends for _ in range(SHARES.get(backend, 1))]
    return shares[zlib.crc32(key.encode()) % len(shares)]


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def images(rng):
    """Grey pictures with structure: blobs at random places."""
    return make_images(rng, 64)


@pytest.fixture(scope="session")
def conversions():
    from tests.support.conversions import Conversions

    process = Conversions()
    yield process
    process.end()


@pytest.fixture
def one_child(conversions, monkeypatch):
    """Exports of this test share one child process, and are timed briefly."""
    from keras_vae.export import report, route

    monkeypatch.setattr(route, "_child", conversions)
    monkeypatch.setattr(report, "_TIMED_SECONDS", 0.02)


@pytest.fixture
def offline(monkeypatch):
    """`datasets.load` from the packaged digits: splits of 800, 100, 100; and a judge of them
    that has learnt nothing, which it returns."""
    from keras_vae import datasets
    from tools.demo import digits
    from tools.judges import classifier as judges
    from tools.judges import frechet
    from tools.presets import evaluate

    x, y = digits()
    parts = {"train": slice(0, 800), "validation": slice(800, 900), "test": slice(900, 1000)}

    def load(name, split="train", *, limit=None, **kwargs):
        assert name == "mnist"
        return datasets.Data(x[parts[split]][:limit], y[parts[split]][:limit])

    monkeypatch.setattr(datasets, "load", load)
    judge = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    judge.add(keras.layers.Dense(10, activation="softmax"))
    for tool in (judges, evaluate, frechet):
        monkeypatch.setattr(tool, "classifier", lambda data: (judge, 0.5))
    return judge
