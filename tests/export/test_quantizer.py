"""int4 weights, 16-bit activations, layers that stay float32: what litert-quantizer makes."""

import importlib.util

import keras
import numpy as np
import pytest

from keras_vae import export, models, posteriors
from keras_vae.export import _layers, report
from tools.demo import digits

if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("needs TensorFlow", allow_module_level=True)
pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
needs_quantizer = pytest.mark.skipif(
    importlib.util.find_spec("litert_quantizer") is None, reason="needs litert-quantizer"
)

NAMES = {"decoder", "encoder", "conv2d", "conv2d_1", "dense", "dense_1", "quantizer"}


@pytest.mark.once
@pytest.mark.parametrize(
    "name, layer",
    [
        ("decoder/conv2d/convolution", "decoder/conv2d"),
        ("decoder/conv2d_1/BiasAdd", "decoder/conv2d_1"),
        # The number at the end is TensorFlow's, as it is in the outermost scope.
        ("decoder_1/conv2d_1/convolution", "decoder/conv2d"),
        ("decoder_1/conv2d_1_1/convolution", "decoder/conv2d_1"),
        ("encoder_1/dense_1_2/MatMul;encoder_1/dense_1_2/BiasAdd1", "encoder/dense_1"),
        ("Sigmoid;decoder_1/conv2d_1/Reshape", "decoder/conv2d"),
        ("quantizer_1/MatMul3", "quantizer"),
        ("StatefulPartitionedCall:0", None),
    ],
)
def test_the_layer_of_a_tensor(name, layer):
    assert _layers.path(name, NAMES) == layer


@pytest.mark.once
def test_a_path_stands_for_what_it_contains():
    assert _layers.within("decoder/dense_1", ["decoder"])
    assert _layers.within("decoder/dense_1", ["decoder/dense_1"])
    assert not _layers.within("decoder/dense_1", ["decoder/dense"])
    assert not _layers.within(None, ["decoder"])


@pytest.fixture(scope="module")
def model():
    """A convolution, a transposed one and dense layers."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    h = keras.layers.Conv2D(8, 3, 2, "same", activation="relu", name="narrow")(inputs)
    h = keras.layers.Flatten()(h)
    # Above 256 kB litert-quantizer writes files of another layout.
    h = keras.layers.Dense(600, activation="relu", name="large")(h)
    encoder = keras.Model(inputs, keras.layers.Dense(8, name="last")(h), name="encoder")
    code = keras.Input((4,))
    h = keras.layers.Dense(4 * 4 * 8, activation="relu", name="wide")(code)
    h = keras.layers.Reshape((4, 4, 8))(h)
    h = keras.layers.Conv2DTranspose(1, 3, 2, "same", name="up")(h)
    decoder = keras.Model(code, h, name="decoder")
    return models.VAE(encoder, decoder, posteriors.DiagonalNormal(4), likelihood="bernoulli")


@pytest.fixture
def pictures():
    x, _ = digits()
    return x[:64, 6:22:2, 6:22:2].copy()


def kinds(found):
    return {layer: kind for kind, layers in found["weights"].items() for layer in layers}


@needs_quantizer
@pytest.mark.once
@pytest.mark.slow
@pytest.mark.usefixtures("one_child")
class TestQuantizer:
    def exported(self, model, folder, x, quantize, **options):
        path, options = folder / "m.tflite", {"data": x[32:], "verbose": False, **options}
        return export.tflite(model, path, quantize, x[:32], **options)

    def test_int4_where_there_is_such_an_operator(self, model, pictures, tmp_path):
        made = self.exported(model, tmp_path, pictures, "int4")
        assert kinds(made) == {
            "decoder/up": "int8",
            "decoder/wide": "int4",
            "encoder/large": "int4",
            "encoder/last": "int4",
            "encoder/narrow": "int4",
            "posterior/projection": "int4",
        }
        assert "weights: int4 in 5 layers; int8: decoder/up" in str(made)
        assert made["made_with"]["litert-quantizer"]

    def test_int8x16_is_nearer_than_int8(self, model, pictures, tmp_path):
        errors = {}
        # The first examples span more than those that follow.
        pictures[8:32] *= 0.05
        for quantize in ("int8", "int8x16"):
            # Both by litert-quantizer, with any number of rows, and one layer less of integers.
            options = {"exclude": "decoder/up", "batch_size": None, "data": pictures[:8]}
            made = self.exported(model, tmp_path, pictures, quantize, **options)
            assert made["signatures"]["decode"]["inputs"]["z"]["shape"] == [-1, 4]
            assert kinds(made)["decoder/up"] == "float32"
            assert kinds(made)["encoder/last"] == "int8"
            rows = {(r["signature"], r["output"]): r for r in made["parity"]["outputs"]}
            errors[quantize] = rows["encode", "mean"]["max_error"]
        assert 0 < errors["int8x16"] < 0.8 * errors["int8"]
        assert errors["int8x16"] < 0.01, "the range of the first examples was forgotten"

    def test_a_model_stands_for_its_layers(self, model, pictures, tmp_path):
        made = self.exported(model, tmp_path, pictures, "dynamic", exclude=["encoder", "posterior"])
        assert {k for k in kinds(made) if kinds(made)[k] == "float32"} == {
            "encoder/large",
            "encoder/last",
            "encoder/narrow",
            "posterior/projection",
        }
        assert made["bytes"] > 256 * 1024
        exact = {r["output"] for r in made["parity"]["outputs"] if r["max_error"] < 1e-5}
        assert exact == {"mean", "log_var"} and made["exclude"] == ["encoder", "posterior"]

    def test_an_unknown_layer(self, model, pictures, tmp_path):
        with pytest.raises(
            export.ExportError, match="decoder/up, decoder/wide.*Received: decoder/x"
        ):
            self.exported(model, tmp_path, pictures, "int4", exclude=("decoder/x", "encoder"))
        assert list(tmp_path.iterdir()) == []

    def test_the_matrix_of_a_fitted_prior_stays_float(self, tmp_path):
        """It stands on the left of its product, where integers have no kernel."""
        autoencoder = models.autoencoder((8, 8, 1), 2, "dense", units=(4,), seed=0)
        x = np.random.default_rng(0).random((64, 8, 8, 1), dtype="float32")
        autoencoder.fit_sampler(x, kind="normal")
        made = self.exported(autoencoder, tmp_path, x, "int4")
        assert made["operators"]["sample"]["BATCH_MATMUL"] == 1
        assert "int4" in kinds(made).values()

    def test_the_nearest_code_is_searched_in_float(self, tmp_path):
        quantized = models.vq_vae((8, 8, 1), 4, num_codes=8, units=(4,), seed=0)
        x = np.random.default_rng(0).random((64, 8, 8, 1), dtype="float32")
        made = self.exported(quantized, tmp_path, x, "int8x16", signatures=("encode", "decode"))
        assert kinds(made)["quantizer"] == "float32" and len(kinds(made)) > 2
        # `top_k` has no fast kernel.
        assert made["accelerated"] is False


@pytest.mark.once
@pytest.mark.parametrize(
    "options, message",
    [
        ({"exclude": "decoder/up"}, "integer weights.*quantize=None"),
        ({"quantize": "float16", "exclude": "decoder/up"}, "integer weights.*'float16'"),
        ({"quantize": "int4", "exclude": [""]}, "must be paths of layers"),
        ({"quantize": "int8x16"}, 'quantize="int8x16" needs `representative`'),
        ({"quantize": "int4", "signatures": "sample"}, "export 'decode' as well"),
    ],
)
def test_arguments(model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export.tflite(model, tmp_path / "m.tflite", **options)


@pytest.mark.once
@pytest.mark.parametrize("options", [{"quantize": "int4"}, {"quantize": "dynamic", "exclude": "a"}])
def test_what_is_not_installed_is_said(model, monkeypatch, tmp_path, options):
    find = importlib.util.find_spec
    missing = "litert_quantizer"
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == missing else find(n, *a)
    )
    with pytest.raises(ImportError, match=r'pip install "keras-vae\[quantize\]"'):
        export.tflite(model, tmp_path / "m.tflite", **options)


@pytest.mark.once
@pytest.mark.parametrize("accelerated", [True, False, None])
def test_the_report_says_what_is_accelerated(accelerated):
    words = {True: "  all operators", False: "  not all operators", None: "  unknown whether all"}
    text = "\n".join(report.Report(accelerated=accelerated)._acceleration())
    assert text.startswith(words[accelerated]) and "no GPU" in text
