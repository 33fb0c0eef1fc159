"""The child process of an export, with TensorFlow, whatever the backend of the caller.

`python -m keras_vae.export._child FOLDER` reads `request.json`, a preset and
arrays from the folder and writes the exported file, its outputs for the arrays, and
`answer.json`. A failure with a known cause is an answer too.
"""

import functools
import importlib.metadata
import json
import runpy
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_vae import zoo
from keras_vae.export import _graphs, _layers
from keras_vae.export.signatures import signatures
from keras_vae.training import keras_private

# Rows per call if the batch size is free.
ROWS = 64
# Duration of the timing of a call in seconds, and its largest number of runs.
TIMED_SECONDS, TIMED_RUNS = 0.3, 200


class CannotConvert(Exception):
    """A failure with a known cause; the caller shows its text."""


def main(folder):
    """Runs the request and writes `answer.json`."""
    folder = Path(folder)
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    try:
        answer = _answer(folder, request)
    except CannotConvert as error:
        answer = {"error": str(error)}
    new = folder / "answer.json.new"
    new.write_text(json.dumps(answer), encoding="utf-8")
    new.replace(folder / "answer.json")


def _answer(folder, request):
    model, functions = _functions(folder, request)
    with np.load(folder / "arrays.npz") as file:
        arrays = _by_signature(file)
    with np.load(folder / "calibration.npz") as file:
        calibration = _by_signature(file)
    print("phase: converting", flush=True)
    path = folder / request["out"]
    make = {"saved_model": _saved_model, "tflite": _tflite, "onnx": _onnx}[request["format"]]
    runners, about = make(path, model, functions, request, calibration)
    print("phase: running the exported file", flush=True)
    results, milliseconds = {}, {}
    for name, run in runners.items():
        outputs, milliseconds[name] = _run(run, arrays[name], request["batch_size"])
        results.update({f"{name}/{key}": value for key, value in outputs.items()})
    np.savez(folder / "results.npz", **results)
    return {**about, "milliseconds": milliseconds, "versions": _versions(request)}


def _functions(folder, request):
    """The model of a request, and a traced function of each signature."""
    # After a crash the last of these lines is the phase.
    print("phase: loading the model under TensorFlow", flush=True)
    # What the caller has in memory is no stranger's; of a file the caller's `load` has judged.
    objects = _own_objects(request)
    model = zoo.load(folder / "model", compile=False, trusted=True, custom_objects=objects)
    wanted = signatures(model, request["signatures"])
    print("phase: tracing the signatures", flush=True)
    functions = {
        name: _traced(signature, request["batch_size"]) for name, signature in wanted.items()
    }
    _refuse_randomness(model, functions)
    return model, functions


def _own_objects(request):
    """Classes and functions of the caller's, imported as a process of `multiprocessing` does."""
    found, main = {}, None
    sys.path += [p for p in request["path"] if p not in sys.path]
    for name, (module, qualified) in request["objects"].items():
        try:
            if module == "__main__":
                main = main or runpy.run_path(request["main"], run_name="__mp_main__")
                item = main[qualified.split(".")[0]]
                names = qualified.split(".")[1:]
            else:
                item, names = importlib.import_module(module), qualified.split(".")
            found[name] = functools.reduce(getattr, names, item)
        except Exception as error:
            raise CannotConvert(
                "The process of the conversion cannot import a class of the model: put it into a "
                "module that can be imported by itself. "
                f"Received: {module}.{qualified}, {type(error).__name__}: {error}"
            ) from error
    return found


def _by_signature(file):
    """{"encode/image": array} as {"encode": {"image": array}}."""
    arrays = {}
    for key in file.files:
        signature, name = key.split("/")
        arrays.setdefault(signature, {})[name] = file[key]
    return arrays


def _versions(request):
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    if request.get("quantizer"):
        versions["litert-quantizer"] = importlib.metadata.version("litert-quantizer")
    return versions


def _traced(signature, batch_size):
    """A `tf.function` of one signature, with the names of its inputs."""
    names = list(signature.inputs)
    specs = [
        tf.TensorSpec((batch_size, *tensor.shape), tensor.dtype, name=name)
        for name, tensor in signature.inputs.items()
    ]

    def call(*tensors):
        return signature.call(**dict(zip(names, tensors, strict=True)))

    return tf.function(call, input_signature=specs)


def _refuse_randomness(model, functions):
    """Raises `CannotConvert` for random operators: the exported model must be deterministic."""
    for name, function in functions.items():
        random = _graphs.random_operators(function.get_concrete_function())
        if random:
            where = _graphs.layers_of(model, random)
            raise CannotConvert(
                f"{where} draws random numbers in `{name}`, which no builtin operator does. Take "
                "it out of the networks: the VAE draws z between encoder and decoder by itself, "
                "and the exported `sample` takes its noise as an input. "
                f"Received: operators {', '.join(sorted(set(random.values())))}"
            )


def _saved_model(path, model, functions, request, calibration):
    _archive(path, functions)
    loaded = tf.saved_model.load(path)
    runners = {name: _keyword_runner(loaded.signatures[name]) for name in functions}
    operators = {
        name: _graphs.count(function.get_concrete_function())
        for name, function in functions.items()
    }
    return runners, {"operators": operators}


def _keyword_runner(signature):
    def run(**arrays):
        outputs = signature(**{name: tf.constant(array) for name, array in arrays.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run


def _archive(path, functions):
    archive = keras.export.ExportArchive()
    for name, function in functions.items():
        archive.add_endpoint(name, function)
    archive.write_out(str(path), verbose=False)


def _tflite(path, model, functions, request, calibration):
    from ai_edge_litert.interpreter import Interpreter

    saved = path.with_name("for_conversion")
    _archive(saved, functions)
    names = list(functions)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=names)
    builtins = tf.lite.OpsSet.TFLITE_BUILTINS
    # litert-quantizer takes the float file.
    quantize = None if request["quantizer"] else request["quantize"]
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        builtins = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        converter.representative_dataset = lambda: _one_by_one(calibration, request["batch_size"])
    # Builtin operators only: others would need the Flex delegate.
    converter.target_spec.supported_ops = [builtins]
    try:
        if quantize == "int8" and model.codes_are_integers:
            content = _choosing_in_float(converter)
        else:
            content = converter.convert()
    except Exception as error:
        raise CannotConvert(_graphs.explain(error, model, functions)) from error
    layers = {layer.name for layer in keras_private.all_layers(model)}
    if request["quantizer"]:
        print("phase: quantizing", flush=True)
        content = _quantized(content, model, layers, request, calibration)
    operators = _graphs.tflite_operators(content)
    foreign = sorted({op for ops in operators.values() for op in ops if op.startswith("CUSTOM")})
    if foreign:
        raise CannotConvert(
            "The file would need operators that are not builtin in the interpreter. "
            f"Received: {', '.join(foreign)}"
        )
    path.write_bytes(content)
    interpreter = Interpreter(str(path), num_threads=1)
    runners = {name: interpreter.get_signature_runner(name) for name in names}
    weights = _layers.weights(_layers.operators(content, layers))
    about = {"operators": operators, "weights": weights, "accelerated": _accelerated(path)}
    return runners, about


def _quantized(content, model, layers, request, calibration):
    from keras_vae.export import _quantizer

    searching = model.quantizer.name if model.codes_are_integers else None
    examples = _one_by_one(calibration, request["batch_size"])
    try:
        return _quantizer.quantized(
            content, request["quantize"], layers, request["exclude"], searching, examples
        )
    except _quantizer.UnknownLayer as error:
        raise CannotConvert(str(error)) from error
    except Exception as error:
        raise CannotConvert(
            "litert-quantizer failed. Try another `quantize`, or `exclude` a layer that it names. "
            f"Received: {type(error).__name__}: {str(error)[:300]}"
        ) from error


def _accelerated(path):
    """Whether LiteRT runs every operator in its fast kernels for this CPU, or None if unknown."""
    from ai_edge_litert.compiled_model import CompiledModel

    try:
        return CompiledModel.from_file(str(path)).is_fully_accelerated()
    except Exception as error:
        print(f"CompiledModel: {error}", file=sys.stderr)
        return None


def _choosing_in_float(converter):
    """Full int8 except for the search of the nearest code."""
    kept = list(_layers.SEARCHING)
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=kept)
    return tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_options=options
    ).get_nondebug_quantized_model()


def _one_by_one(calibration, batch_size):
    """The calibration data of int8, one call at a time."""
    for name, arrays in calibration.items():
        for batch, _ in _batches(arrays, batch_size or 1):
            yield name, batch


def _onnx(path, model, functions, request, calibration):
    from keras_vae.export import _onnx_files

    try:
        runners, operators = _onnx_files.convert(path, functions)
    except Exception as error:
        raise CannotConvert(
            "The ONNX converter failed. Try `export.tflite` or `export.saved_model`. "
            f"Received: {type(error).__name__}: {str(error)[:300]}"
        ) from error
    return runners, {"operators": operators}


def _batches(arrays, size):
    """Batches of one size, the last one padded, with their numbers of real rows."""
    n = len(next(iter(arrays.values())))
    for start in range(0, n, size):
        batch = {name: array[start : start + size] for name, array in arrays.items()}
        rows = min(size, n - start)
        if rows < size:
            batch = {
                name: np.concatenate([part, np.repeat(part[-1:], size - rows, axis=0)])
                for name, part in batch.items()
            }
        yield batch, rows


def _run(run, arrays, batch_size):
    """Outputs for all rows, and the median milliseconds of one call."""
    parts = {}
    for batch, rows in _batches(arrays, batch_size or ROWS):
        for name, value in run(**batch).items():
            parts.setdefault(name, []).append(np.array(value[:rows]))
    one, _ = next(_batches(arrays, batch_size or 1))
    run(**one)
    seconds, began = [], time.perf_counter()
    while len(seconds) < TIMED_RUNS and time.perf_counter() - began < TIMED_SECONDS:
        start = time.perf_counter()
        run(**one)
        seconds.append(time.perf_counter() - start)
    return {name: np.concatenate(p) for name, p in parts.items()}, 1e3 * float(np.median(seconds))


if __name__ == "__main__":
    main(sys.argv[1])
