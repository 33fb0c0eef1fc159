"""VQ-VAEs of every quantizer: training, files, exports, what is refused."""

import keras
import numpy as np
import pytest

from keras_vae import export, models, posteriors, quantizers, testing, zoo
from tests.support import SHAPE, make_images
from tests.support.quantizers import TINY


def tiny(quantizer, **options):
    options = {"network": "conv", "units": (4, 8), "prior_channels": 6, "prior_depth": 1, **options}
    return models.vq_vae(SHAPE, quantizer=quantizer, seed=0, likelihood="bernoulli", **options)


@pytest.mark.turns
@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_it_learns(images, name):
    quantizer = TINY[name]()
    model = tiny(quantizer)
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(images, epochs=10, batch_size=16, verbose=0).history
    assert set(history) == {"loss", *model.objective.terms}
    assert history["reconstruction_loss"][-1] < 0.9 * history["reconstruction_loss"][0]
    assert history["loss"][-1] < history["loss"][0]
    shape = (2, 2 * quantizer.codes_per_position)
    codes = model.encode(images)
    assert model.code_shape == shape and codes.shape == (64, *shape)
    assert model.encoder.output_shape == (None, 2, 2, quantizer.latent_dim)
    np.testing.assert_allclose(model.decode(codes), model.reconstruct(images), atol=1e-6)
    assert model.sample(2, seed=0).shape == (2, *SHAPE)
    assert np.isfinite(model.code_log_prob(images)).all()
    np.testing.assert_array_equal(model.encoder_model().predict(images, verbose=0), codes)
    decoded = model.decoder_model().predict(codes, verbose=0)
    np.testing.assert_allclose(decoded, model.decode(codes), atol=1e-6)


@pytest.mark.slow
@pytest.mark.turns
@pytest.mark.parametrize("name", TINY)
def test_it_keeps_what_all_models_keep(name):
    """Saving, presets, batches of one, the same seed, ..."""
    testing.check_model(tiny(TINY[name]()))


@pytest.mark.turns
@pytest.mark.parametrize("name", TINY)
def test_a_preset_of_it_loads_untrusted(name, images, tmp_path):
    model = tiny(TINY[name]())
    path = zoo.save(model, tmp_path / "preset", golden=(images[:4],))
    loaded = zoo.load(path)
    np.testing.assert_array_equal(loaded.encode(images), model.encode(images))


# Those whose graphs differ from that of another one.
EXPORTED = sorted(TINY.keys() - {"vector", "rotation", "learned", "residual_kmeans"})


@pytest.mark.slow
@pytest.mark.turns
@pytest.mark.parametrize("name", EXPORTED)
def test_the_exported_file_agrees(name, tmp_path, one_child):
    """`tflite` itself compares codes and pictures of all data with the model's."""
    model = tiny(TINY[name]())
    x = make_images(np.random.default_rng(0), 32)
    report = export.tflite(model, tmp_path / "m.tflite", data=x, verbose=False)
    agrees(report, model)


@pytest.mark.slow
@pytest.mark.turns
@pytest.mark.parametrize("format", ["saved_model", "onnx"])
@pytest.mark.parametrize("name", ["finite_scalar", "spherical", "nested"])
def test_the_other_formats_agree(name, format, tmp_path, one_child):
    if format == "onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    model = tiny(TINY[name]())
    x = make_images(np.random.default_rng(0), 32)
    agrees(getattr(export, format)(model, tmp_path / "m", data=x, verbose=False), model)


def agrees(report, model):
    assert set(report["signatures"]) == {"encode", "decode", "reconstruct"}
    codes = report["signatures"]["encode"]["outputs"]["codes"]
    assert tuple(codes["shape"][1:]) == model.code_shape
    rows = {row["signature"]: row for row in report["parity"]["outputs"]}
    # Rounding may choose another code near a border.
    assert rows["encode"]["changed"] <= 0.02
    assert rows["decode"]["max_error"] < 1e-5


def test_the_codebook_is_that_of_one_code_per_position():
    model = tiny(quantizers.FiniteScalar([5, 4, 3]))
    assert model.codebook.shape == (60, 3)
    with pytest.raises(ValueError, match=r"use `model.quantizer.lookup\(codes\)`"):
        _ = tiny(TINY["residual"]()).codebook


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"quantizer": "fsq"}, "must be one of `keras_vae.quantizers`.*'fsq'"),
        ({"quantizer": quantizers.FiniteScalar}, "must be one of `keras_vae.quantizers`"),
        ({"num_codes": 8}, "num_codes are the quantizer's own.*num_codes=60.*'num_codes': 8"),
        ({"latent_dim": 8, "decay": 0.5}, "latent_dim, decay are the quantizer's own"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, match):
    arguments = {"quantizer": quantizers.FiniteScalar([5, 4, 3]), **arguments}
    with pytest.raises(ValueError, match=match):
        tiny(**arguments)


def test_a_posterior_that_is_no_quantizer_is_refused():
    model = tiny(quantizers.FiniteScalar([5, 4, 3]))
    with pytest.raises(ValueError, match="must be one of `keras_vae.quantizers`.*DiagonalNormal"):
        models.VQVAE(model.encoder, model.decoder, posteriors.DiagonalNormal(3), model.prior)


def test_its_own_dimensions_may_be_said_again():
    model = tiny(quantizers.FiniteScalar([5, 4, 3]), latent_dim=3)
    assert model.latent_dim == 3
