"""Models of series and volumes as files."""

import importlib.util

import numpy as np
import pytest

from keras_vae import export, models
from keras_vae.export import report as reports
from keras_vae.export import route

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("needs TensorFlow", allow_module_level=True)
litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
pytestmark = [pytest.mark.slow, pytest.mark.turns]


@pytest.mark.parametrize("shape", [(12, 2), (4, 4, 6, 1)])
@pytest.mark.parametrize("stages", ["blocks", "strided"])
def test_convolutions_of_one_and_of_three_axes(
    shape, stages, tmp_path, conversions, monkeypatch, rng
):
    monkeypatch.setattr(reports, "_TIMED_SECONDS", 0.02)
    monkeypatch.setattr(route, "_child", conversions)
    model = models.vae(shape, 2, "conv", units=(4, 4), hidden=4, stages=stages, seed=0)
    x = rng.random((4, *shape), "float32")
    path = tmp_path / "model.tflite"
    export.tflite(model, path, data=x, verbose=False)
    rebuilt = litert.Interpreter(str(path)).get_signature_runner("reconstruct")
    (name,) = rebuilt.get_input_details()
    (found,) = rebuilt(**{name: x[:1]}).values()
    np.testing.assert_allclose(found, model.reconstruct(x[:1]), atol=1e-5)
