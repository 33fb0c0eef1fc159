"""Across backends: the same weights mean the same model, wherever it was saved."""

import importlib.util
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_vae import zoo
from tests.support import ROOT
from tests.support.registry import NO_BOUND, TINY, function
from tests.support.variants import VARIANTS
from tools.checks import testing

BACKENDS = ("tensorflow", "jax", "torch")
# How many weights of a model have no gradient in its first step.
# The couplings of a flow prior start as the identity.
STILL = {"flow_prior_vae": 8}
CHILD = ROOT / "tests/support/backend_child.py"

pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(b) is None for b in BACKENDS),
        reason="needs TensorFlow, JAX and PyTorch",
    ),
]


def child(backend, folder, *tasks, **settings):
    """Does tasks in one process of a backend; returns what it printed."""
    environment = {
        **os.environ,
        **settings,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(ROOT),
    }
    result = subprocess.run(
        [sys.executable, str(CHILD), str(folder), *tasks],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f"{backend} {tasks}:\n{result.stderr[-3000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of what each backend makes of presets, compiled as users compile them."""
    folder = tmp_path_factory.mktemp("backends")
    for backend in BACKENDS:
        child(backend, folder, "save", "samples")
    return folder


@pytest.fixture(scope="module")
def loaded(saved):
    """What each backend prints of the models that all have saved, in rows of words."""
    # Programs that run a few times: what XLA optimises is not earned back.
    output = {
        b: child(b, saved, "load", "load_vq", "terms", **testing.QUICK.get(b, {})) for b in BACKENDS
    }
    return {b: [line.split() for line in text.splitlines()] for b, text in output.items()}


@pytest.mark.parametrize("name", zoo.list_models())
@pytest.mark.parametrize("a, b", itertools.combinations(BACKENDS, 2))
def test_presets_agree(saved, name, a, b):
    """Codes, decoded means, samples and edits: of 256 digits, or of golden pictures."""
    with np.load(saved / f"{a}.npz") as first, np.load(saved / f"{b}.npz") as second:
        whats = ["encode", "decode", "sample", *["edit"] * (f"{name}.edit" in first)]
        for what in whats:
            left, right = first[f"{name}.{what}"], second[f"{name}.{what}"]
            assert left.shape == right.shape and np.abs(left).max() > 0
            if left.dtype.kind == "i":
                # Between two codes that are equally near the last bit decides.
                other = left != right
                assert other.mean() <= 1e-3 and (first[f"{name}.gap"][other] < 1e-4).all()
            else:
                difference = np.abs(left - right).max()
                if (name, what) == ("mnist_planar", "encode") and 1e-5 < difference < 1.5e-5:
                    pytest.xfail(f"ten planar flows of codes up to 3.4: {difference:.2e} apart")
                assert difference <= 1e-5
        np.testing.assert_allclose(first[f"{name}.bound"], second[f"{name}.bound"], rtol=1e-5)


@pytest.fixture(scope="module")
def terms(saved, loaded):
    return {b: dict(np.load(saved / f"{b}_terms.npz")) for b in BACKENDS}


@pytest.mark.parametrize("name", sorted(TINY | VARIANTS))
def test_every_term_agrees(terms, name):
    """Of the same weights and the same noise, 1e-5 of each term of each example."""
    first, *others = (
        {k: v for k, v in terms[b].items() if k.startswith((f"{name}.training.", f"{name}.eval"))}
        for b in BACKENDS
    )
    assert {key.split(".")[1] for key in first} == {"training", "evaluation"}
    for other in others:
        assert set(first) == set(other)
        for key in first:
            assert first[key].shape == (15,) and np.isfinite(first[key]).all()
            np.testing.assert_allclose(other[key], first[key], rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", sorted(TINY | VARIANTS))
def test_inference_agrees(terms, name):
    """Codes, pictures and the bound of the same weights."""
    first, *others = (
        {k: v for k, v in terms[b].items() if k.startswith(f"{name}.inference.")} for b in BACKENDS
    )
    wanted = {"codes", "pictures"} | (set() if function(name) in NO_BOUND else {"bound"})
    assert wanted <= {key.split(".")[-1] for key in first}
    for other in others:
        assert set(first) == set(other)
        for key in first:
            np.testing.assert_allclose(other[key], first[key], rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", sorted(TINY | VARIANTS))
def test_one_step_of_training_agrees(terms, name):
    """Of the same weights and the same noise: what `fit` logs, and the gradient of each weight.

    Each model learns on one backend (models/papers/test_papers.py). By this it learns on all.
    """
    first, *others = (
        {k: v for k, v in terms[b].items() if k.startswith(f"{name}.step.")} for b in BACKENDS
    )
    gradients = {key: value for key, value in first.items() if "gradient" in key}
    assert all(np.isfinite(value).all() for value in first.values())
    assert f"{name}.step.log loss" in first
    # None is 0 for each of its weights, but where that is the mathematics.
    still = [key for key, value in gradients.items() if np.abs(value).max() < 1e-7]
    assert len(still) <= STILL.get(name, 0), still
    for other in others:
        assert set(first) == set(other)
        for key in set(first) - set(gradients):
            np.testing.assert_allclose(other[key], first[key], rtol=1e-5, atol=1e-5, err_msg=key)
        for key, value in gradients.items():
            # A gradient is the difference of weights, of up to about 1, before and after.
            scale = 1.0 + np.abs(value).max()
            np.testing.assert_allclose(other[key], value, rtol=1e-4, atol=3e-6 * scale, err_msg=key)


def test_samples_of_learned_priors_agree(saved):
    """The same seed draws the same components, codes, labels and pictures."""
    first, *others = (dict(np.load(saved / f"{b}_samples.npz")) for b in BACKENDS)
    assert len(first) == 11
    for key, values in first.items():
        assert np.std(values, axis=0).max() > 1e-4, key
        for other in others:
            np.testing.assert_allclose(other[key], values, rtol=1e-5, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_move_to_every_other_backend_and_training_goes_on(loaded, backend):
    rows = [row[1:] for row in loaded[backend] if row[:1] == ["weights:"]]
    assert {row[1] for row in rows} == {backend}
    assert {(row[0], row[2]) for row in rows} == set(
        itertools.product(BACKENDS, ("keras", "weights", "preset"))
    )
    for row in rows:
        difference, before, after = map(float, row[3:])
        assert difference <= 1e-5, row
        assert after < before, row


@pytest.mark.parametrize("backend", BACKENDS)
def test_codes_move_to_every_other_backend_and_training_goes_on(loaded, backend):
    rows = [row[1:] for row in loaded[backend] if row[:1] == ["codes:"]]
    assert [row[0] for row in rows] == [b for b in BACKENDS for _ in range(2)]
    for row in rows:
        equal, same, difference, bound, before, after = map(float, row[2:])
        assert equal and same, row
        assert difference <= 1e-5 and bound <= 1e-5, row
        assert after < before, row
