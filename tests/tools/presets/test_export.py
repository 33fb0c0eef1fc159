"""The table of exports: every variant is a row, kept or refused."""

import json

import pytest

from keras_vae.export import ExportError
from keras_vae.export.report import QuantizationError
from tools import __main__ as cli
from tools.presets import card, export

pytestmark = pytest.mark.once


def report(format, quantize, psnr=20.0):
    row = {"max_error": 0.25, "changed": None}
    return {
        "format": format,
        "quantize": quantize,
        "bytes": 2_000_000,
        "parity": {
            "outputs": [{"signature": s, **row} for s in ("encode", "decode")],
            "psnr_db": {"reconstruct": (psnr, 20.0)},
            "milliseconds": {s: {"exported": 1.0} for s in ("encode", "decode")},
            "examples": 8,
            "source": "mnist, validation split",
        },
    }


LOOPS = [("celeba_cvae", "int8"), ("celeba_cvae", "int8x16")]


@pytest.fixture
def outcomes(monkeypatch):
    """Takes the conversions' place: dict of variant to the error that its export raises."""
    raised, asked = {}, []

    def one(name, format, quantize, path, signatures=None, limit=None, verbose=True):
        if (format, quantize) in raised:
            raise raised[format, quantize]
        asked.append((name, quantize, signatures))
        return report(format, quantize)

    monkeypatch.setattr(export, "export", one)
    yield raised
    # A loop has no integers between layers.
    parts = ("encode", "decode", "reconstruct")
    assert asked and all(
        signatures == (parts if (name, quantize) in LOOPS else None)
        for name, quantize, signatures in asked
    )


def test_what_is_refused_is_a_row(outcomes, capsys, tmp_path):
    outcomes["tflite", "int4"] = ExportError("worse", report("tflite", "int4", psnr=17.0))
    assert export.export_all(tmp_path, limit=8, pattern="mnist_conv") == 0
    table = capsys.readouterr().out.split("PSNR (Keras) dB")[1].splitlines()[1:]
    variants = ["saved_model", "float32", "float16", "dynamic", "int8", "int4", "int8x16"]
    assert [line.split()[1] for line in table] == variants
    assert [line.split()[1] for line in table if line.endswith("  refused")] == ["int4"]
    assert "17.00 (20.00)" in next(line for line in table if "int4" in line)


def test_what_a_model_cannot_have_is_a_row(outcomes, capsys, tmp_path):
    outcomes["tflite", "int8"] = QuantizationError("A loop has no ranges: use another. Received: 8")
    assert export.export_all(tmp_path, limit=8, pattern="mnist_conv") == 0
    table = capsys.readouterr().out.split("PSNR (Keras) dB")[1].splitlines()
    (line,) = [line for line in table if line.endswith("  refused")]
    assert line.split(None, 2)[1:] == ["int8", "A loop has no ranges  refused"]
    rows = [export._row(report("tflite", None), kept=True)]
    rows.append({"variant": "int8", "kept": False, "why": "A recurrent layer is a loop"})
    _, table, _ = card._exports({"exports": rows})
    assert table.endswith("| int8 | | | | | refused: A recurrent layer is a loop |")


def test_a_flow_has_its_variants(outcomes, tmp_path):
    assert export.export_all(tmp_path, limit=8, pattern="celeba_cvae") == 0


@pytest.mark.parametrize(
    "variant, error",
    [
        (("tflite", None), ExportError("a bug", report("tflite", None))),
        (("tflite", "int8"), ExportError("no such operator")),
        (("tflite", "int8"), ValueError("no such data")),
        (("tflite", "int4"), ImportError("Run: pip install")),
    ],
)
def test_what_fails_is_no_finding(outcomes, capsys, tmp_path, variant, error):
    outcomes[variant] = error
    if isinstance(error, ImportError):
        with pytest.raises(ImportError, match="pip install"):
            export.export_all(tmp_path, limit=8, pattern="mnist_conv")
        return
    assert export.export_all(tmp_path, limit=8, pattern="mnist_conv") == 1
    assert str(error) in capsys.readouterr().out


def test_the_card_says_what_was_refused():
    rows = [export._row(report("tflite", q), kept=q != "int4") for q in (None, "int4")]
    # Older figures have no such column: what was recorded was kept.
    rows[0].pop("kept")
    title, table, how = card._exports({"exports": json.loads(json.dumps(rows))})
    assert title == "## Exported" and "writes no file" in how
    first, second = table.splitlines()[2:]
    assert first.startswith("| float32 | 2.000 | 2.5e-01, 2.5e-01 | 20.00 (20.00) |")
    assert first.endswith("| kept |") and second.endswith("| refused |")


def test_layers_to_leave_out_on_the_command_line(monkeypatch):
    calls = []
    monkeypatch.setattr(export.route, "run", lambda *a, **k: calls.append((a, k)))
    monkeypatch.setattr(export, "_data", lambda *a: (None, None, None))
    words = ["export", "mnist_conv", "--quantize", "int4", "--exclude", "encoder", "posterior"]
    assert cli.main(words) == 0
    (arguments, options) = calls[0]
    assert arguments[3] == "int4" and options["exclude"] == ["encoder", "posterior"]
