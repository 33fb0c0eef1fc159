"""Samples of priors that are trained after the model leave with it."""

import importlib.util

import numpy as np
import pytest

from keras_vae import export, models, priors
from tests.support import SHAPE
from tests.support.quantized import shaken, tiny

pytestmark = [pytest.mark.slow, pytest.mark.turns, pytest.mark.usefixtures("one_child")]
if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("needs TensorFlow", allow_module_level=True)
litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")


def sampled(path, **inputs):
    """What the file's `sample` gives, one example after the other."""
    runner = litert.Interpreter(str(path)).get_signature_runner("sample")
    rows = [
        runner(**{name: value[i : i + 1] for name, value in inputs.items()})["image"]
        for i in range(len(inputs["noise"]))
    ]
    return np.concatenate(rows)


def test_flow_matching(tmp_path):
    model = models.cvae(SHAPE, 2, units=(8,), condition_dim=2, seed=0)
    model.prior = priors.FlowMatching(2, 2, 8, 1, steps=3, seed=0)
    rng = np.random.default_rng(2)
    for variable in model.prior.field.weights:
        variable.assign(0.3 * rng.standard_normal(variable.shape))
    export.tflite(model, tmp_path / "m.tflite", verbose=False)
    y = rng.random((5, 2)).astype("float32")
    noise = np.random.default_rng(1).standard_normal((5, 2), "float32")
    found = sampled(tmp_path / "m.tflite", noise=noise, condition=y)
    np.testing.assert_allclose(found, model.sample(5, y, seed=1), atol=1e-5)
    assert found.std(axis=0).max() > 1e-3
    # The calibration of the converter ends the process at a loop.
    pair = rng.random((4, *SHAPE)).astype("float32"), y[:4]
    refused = r"signatures=\('encode', 'decode', 'reconstruct'\).*'sample' and 'transport'$"
    with pytest.raises(ValueError, match=refused):
        export.tflite(model, tmp_path / "8.tflite", "int8", pair, verbose=False)


def test_masked_transformer(tmp_path):
    model = tiny(num_classes=3)
    model.prior = priors.MaskedTransformer(16, (2, 2), 3, 8, 1, 2, 3, seed=0)
    model = shaken(model)
    export.tflite(model, tmp_path / "m.tflite", verbose=False)
    noise = np.random.default_rng(1).gumbel(size=(5, *model.prior.noise_shape)).astype("float32")
    labels = np.array([0, 1, 2, 1, 0], "int32")
    found = sampled(tmp_path / "m.tflite", noise=noise, condition=labels)
    np.testing.assert_allclose(found, model.sample(5, labels, seed=1), atol=1e-5)
