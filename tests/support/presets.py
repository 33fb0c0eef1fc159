"""Shared by tests: IMAGES, LABELS, VARIANTS, tiny, sha256, rewrite, same_weights, function_code."""

import hashlib
import json

import numpy as np

from keras_vae import likelihoods, models
from tests.support import SHAPE, make_images

IMAGES = make_images(np.random.default_rng(1), 6)


LABELS = np.arange(6) % 3


VARIANTS = {
    "bernoulli": lambda: "bernoulli",
    "dynamic": lambda: "dynamic_bernoulli",
    "learned": lambda: "normal",
    "optimal": lambda: likelihoods.Normal("optimal"),
}


def tiny(kind="vae", network="dense", likelihood="bernoulli", units=(4,), **options):
    """A small model in which no weight has the value it was initialised with."""
    if kind == "cvae":
        options = {"num_classes": 3, **options}
    if network != "dense":
        options = {"hidden": 4, **options}
    likelihood = VARIANTS[likelihood]()
    make = getattr(models, kind)
    options = {"seed": 0, **options}
    model = make(SHAPE, 2, network, units=units, likelihood=likelihood, **options)
    rng = np.random.default_rng(2)
    values = [
        np.int32(7) if variable is model.step else value + rng.normal(0, 0.1, value.shape)
        for variable, value in zip(model.weights, model.get_weights())
    ]
    model.set_weights(values)
    return model


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rewrite(folder, file, content):
    """Puts other content into a preset, with the hash that belongs to it."""
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["sha256"][file] = sha256(folder / file)
    (folder / "metadata.json").write_text(json.dumps(metadata))


def same_weights(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)


def function_code(canary):
    """A function that creates a file, as Keras writes a lambda down."""
    from keras.src.utils.python_utils import func_dump

    return func_dump(eval(f"lambda x: open({str(canary)!r}, 'w').close() or x"))[0]
