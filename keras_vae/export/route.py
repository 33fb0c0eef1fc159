"""The steps of all exports: preset, child process, comparison, move."""

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from keras_vae import _atomic, _checks, priors, zoo
from keras_vae._version import __version__
from keras_vae.export import examples
from keras_vae.export import report as reports
from keras_vae.export.report import ExportError, Report
from keras_vae.export.signatures import data_name, describe
from keras_vae.export.signatures import signatures as signatures_of
from keras_vae.models import VAE
from keras_vae.training import keras_private
from keras_vae.zoo import description, own

QUANTIZE = (None, "float16", "dynamic", "int8", "int4", "int8x16")
# Kinds of integer weights, and those of them that the TFLite converter lacks.
INTEGERS = ("dynamic", "int8", "int4", "int8x16")
_QUANTIZER = ("int4", "int8x16")
METADATA = "model.json"
RUNTIME = {"saved_model": "TensorFlow", "tflite": "LiteRT", "onnx": "ONNX Runtime"}
# Python module, what pip calls it, and who needs it.
_NEEDS = {
    "saved_model": [("tensorflow", "tensorflow")],
    "tflite": [("tensorflow", "tensorflow"), ("ai_edge_litert", '"keras-vae[litert]"')],
    "onnx": [
        ("tensorflow", "tensorflow"),
        ("tf2onnx", '"keras-vae[onnx]"'),
        ("onnxruntime", '"keras-vae[onnx]"'),
    ],
    "quantizer": [("litert_quantizer", '"keras-vae[quantize]"')],
}


def run(
    model,
    path,
    format,
    quantize,
    data,
    representative,
    signatures,
    batch_size,
    *,
    source=None,
    input_shape=None,
    exclude=(),
    verbose=True,
):
    """Exports a model; see `export.tflite`.

    Args:
        format: "saved_model", "tflite" or "onnx".
        source: where `data` is from, in words, for the report.
        input_shape: of the file, for a model of any size.
    """
    if quantize not in QUANTIZE:
        raise ValueError(
            f"`quantize` must be one of {', '.join(map(repr, QUANTIZE))}. "
            f"Received: quantize={quantize!r}"
        )
    exclude = _excluded(exclude, quantize)
    quantizer = bool(exclude) or quantize in _QUANTIZER
    _check_installed([*_NEEDS[format], *(_NEEDS["quantizer"] if quantizer else ())], format)
    if batch_size is not None:
        _checks.count(batch_size, "batch_size")
    model, preset = _loaded(model)
    model = _of_one_size(model, input_shape)
    wanted = signatures_of(model, signatures)
    if quantize in INTEGERS and set(wanted) == {"sample"}:
        raise ValueError(
            "The budget of a quantized file is the PSNR of reconstructions, and `sample` alone has "
            f"none: export 'decode' as well. Received: signatures={signatures!r}"
        )
    if quantize in ("int8", "int8x16"):
        _has_no_loop(model, wanted, quantize)
    calibration = examples.calibration(model, wanted, quantize, representative)
    x, condition, source = examples.compared(model, data, representative, source)
    arrays = reports.inputs(model, wanted, x, condition)
    path = _atomic.absolute(path)
    with _replaced(path, is_folder=format != "tflite") as (new, notes):
        request = {
            "format": format,
            "quantize": quantize,
            "exclude": exclude,
            "quantizer": quantizer,
            "batch_size": batch_size,
            "signatures": list(wanted),
            "out": "exported",
        }
        with tempfile.TemporaryDirectory(prefix="keras_vae_export_") as work:
            work = Path(work)
            _write_request(work, model, request, arrays, calibration)
            answer, results = _convert(work, verbose)
            _move(work / request["out"], new)
        parity = reports.parity(
            model, wanted, arrays, results, answer["milliseconds"], x, source, batch_size
        )
        report = Report(
            format=format,
            file=path.name,
            quantize=quantize,
            exclude=exclude,
            batch_size=batch_size,
            bytes=_size(new),
            sha256=_sha256(new) if format == "tflite" else None,
            runtime=RUNTIME[format],
            preset=preset,
            **_about(model, wanted, batch_size),
            made_with={"keras_vae": __version__, **answer["versions"]},
            parity=parity,
            operators=answer["operators"],
            weights=answer.get("weights"),
            accelerated=answer.get("accelerated"),
        )
        reports.check(report)
        notes.write_text(description.dump_json(report), encoding="utf-8")
    if verbose:
        print(report)
    return report


def _has_no_loop(model, wanted, quantize):
    """Raises where a loop is asked for, of which the converter's calibration dies."""
    loops = [name for name in ("sample", "transport") if name in wanted]
    if isinstance(model.prior, priors.FlowMatching) and loops:
        rest = tuple(name for name in wanted if name not in loops)
        raise reports.QuantizationError(
            "The steps of a flow are a loop, of which the converter measures no ranges: export "
            f'signatures={rest}, or use quantize="dynamic" or "float16". '
            f"Received: quantize={quantize!r} with {' and '.join(map(repr, loops))}"
        )
    for network in (model.encoder, model.decoder):
        for layer in keras_private.all_layers(network):
            if isinstance(layer, keras.layers.RNN):
                raise reports.QuantizationError(
                    "A recurrent layer is a loop, of which the converter measures no ranges: use "
                    'quantize="dynamic", "int4" or "float16". '
                    f"Received: quantize={quantize!r}, {network.name} with {layer.path!r}"
                )


def _excluded(exclude, quantize):
    """The paths of layers that stay float32, as a list."""
    paths = [exclude] if isinstance(exclude, str) else list(exclude)
    if any(not isinstance(p, str) or not p for p in paths):
        raise ValueError(
            '`exclude` must be paths of layers, such as ("decoder/conv2d_3",). '
            f"Received: exclude={exclude!r}"
        )
    if paths and quantize not in INTEGERS:
        raise ValueError(
            "`exclude` keeps layers in float32 where the others have integer weights: use it with "
            f"`quantize` one of {', '.join(map(repr, INTEGERS))}. "
            f"Received: quantize={quantize!r}, exclude={exclude!r}"
        )
    return paths


def _check_installed(needs, format):
    missing = [pip for module, pip in needs if importlib.util.find_spec(module) is None]
    if missing:
        raise ImportError(
            f"Exporting as {format} needs packages that are not installed. "
            f"Run: pip install {' '.join(dict.fromkeys(missing))}"
        )


def _loaded(model):
    """The model, and a description of its preset or None."""
    if isinstance(model, VAE):
        return model, None
    if not isinstance(model, (str, Path)):
        raise TypeError(
            "Only a keras_vae VAE can be exported, or a preset's name, its folder, or a .keras "
            f"file. Received: {type(model).__name__}"
        )
    if str(model).endswith(".keras"):
        if not Path(model).is_file():
            raise ValueError(f"There is no such file. Received: {model}")
        return zoo.load(model, compile=False), None
    info = zoo.info(model)
    keys = ("name", "version", "description", "licence", "data")
    preset = {key: info.get(key) for key in keys} | {"sha256": info["sha256"][description.WEIGHTS]}
    return zoo.load(model, compile=False), preset


def _of_one_size(model, input_shape):
    """The model for pictures of one size; any other as it is."""
    if None in model.data_shape:
        if input_shape is None:
            raise ValueError(
                "A file takes pictures of one size, and this model takes any: give "
                "`input_shape=(256, 256, 3)`, or export `model.with_input_shape((256, 256, 3))`. "
                f"Expected: a shape that fits ({_checks.listed(model.data_shape)}). "
                "Received: input_shape=None"
            )
        return model.with_input_shape(input_shape)
    if input_shape is not None and tuple(input_shape) != model.data_shape:
        raise ValueError(
            "`input_shape` is for models that take pictures of any size. "
            f"Expected: {model.data_shape}. Received: input_shape={tuple(input_shape)}"
        )
    return model


def _write_request(work, model, request, arrays, calibration):
    if own.is_foreign(model.objective):
        # Nothing of a file depends on it.
        model = model._with(objective=None)
    request = {**request, **_own_objects(model)}
    try:
        zoo.save(model, work / "model", trusted=True)
    except ValueError as error:
        raise ExportError(
            "The conversion runs in a process of its own, to which the model goes as a file. "
            f"{error}"
        ) from error
    (work / "request.json").write_text(json.dumps(request), encoding="utf-8")
    for name, values in (("arrays", arrays), ("calibration", calibration)):
        flat = {f"{s}/{key}": v for s, inputs in values.items() for key, v in inputs.items()}
        np.savez(work / f"{name}.npz", **flat)


def _own_objects(model):
    """Where the process of the conversion finds the caller's own classes and functions."""
    objects = own.objects(model)
    main = getattr(sys.modules["__main__"], "__file__", None)
    for name, item in objects.items():
        lost = item.__module__ == "__main__" and not main
        if lost or "<locals>" in item.__qualname__:
            raise ExportError(
                "The conversion runs in a process of its own, which must be able to import the "
                "model's classes: define them at the top of a module, not in a function or a "
                f"notebook. Received: {name} of {item.__module__}.{item.__qualname__}"
            )
    return {
        "objects": {n: [o.__module__, o.__qualname__] for n, o in objects.items()},
        "main": os.path.abspath(main) if main else None,
        "path": [p for p in sys.path if p],
    }


def _convert(work, verbose=False):
    """Runs the child; returns its answer and the outputs of the file.

    With `verbose` it prints the phases, because they take seconds.
    """
    status, phase, last = _child(work, verbose)
    answer = work / "answer.json"
    if status or not answer.is_file():
        raise ExportError(_obituary(status, phase, last))
    answer = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in answer:
        raise ExportError(answer["error"])
    with np.load(work / "results.npz") as file:
        return answer, {key: file[key] for key in file.files}


def _child(work, verbose):
    """Runs the child process in the folder.

    Returns:
        `(status, phase, last)`: its exit status, its last phase, its last lines of errors.
    """
    command = [sys.executable, "-m", "keras_vae.export._child", str(work)]
    phase, errors = "starting", work / "errors.txt"
    with errors.open("wb") as file:
        child = subprocess.Popen(
            command,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            errors="replace",
        )
    with child:
        for line in child.stdout:
            if line.startswith("phase: "):
                phase = line.removeprefix("phase: ").strip()
                if verbose:
                    print(f"  {phase} ...", flush=True)
    last = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
    return child.returncode, phase, "\n".join(last)


def _environment():
    root = str(Path(__file__).resolve().parents[2])
    path = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(path),
        # TensorFlow would reserve the whole memory of the caller's GPU.
        "CUDA_VISIBLE_DEVICES": "-1",
    }


def _obituary(status, phase, last):
    """The error text for a child that crashed, with advice."""
    how = f"exit status {status}" if status >= 0 else f"killed by signal {-status}"
    advice = {
        "starting": "See whether `import tensorflow` works in a fresh Python.",
        "converting": "Try `quantize=None`, or `export.saved_model`.",
        "quantizing": 'Try `quantize="dynamic"`.',
    }.get(phase, "Free some memory and try again; if it stays, it is a bug: report it.")
    return (
        f"The conversion died while {phase}; this process and its model are untouched. {advice} "
        f"Received: {how}: {last}"
    )


def _about(model, wanted, batch_size):
    """Data that an app needs beside the file, as JSON."""
    data_range = model.likelihood.data_range
    condition = None
    if model.condition is not None:
        condition = {
            "kind": type(model.condition).__name__.lower(),
            "size": model.condition.dim,
            "names": model.condition.names and [*model.condition.names],
        }
    return {
        "input": {
            "name": data_name(model),
            "shape": list(model.data_shape),
            "dtype": "float32",
            "range": None if data_range is None else list(data_range),
            "preprocessing": "none in the file"
            if data_range is None
            else f"scale to [{data_range[0]:g}, {data_range[1]:g}] before the call",
        },
        "latent_dim": model.latent_dim,
        "condition": condition,
        "signatures": {
            name: {
                "inputs": describe(signature.inputs, batch_size),
                "outputs": describe(signature.outputs, batch_size),
            }
            for name, signature in wanted.items()
        },
    }


@contextlib.contextmanager
def _replaced(path, is_folder):
    """Yields `(export, report)`, new paths; they replace the old ones after a success."""
    if is_folder:
        with _atomic.folder(path, {METADATA}, "export") as new:
            yield new, new / METADATA
        return
    if path.is_dir():
        raise IsADirectoryError(
            f"`path` must be a file, such as {path.name}/model.tflite. Received: {path}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with _atomic.file(path) as new, _atomic.file(path.with_name(path.name + ".json")) as notes:
        yield new, notes


def _move(source, new):
    if source.is_file():
        shutil.move(source, new)
    else:
        shutil.copytree(source, new, dirs_exist_ok=True)


def _size(path):
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    return sum(file.stat().st_size for file in files)


def _sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
