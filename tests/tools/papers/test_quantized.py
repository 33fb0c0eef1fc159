"""Tables of quantizers: rows that build, a row that runs, the page they are written to."""

import json

import numpy as np
import pytest

from keras_vae import datasets
from tools.papers import quantized, reproduce, shown
from tools.presets import recipes

pytestmark = pytest.mark.once


@pytest.mark.parametrize("kind", quantized.kinds())
def test_every_row_has_about_ten_bits_per_position(kind):
    model = quantized.quantized_vae(kind, (28, 28, 1), (4, 4), "bernoulli")
    bits = model.quantizer.codes_per_position * np.log2(model.num_codes)
    assert bits == pytest.approx(10, abs=0.04)
    assert model.quantizer.feature_map_shape(model.code_shape) == (7, 7)


def test_rows_are_alike_but_for_the_quantizer():
    for name in quantized.QUANTIZED:
        rows = reproduce.TABLES[name]["rows"]()
        assert [row["name"] for row in rows] == list(quantized.kinds())
        for row in rows:
            arguments = {**row["recipe"]["model"]["arguments"]}
            assert arguments.pop("kind") == row["name"]
            assert arguments == {
                k: v for k, v in rows[0]["recipe"]["model"]["arguments"].items() if k != "kind"
            }
            assert row["recipe"]["training"] == rows[0]["recipe"]["training"]


def test_a_row_is_trained_measured_and_written(offline, tmp_path, monkeypatch):
    measured = []

    def codes(model, *arguments):
        measured.append(model)
        return quantized.codes(model, *arguments)

    monkeypatch.setitem(reproduce.MEASURES, "codes", codes)
    options = {"budget": 0.5, "rows": ["residual"], "limit": 40, "out": tmp_path}
    found = reproduce.reproduce("quantizers_mnist", **options)["residual"]
    assert (found["epochs"], found["paper_epochs"], found["published"]) == (1, 2, {})
    (model,) = measured
    x, _ = datasets.load("mnist", "test", limit=40)
    ours = found["ours"]
    assert ours["MSE"]["value"] == pytest.approx(np.square(x - model.reconstruct(x)).mean())
    assert ours["bits per image"]["value"] == 7 * 14 * 5
    expected = -model.code_log_prob(x).mean() / np.log(2)
    assert ours["bits under the prior"]["value"] == pytest.approx(expected, rel=1e-5)
    page = tmp_path / "README.md"
    page.write_text("# Q\n<!-- quantizers: here -->\nstale\n<!-- /quantizers -->\nend\n")
    monkeypatch.setattr(quantized, "PAGE", page)
    quantized.page(tmp_path)
    text = page.read_text()
    assert "stale" not in text and "| residual | " in text and text.endswith("end\n")
    assert "--budget 0.5 --rows residual --limit 40" in text
    # It is no table of a paper's.
    assert json.loads((tmp_path / "quantizers_mnist.json").read_text())["rows"]
    assert shown.markdown(tmp_path) == ""


def test_recipes_build(offline):
    rows = reproduce.TABLES["quantizers_faces"]["rows"]()
    model = recipes.build(rows[0]["recipe"])
    assert model.code_shape == (8, 8)
