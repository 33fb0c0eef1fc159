"""The parity report: is the exported file still the same model?"""

import time

import keras
import numpy as np

# Largest allowed differences to Keras: the figure and its limit.
#   scaled_error: largest difference / max(1, largest |Keras|) of one output, for float32:
#       the rounding of a sum grows with its terms, and codes are not bounded as pixels are.
#   rms_error: for float16, where weights have relative errors of up to 1 / 4096 and the
#       maximum over millions of pixels is not informative. Also for `reconstruct`: a steep
#       decoder magnifies the rounding of the code (3e-6 becomes 2e-5 between JAX and
#       TensorFlow); `encode` and `decode` have limits of their own.
LIMITS = {None: ("scaled_error", 1e-5), "float16": ("rms_error", 1e-3)}
# The type of the weights that each kind asks for.
WEIGHTS = {
    "float16": "float16",
    "dynamic": "int8",
    "int8": "int8",
    "int4": "int4",
    "int8x16": "int8",
}
FIGURES = ("max_error", "scaled_error", "rms_error")
# The share of choices (integer codes, or outputs that depend on a choice) that float32
# rounding may change. With fewer digits almost equally near codes are confused more often;
# PSNR measures the loss.
CHANGED, OTHER = 1e-3, 1e-3
# Largest loss of reconstruction PSNR on real images by 8 bits, in decibels.
MAX_LOSS_DB = 0.5
# Duration of the timing of a Keras call in seconds, and its largest number of runs.
_TIMED_SECONDS, _TIMED_RUNS = 0.3, 100


class QuantizationError(ValueError):
    """A part of the model cannot have this quantization. Nothing was converted."""


class ExportError(ValueError):
    """A failed export. No file was written or replaced.

    Attributes:
        report: the `Report` of an export outside its budget, or None.
    """

    def __init__(self, message: str, report: "Report | None" = None) -> None:
        super().__init__(message)
        self.report = report


class Report(dict):
    """Description of an export and its differences to Keras: a dict with a readable `str`."""

    def __str__(self):
        parity = self["parity"]
        variant = self["quantize"] or "float32"
        lines = [
            f"{self['file']}: {self['format']}, {variant}, {self['bytes'] / 1e6:.3f} MB, "
            f"{parity['examples']} examples ({parity['source']})",
            f"  {'signature':<12}{'output':<9}{'shape':<14}{'max error':<11}{'rms error':<11}"
            f"{self['runtime'] + ' ms':<16}Keras ms ({parity['keras_backend']})",
        ]
        for row in parity["outputs"]:
            times = parity["milliseconds"][row["signature"]]
            shape = "×".join("n" if n < 0 else str(n) for n in row["shape"])
            errors = f"{row['max_error']:<11.1e}{row['rms_error']:<11.1e}"
            if row["changed"] is not None:
                errors = f"{100 * row['changed']:.3f} % differ".ljust(22)
            lines.append(
                f"  {row['signature']:<12}{row['output']:<9}{shape:<14}{errors}"
                f"{times['exported']:<16.3f}{times['keras']:.3f}"
            )
        for name, (exported, expected) in parity["psnr_db"].items():
            lines.append(
                f"  reconstructions through {name}: PSNR {exported:.2f} dB, Keras {expected:.2f} dB"
            )
        if self["format"] == "tflite":
            used = sorted({op for operators in self["operators"].values() for op in operators})
            lines.append(f"  operators, all builtin: {', '.join(used)}")
            lines += self._weights() + self._acceleration()
        return "\n".join(lines)

    def _weights(self):
        """Which layers have other weights than was asked for."""
        wanted = WEIGHTS.get(self["quantize"])
        weights = self.get("weights")
        if wanted is None or weights is None:
            return []
        stayed = [f"{t}: {', '.join(n)}" for t, n in weights.items() if t != wanted]
        number = len(weights.get(wanted, ()))
        return [f"  weights: {'; '.join([f'{wanted} in {number} layers', *stayed])}"]

    def _acceleration(self):
        """What LiteRT's CompiledModel said of its kernels for this CPU."""
        words = {True: "all", False: "not all"}.get(self.get("accelerated"), "unknown whether all")
        return [f"  {words} operators accelerated, on this CPU (no GPU or NPU was asked)"]


def inputs(model, signatures, x, condition, seed=0):
    """Inputs of each signature for the comparison.

    Codes are the posterior means of the data; NumPy draws the noise.

    Args:
        model: the caller's model.
        signatures: dict of `signatures.Signature`.
        x, condition: checked data `(n, ...)` and conditions, or None.

    Returns:
        Dict of signature to a dict of input name to array.
    """
    known = {"image": x, "data": x, "condition": condition}
    if "sample" in signatures:
        shape = (len(x), *signatures["sample"].inputs["noise"].shape)
        known["noise"] = np.random.default_rng(seed).standard_normal(shape, "float32")
    if "transport" in signatures:
        # What is wanted of each example is what its neighbour is.
        known["new_condition"] = np.roll(condition, 1, axis=0)
        known["guidance"] = np.full(len(x), model.prior.transport_guidance, "float32")
    if {"decode", "transport"} & set(signatures):
        known["z"] = known["codes"] = model.encode(x, condition)
    return {
        name: {key: known[key] for key in signature.inputs}
        for name, signature in signatures.items()
    }


def compare(model, signatures, arrays, results, batch_size):
    """Errors of each output, relative to the caller's model.

    Args:
        model: the caller's model, on its own backend.
        signatures: dict of `signatures.Signature`.
        arrays: see `inputs`.
        results: dict of "signature/output" to an output of the file.
        batch_size: the batch size of the file, or None.

    Returns:
        `(rows, images)`: a list of dicts, and per signature the reconstructions
        `(exported, expected)` of its outputs.

    Raises:
        ExportError: an output is missing, unknown, of another shape, or not finite.
    """
    rows, images = [], {}
    for name, signature in signatures.items():
        expected = signature.reference(**arrays[name])
        answers = {k.split("/")[1]: v for k, v in results.items() if k.split("/")[0] == name}
        if set(answers) != set(expected):
            raise ExportError(
                f"The file's signature `{name}` has other outputs than the model. "
                f"Expected: {sorted(expected)}. Received: {sorted(answers)}"
            )
        for output, right in expected.items():
            left = answers[output]
            # Before the subtraction, where broadcasting would hide a wrong shape.
            if left.shape != right.shape:
                raise ExportError(
                    f"The file's signature `{name}` answers in another shape. "
                    f"Expected: {output} {right.shape}. Received: {left.shape}"
                )
            if not np.isfinite(left).all():
                raise ExportError(
                    f"The file's signature `{name}` answers with NaN or infinite values. If it "
                    "is quantized, export without `quantize`; if not, report it. Expected: finite "
                    "numbers. "
                    f"Received: {left.size - np.isfinite(left).sum()} others in {output}"
                )
            error = left.astype("float64") - right
            batch = -1 if batch_size is None else batch_size
            rows.append(
                {
                    "signature": name,
                    "output": output,
                    "chooses": signature.chooses,
                    "shape": [batch, *right.shape[1:]],
                    "changed": _changed(error, right) if signature.chooses else None,
                    "max_error": float(np.abs(error).max()),
                    "scaled_error": float(np.abs(error).max() / max(1, np.abs(right).max())),
                    "rms_error": float(np.sqrt(np.mean(error**2))),
                }
            )
        images[name] = _reconstructions(model, name, arrays[name], answers, expected)
    return rows, images


def _changed(error, right):
    """The share of integers, or else of examples, that differ by more than rounding."""
    if right.dtype.kind == "i":
        return float(np.mean(error != 0))
    most = np.abs(error).max(axis=tuple(range(1, error.ndim)))
    return float(np.mean(most > OTHER * max(1, np.abs(right).max())))


def _reconstructions(model, name, arrays, answers, expected):
    """Reconstructions of the data: the outputs of a signature, or their decoding."""
    if name == "encode":
        condition = arrays.get("condition")
        key = "codes" if "codes" in answers else "mean"
        return tuple(model.decode(answer[key], condition) for answer in (answers, expected))
    return tuple(next(iter(answer.values())) for answer in (answers, expected))


def psnr(x, reconstructed, data_range):
    """Peak signal-to-noise ratio of all pictures together, in decibels.

    Without a `data_range` the peak is the span of x. Missing values, which are NaN, are left out.
    """
    low, high = data_range or (float(np.nanmin(x)), float(np.nanmax(x)))
    error = np.nanmean(np.square(x.astype("float64") - reconstructed))
    return float(10 * np.log10((high - low) ** 2 / max(error, 1e-12)))


def keras_milliseconds(signature, arrays):
    """Median time of one compiled call of the caller's model, for one example."""
    one = {name: array[:1] for name, array in arrays.items()}
    signature.reference(**one)
    seconds, began = [], time.perf_counter()
    while len(seconds) < _TIMED_RUNS and time.perf_counter() - began < _TIMED_SECONDS:
        start = time.perf_counter()
        signature.reference(**one)
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds))


def parity(model, signatures, arrays, results, milliseconds, x, source, batch_size):
    """The `parity` part of a report, as JSON; see `compare` for the arguments."""
    rows, images = compare(model, signatures, arrays, results, batch_size)
    data_range = model.likelihood.data_range
    decibels = {
        name: tuple(psnr(x, part, data_range) for part in pair)
        for name, pair in images.items()
        if name not in ("sample", "transport")
    }
    return {
        "keras_backend": keras.backend.backend(),
        "examples": len(x),
        "source": source,
        "outputs": rows,
        "psnr_db": decibels,
        "milliseconds": {
            name: {
                "exported": milliseconds[name],
                "keras": keras_milliseconds(signature, arrays[name]),
            }
            for name, signature in signatures.items()
        },
    }


def check(report):
    """Raises an `ExportError` if a report is outside its budget."""
    quantize, parity = report["quantize"], report["parity"]
    expected, bad = [], []
    by_picture = set(parity["psnr_db"])
    if quantize in LIMITS:
        by_picture &= {row["signature"] for row in parity["outputs"] if row["chooses"]}
        for row in parity["outputs"]:
            figure, limit = LIMITS[quantize]
            if row["signature"] == "reconstruct":
                figure = "rms_error"
            if row["chooses"]:
                if row["signature"] == "reconstruct" or quantize is not None:
                    continue
                figure, limit = "changed", CHANGED
            expected.append(f"{figure} at most {limit:g}")
            if not row[figure] <= limit:
                bad.append(f"{row['signature']} {row['output']} {row[figure]:.2g}")
    for name in sorted(by_picture):
        exported, keras_db = parity["psnr_db"][name]
        expected.append(f"reconstruction PSNR at most {MAX_LOSS_DB} dB below Keras'")
        if not exported >= keras_db - MAX_LOSS_DB:
            bad.append(f"PSNR through {name} {exported:.2f} dB, Keras {keras_db:.2f} dB")
    if bad:
        advice = {
            None: "A float32 export must be the same model, so this is a bug: report it.",
            "float16": "Export without `quantize`.",
            "dynamic": 'Try quantize="float16".',
            "int8": "Give more real training data as `representative`, name layers that stay "
            '`exclude`d, or try quantize="int8x16" or "dynamic".',
            "int4": 'Name layers to `exclude`, or try quantize="dynamic".',
            "int8x16": 'Give more real training data as `representative`, or try "dynamic".',
        }[quantize]
        raise ExportError(
            f"The exported file is not the same model, and was not kept. {advice} "
            f"Expected: {', '.join(dict.fromkeys(expected))}. Received: {'; '.join(bad)}",
            report,
        )
