"""What the tests share: small models, a NumPy reference, seeds."""

import os
import zlib

import keras
import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The end-to-end tests run as users run them (tools/checks/testing.py).
DEFAULTS = os.environ.get("KERAS_VAE_TEST_DEFAULTS") == "1"

if keras.backend.backend() == "tensorflow" and not DEFAULTS:
    import tensorflow as tf

    # Tests build many graphs and run each a few times, which takes less time than optimising them.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    # The end of an iterator waits for the thread that tunes it, which is mostly asleep.
    untuned, tuned = tf.data.Options(), tf.data.Dataset.__iter__
    untuned.autotune.enabled = False
    tf.data.Dataset.__iter__ = lambda data: tuned(data.with_options(untuned))

SHAPE = (8, 8, 1)


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


def turn(item, backends):
    """The backend whose turn a test is: the same for all tests of the same parameters."""
    key = item.callspec.id if hasattr(item, "callspec") else item.name
    return backends[zlib.crc32(key.encode()) % len(backends)]


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


def make_images(rng, n, shape=SHAPE):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    centre = rng.uniform(1, shape[0] - 2, (n, 2, 1, 1))
    squared = (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2
    blobs = np.exp(-squared / 4.0)[..., None]
    return np.repeat(blobs, shape[2], axis=-1).astype("float32")


def array(tensor):
    """A tensor of any backend as NumPy, float64 where it is a number."""
    return keras.ops.convert_to_numpy(tensor).astype("float64")
