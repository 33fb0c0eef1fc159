"""An LSTM-VAE of series of different lengths, from data to a file for phones."""

import importlib.util

import keras
import numpy as np
import pytest

from keras_vae import export, likelihoods, models, zoo
from keras_vae.export import report as reports
from keras_vae.export import route

pytestmark = [pytest.mark.slow, pytest.mark.turns]
STEPS = 10


@pytest.fixture(scope="module")
def series():
    """Waves of one period and random phases, of 5 to 10 steps, one of two features."""
    rng = np.random.default_rng(0)
    found = []
    for length in rng.integers(5, STEPS + 1, 128):
        angle = 2 * np.pi * (np.arange(length) / STEPS + rng.random())
        wave = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
        found.append(wave + 0.05 * rng.normal(size=wave.shape))
    return found


@pytest.fixture(scope="module")
def trained(series):
    keras.utils.set_random_seed(0)
    model = models.miwae(
        (STEPS, 2),
        2,
        "recurrent",
        cell="lstm",
        units=(16,),
        likelihood=likelihoods.Normal(data_range=None),
        samples=2,
        seed=0,
    )
    x = models.pad_series(series, STEPS)
    model.compile(keras.optimizers.Adam(0.02))
    history = model.fit(x, batch_size=32, epochs=40, verbose=0).history
    return model, x, history


def test_it_learns_and_fills_in(trained, series):
    model, x, history = trained
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    holes = x.copy()
    holes[:, 2] = np.nan
    filled = model.impute(holes, samples=20, verbose=False)
    assert filled.shape == x.shape and np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[:, 3:5], x[:, 3:5])
    error = np.sqrt(np.mean((filled[:, 2] - x[:, 2]) ** 2))
    # Features have a standard deviation of 0.7.
    assert error < 0.4
    # Codes depend on what is there, and not on how far it is filled up.
    short = [one[:5] for one in series[:4]]
    codes = model.encode(models.pad_series(short, STEPS))
    cut = x[:4].copy()
    cut[:, 5:] = np.nan
    np.testing.assert_array_equal(codes, model.encode(cut))


def test_it_scores(trained, rng):
    model, x, _ = trained
    scores = model.log_likelihood(x[:32], samples=50, verbose=False)
    strange = np.where(np.isnan(x[:32]), np.nan, rng.normal(size=(32, STEPS, 2))).astype("float32")
    others = model.log_likelihood(strange, samples=50, verbose=False)
    known = np.isfinite(x[:32]).sum((1, 2))
    assert np.median(scores / known) > np.median(others / known) + 1.0
    nothing = np.full((1, STEPS, 2), np.nan, "float32")
    assert np.isfinite(model.encode(nothing)).all()


def test_it_is_saved(trained, tmp_path):
    model, x, _ = trained
    model.save(tmp_path / "model.keras")
    zoo.save(model, tmp_path / "preset")
    loaded = keras.saving.load_model(tmp_path / "model.keras"), zoo.load(tmp_path / "preset")
    for other in loaded:
        np.testing.assert_allclose(other.encode(x[:4]), model.encode(x[:4]), atol=1e-6)


def test_it_goes_to_a_phone(trained, tmp_path, conversions, monkeypatch):
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs TensorFlow")
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    monkeypatch.setattr(reports, "_TIMED_SECONDS", 0.02)
    monkeypatch.setattr(route, "_child", conversions)
    model, x, _ = trained
    path = tmp_path / "model.tflite"
    export.tflite(model, path, data=x[:16], verbose=False)
    interpreter = litert.Interpreter(str(path))
    encode = interpreter.get_signature_runner("encode")
    (name,) = encode.get_input_details()
    for i in range(4):
        found = encode(**{name: x[i : i + 1]})["mean"]
        np.testing.assert_allclose(found, model.encode(x[i : i + 1]), atol=1e-4)
    z = model.encode(x[:1])
    (decoded,) = interpreter.get_signature_runner("decode")(z=z).values()
    np.testing.assert_allclose(decoded, model.decode(z), atol=1e-4)
