"""What users run, from end to end, with every optimisation on that a compiler has.

The rest of the suite switches some of them off to save time (tools/checks/testing.py). These
tests run in a process of their own, in which nothing is switched off.
"""

import json
import os

import keras
import numpy as np
import pytest

from keras_vae import export, models, zoo
from keras_vae.export import report as reports
from tools.checks import testing
from tools.demo import digits

pytestmark = [pytest.mark.defaults, pytest.mark.slow]

BACKEND = keras.backend.backend()


def test_nothing_is_switched_off():
    """By the suite's own process; plain pytest runs this file with the rest's settings."""
    if os.environ.get(testing.SWITCH) != "1":
        pytest.skip("runs in the process of `tools test` for these tests")
    for settings in testing.QUICK.values():
        assert not set(settings) & set(os.environ)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        assert not any(tf.config.optimizer.get_experimental_options().values())
        assert tf.data.Dataset.__iter__.__module__.startswith("tensorflow.")
    if BACKEND == "jax":
        import jax

        assert not jax.config.read("jax_disable_most_optimizations")


@pytest.mark.parametrize("name", ["mnist_conv", "mnist_cvae"])
def test_a_preset_reproduces_its_golden_values(name):
    name = name if name in zoo.list_models() else zoo.list_models("mnist_*")[0]
    model = zoo.load(name)
    with np.load(zoo.folder(name) / "golden.npz") as golden:
        x, z, y = golden["x"], golden["z"], golden.get("condition")
        np.testing.assert_allclose(model.posterior(x, y).center, golden["mean"], atol=1e-5)
        np.testing.assert_allclose(model.decode(z, y), golden["decoded"], atol=1e-5)
        np.testing.assert_allclose(model.reconstruct(x, y), golden["reconstructed"], atol=1e-5)
        bound = model.log_likelihood(x, 10, y, seed=0, verbose=False)
        np.testing.assert_allclose(bound, golden["log_likelihood"], rtol=1e-5)


@pytest.fixture(scope="module")
def fitted():
    """A model after some epochs on the fast path and some on Keras' own, and what it logged."""
    x, y = digits()
    model = models.cvae((28, 28, 1), 4, "conv", units=(4, 8), num_classes=10, seed=0)
    model.compile(keras.optimizers.Adam(5e-3))
    validation = (x[512:640], y[512:640])
    histories = [
        model.fit(
            *(x[:512], y[:512]),
            **{"batch_size": 64, "epochs": 4, "fast": fast, "verbose": 0},
            validation_data=validation,
        ).history
        for fast in (True, False)
    ]
    return model, histories, validation


def test_fit_fast_and_slow_learns(fitted):
    model, (fast, slow), validation = fitted
    assert int(keras.ops.convert_to_numpy(model.step)) == 8 * 8
    for history in (fast, slow):
        assert set(history) == {
            f"{split}{term}"
            for split in ("", "val_")
            for term in ("loss", "reconstruction_loss", "kl_loss")
        }
        assert np.isfinite([*history.values()]).all()
    assert fast["loss"][-1] < 0.95 * fast["loss"][0]
    assert slow["loss"][-1] < min(0.8 * fast["loss"][0], fast["loss"][-1])
    assert slow["val_loss"][-1] < fast["val_loss"][0]


def test_fast_and_slow_take_the_same_steps():
    """From the same weights and noise: the same losses to rounding."""
    x, _ = digits()
    losses = []
    for fast in (True, False):
        model = models.vae((28, 28, 1), 3, units=(32,), seed=0)
        history = model.fit(
            x[:320], batch_size=32, epochs=2, shuffle=False, fast=fast, verbose=0
        ).history
        losses.append(history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_evaluate_is_the_mean_over_examples(fitted):
    model, _, (x, y) = fitted
    logs = model.evaluate(x, y, batch_size=48, verbose=0, return_dict=True)
    kl = model.posterior(x, y).kl(model.prior)
    assert logs["kl_loss"] == pytest.approx(kl.mean(), rel=1e-4)
    assert logs["loss"] == pytest.approx(logs["reconstruction_loss"] + logs["kl_loss"], rel=1e-5)
    assert model.log_likelihood(x, 50, y, verbose=False).mean() > -logs["loss"]


def test_saved_and_loaded_it_goes_on(fitted, tmp_path):
    model, _, (x, y) = fitted
    expected = model.reconstruct(x, y)
    drawn = model.sample(5, condition=3, seed=1)
    model.save(tmp_path / "m.keras")
    zoo.save(model, tmp_path / "preset", golden=(x[:4], y[:4]))
    for loaded in (keras.saving.load_model(tmp_path / "m.keras"), zoo.load(tmp_path / "preset")):
        np.testing.assert_array_equal(loaded.reconstruct(x, y), expected)
        np.testing.assert_array_equal(loaded.sample(5, condition=3, seed=1), drawn)
        before = loaded.evaluate(x, y, verbose=0, return_dict=True)["loss"]
        loaded.fit(x, y, batch_size=32, epochs=3, verbose=0)
        after = loaded.evaluate(x, y, verbose=0, return_dict=True)["loss"]
        assert after < before


def test_codes_of_a_quantized_model():
    x, _ = digits()
    model = models.vq_vae((28, 28, 1), 4, "conv", (4, 8), num_codes=16, prior_depth=1, seed=0)
    losses = model.fit(x[:256], batch_size=64, epochs=4, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    codes = model.encode(x[:32])
    assert codes.dtype.kind == "i" and codes.min() >= 0 and codes.max() < 16
    np.testing.assert_allclose(model.decode(codes), model.reconstruct(x[:32]), atol=1e-5)
    assert np.isfinite(model.log_likelihood(x[:32])).all()


def test_an_exported_file_answers_as_the_model_does(fitted, tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setattr(reports, "_TIMED_SECONDS", 0.02)
    model, _, (x, y) = fitted
    path = tmp_path / "m.tflite"
    report = export.tflite(
        model, path, data=(x[:32], y[:32]), signatures=["encode", "decode"], verbose=False
    )
    assert json.loads(path.with_name("m.tflite.json").read_text())["sha256"] == report["sha256"]
    errors = [row["scaled_error"] for row in report["parity"]["outputs"]]
    assert errors and max(errors) <= 1e-5
