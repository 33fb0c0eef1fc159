"""`export`: one preset as one file, or every preset in every variant, as a table."""

from pathlib import Path

import keras

from keras_vae import datasets, priors, zoo
from keras_vae.export import route
from keras_vae.export.examples import CALIBRATED
from keras_vae.export.report import QuantizationError

from .. import machine
from ..demo import digits
from . import card, recipes
from .evaluate import write_metadata

# (format, quantize) of the variants that `--all` makes.
VARIANTS = (
    ("saved_model", None),
    ("tflite", None),
    ("tflite", "float16"),
    ("tflite", "dynamic"),
    ("tflite", "int8"),
    ("tflite", "int4"),
    ("tflite", "int8x16"),
)
# Training examples that int8 is calibrated on.
CALIBRATION = 500
# Data to compare on stays below this, bytes: all of MNIST's validation split.
CHECK_BYTES = 64e6


def export(
    name,
    format="tflite",
    quantize=None,
    out=None,
    signatures=None,
    batch_size=None,
    data=None,
    limit=None,
    exclude=(),
    verbose=True,
):
    """Exports one preset and prints its parity report.

    Args:
        name: a preset's name or folder, or a `.keras` file.
        format: "tflite", "saved_model" or "onnx".
        quantize: see `keras_vae.export.tflite`.
        out: file or folder to write; named after the preset by default.
        signatures: some of them; all by default.
        batch_size: rows of a call, 0 for any number; 1 for TFLite and any for
            the others by default.
        data: name of the data set to compare on; the recipe's by default, and
            without a recipe what the model samples.
        limit: compare on the first examples only.
        exclude: see `keras_vae.export.tflite`.

    Returns:
        `keras_vae.export.Report`.
    """
    if quantize and format != "tflite":
        raise ValueError(f"--quantize is for tflite. Received: {format} and {quantize}")
    if batch_size is None:
        batch_size = 1 if format == "tflite" else None
    out = out or default_name(name, format, quantize)
    pairs = _data(name, data, limit, quantize in CALIBRATED)
    return route.run(
        name, out, format, quantize, *pairs[:2], signatures, batch_size or None,
        source=pairs[2], exclude=exclude, verbose=verbose,
    )  # fmt: skip


def default_name(name, format, quantize):
    """Such as mnist_conv.tflite, mnist_conv_int8.tflite, mnist_conv_saved_model."""
    stem = Path(name).stem + (f"_{quantize}" if quantize else "")
    return f"{stem}.tflite" if format == "tflite" else f"{stem}_{format}"


def export_all(out=None, limit=None, record=False, pattern="*"):
    """Every preset in every variant; prints a table, returns an exit status.

    A quantized variant that is outside its budget, or that the model cannot have, is a row of the
    table, "refused"; any other failure makes the status 1.

    Args:
        out: folder for the files; "exports" by default.
        limit: compare on the first examples only.
        record: put the figures into the presets' metadata and cards.
        pattern: of the presets' names.
    """
    out = Path(out or "exports")
    if record and limit is not None:
        raise ValueError("Figures of a part of the split are not for a card: leave --limit out.")
    status, table = 0, []
    for name in zoo.list_models(pattern):
        rows = []
        flow = isinstance(zoo.load(name, compile=False).prior, priors.FlowMatching)
        for format, quantize in VARIANTS:
            path = out / default_name(name, format, quantize)
            # The steps of a flow are a loop, which has no integers between layers.
            parts = ("encode", "decode", "reconstruct") if flow and quantize in CALIBRATED else None
            try:
                report = export(
                    name, format, quantize, path, parts, limit=limit, verbose=False
                )  # fmt: skip
                rows.append(_row(report, kept=True))
            except (ValueError, OSError, RuntimeError) as error:
                refused = getattr(error, "report", None) if quantize else None
                variant = _variant(format, quantize)
                if refused is not None:
                    rows.append(_row(refused, kept=False))
                    table.append(f"{name:<16}{_line(rows[-1])}")
                elif isinstance(error, QuantizationError):
                    rows.append({"variant": variant, "kept": False, "why": _why(error)})
                    table.append(f"{name:<16}{variant:<13}{_why(error)}  refused")
                else:
                    status = 1
                    table.append(f"{name:<16}{variant:<13}{error}")
            else:
                table.append(f"{name:<16}{_line(rows[-1])}")
            print(table[-1], flush=True)
        if record and len(rows) == len(VARIANTS):
            folder = zoo.folder(name)
            write_metadata(folder, {**zoo.info(folder), "exports": rows})
            card.write(folder)
    head = f"{'preset':<16}{'variant':<13}{'MB':<9}{'error: code, picture':<22}"
    print("\n" + "\n".join([f"{head}{'PSNR (Keras) dB':<17}encode, decode ms", *table]))
    return status


def _why(error):
    """The first part of a refusal: what the model has."""
    return str(error).partition(":")[0]


def _variant(format, quantize):
    return quantize or ("float32" if format == "tflite" else format)


def _row(report, kept):
    """What a card says of one variant, which was kept or refused."""
    parity = report["parity"]
    worst = {"code": 0.0, "picture": 0.0}
    for row in parity["outputs"]:
        kind = "code" if row["signature"] == "encode" else "picture"
        error = row["max_error"] if row["changed"] is None else row["changed"]
        worst[kind] = max(worst[kind], error)
    psnr, keras_psnr = parity["psnr_db"]["reconstruct"]
    return {
        "variant": _variant(report["format"], report["quantize"]),
        "kept": kept,
        "megabytes": report["bytes"] / 1e6,
        "code_error": worst["code"],
        "picture_error": worst["picture"],
        "psnr_db": psnr,
        "keras_psnr_db": keras_psnr,
        "encode_ms": parity["milliseconds"]["encode"]["exported"],
        "decode_ms": parity["milliseconds"]["decode"]["exported"],
        "backend": keras.backend.backend(),
        "examples": parity["examples"],
        "source": parity["source"],
        "hardware": machine.hardware(),
        "command": "python -m tools export --all --record",
    }


def _line(row):
    errors = f"{row['code_error']:.1e}, {row['picture_error']:.1e}"
    psnr = f"{row['psnr_db']:.2f} ({row['keras_psnr_db']:.2f})"
    times = f"{row['encode_ms']:.3f}, {row['decode_ms']:.3f}"
    kept = "" if row["kept"] else "  refused"
    return f"{row['variant']:<13}{row['megabytes']:<9.3f}{errors:<22}{psnr:<17}{times}{kept}"


def _data(name, data, limit, calibrate):
    """`(data, representative, source)`: validation and training examples."""
    folder = None if str(name).endswith(".keras") else zoo.folder(name)
    if data is None and folder and (folder / recipes.RECIPE).is_file():
        data = recipes.read(folder)["data"]
    if data is None:
        return None, None, None
    if folder is None:
        condition = zoo.load(name, compile=False).condition
    else:
        condition = zoo.info(folder)["condition"]
    bytes_each = 4
    for size in datasets.info(data).shape:
        bytes_each *= size
    limit = min(limit or 10**9, int(CHECK_BYTES // bytes_each))
    source = f"{data}, validation split"
    try:
        # What is packaged serves mnist; without it a download is worth its time.
        fetch = data != "mnist" or calibrate
        pair = datasets.load(data, "validation", limit=limit, download=fetch)
    except FileNotFoundError:
        if fetch:
            raise
        x, y = digits()
        pair, source = (x[:limit], y[:limit]), "packaged digits of mnist's test split"
    train = datasets.load(data, "train", limit=CALIBRATION) if calibrate else None

    def wanted(pair):
        return pair if pair is None else tuple(pair) if condition else pair[0]

    return wanted(pair), wanted(train), source
