"""Models of counts, of heavy tails and of grey levels as files: decoders give means of data."""

import importlib.util

import numpy as np
import pytest

from keras_vae import export, likelihoods, models
from keras_vae.export import report as reports
from keras_vae.export import route

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("needs TensorFlow", allow_module_level=True)
litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
pytestmark = [pytest.mark.slow, pytest.mark.turns]


@pytest.mark.parametrize(
    "name",
    [
        "categorical",
        "discretised_logistic_mixture",
        "negative_binomial",
        "poisson",
        "student_t",
        "zero_inflated_negative_binomial",
        "zero_inflated_poisson",
    ],
)
def test_the_decoder_of_the_file_gives_means(name, tmp_path, conversions, monkeypatch, rng):
    monkeypatch.setattr(reports, "_TIMED_SECONDS", 0.02)
    monkeypatch.setattr(route, "_child", conversions)
    model = models.vae((6,), 2, units=(5,), likelihood=name, seed=0)
    path = tmp_path / "model.tflite"
    # Without `data`: samples of the model itself, which are counts of a model of counts.
    export.tflite(model, path, verbose=False)
    z = rng.normal(size=(1, 2)).astype("float32")
    decode = litert.Interpreter(str(path)).get_signature_runner("decode")
    (found,) = decode(z=z).values()
    assert found.shape == (1, 6)
    np.testing.assert_allclose(found, model.decode(z), rtol=1e-5, atol=1e-6)


def test_masked_convolutions_are_a_decoder_of_means(tmp_path, conversions, monkeypatch, rng):
    """Draws go pixel by pixel, in Python: files have the means given the code alone."""
    monkeypatch.setattr(reports, "_TIMED_SECONDS", 0.02)
    monkeypatch.setattr(route, "_child", conversions)
    layer = likelihoods.MaskedConvolutions(3, 4, before=1, after=1, seed=0)
    model = models.vae((8, 8, 1), 2, "conv", units=(4,), likelihood=layer, seed=0)
    path = tmp_path / "model.tflite"
    x = rng.integers(0, 2, (4, 8, 8, 1)).astype("float32")
    export.tflite(model, path, data=x, verbose=False)
    z = rng.normal(size=(1, 2)).astype("float32")
    decode = litert.Interpreter(str(path)).get_signature_runner("decode")
    (found,) = decode(z=z).values()
    np.testing.assert_allclose(found, model.decode(z), rtol=1e-5, atol=1e-6)


def test_a_file_of_a_table_takes_and_gives_rows_of_its_matrix(tmp_path, conversions, monkeypatch):
    """What `encode` makes of a table goes in; means and probabilities of categories come out."""
    monkeypatch.setattr(reports, "_TIMED_SECONDS", 0.02)
    monkeypatch.setattr(route, "_child", conversions)
    rng = np.random.default_rng(0)
    table = {
        "age": rng.integers(18, 80, 32),
        "city": np.array(["Lima", "Madrid"])[rng.integers(0, 2, 32)],
        "height": rng.normal(1.7, 0.1, 32),
        "smoker": rng.random(32) < 0.4,
    }
    columns = likelihoods.Columns.of(table)
    model = models.vae(columns.shape, 2, units=(5,), likelihood=columns, seed=0)
    path = tmp_path / "model.tflite"
    # Without `data`: samples of the model itself, which are a table.
    export.tflite(model, path, verbose=False)
    interpreter = litert.Interpreter(str(path))
    x = columns.encode(table)[:1]
    (found,) = interpreter.get_signature_runner("reconstruct")(data=x).values()
    np.testing.assert_allclose(found, model.reconstruct(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[:, 1:3].sum(), 1.0, rtol=1e-5)
    rows, given = columns.decode(found), columns.decode(model.reconstruct(x))
    assert rows["city"] == given["city"] and rows["age"].dtype == table["age"].dtype
    z = rng.normal(size=(1, 2)).astype("float32")
    (decoded,) = interpreter.get_signature_runner("decode")(z=z).values()
    np.testing.assert_allclose(decoded, model.decode(z), rtol=1e-5, atol=1e-5)
