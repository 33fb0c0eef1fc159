"""Metadata and golden values of presets."""

import hashlib
import json
import math

import numpy as np

from keras_vae.zoo import allowed, plain

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
GOLDEN, RECIPE = "golden.npz", "recipe.json"
FORMAT = 1
_INTEGERS = ("version", "latent_dim", "parameters", "bytes")
# Of one text, of the list of metrics, and of the digits behind a point.
_MOST_TEXT, _MOST_METRICS, _MOST_DIGITS = 20_000, 1_000, 12
_KEYS = ("name", "version", "description", "input", "latent_dim", "parameters", "bytes", "sha256")


class Info(dict):
    """Metadata of a preset: a dict with a readable `str`."""

    def __str__(self):
        shape = _times(self["input"]["shape"])
        low, high = self["input"]["range"] or ("-∞", "∞")
        lines = [
            f"{_text(self['name'])} (version {self['version']}): {_text(self['description'])}",
            f"  input      {shape}, {_text(self['input']['dtype'])} in [{low:g}, {high:g}]"
            if self["input"]["range"]
            else f"  input      {shape}, {_text(self['input']['dtype'])}",
            f"  latent     {latent(self)}",
            f"  size       {self['parameters']:,} parameters, {self['bytes'] / 1e6:.1f} MB",
        ]
        if self.get("condition"):
            lines.append(f"  condition  {_text(self['condition'])}")
        for key in ("data", "paper", "licence"):
            if self.get(key):
                lines.append(f"  {key:<10} {_text(self[key])}")
        for metric in self.get("metrics", []):
            lines.append(f"  measured   {describe_metric(metric)}")
        lines.append(f"  sha256     {_text(self['sha256'][WEIGHTS])}")
        return "\n".join(lines)


def _text(value):
    """Text of a stranger on one line, without what a terminal acts on."""
    return plain.text(value, lines=False)


def latent(info):
    """The latent space of a preset in words."""
    dimensions = f"{info['latent_dim']} dimensions"
    if not info.get("codes"):
        return dimensions
    shape = _times(info["codes"]["shape"])
    if info["codes"]["number"] is None:
        return f"{shape} map of codes"
    return f"{shape} codes of {info['codes']['number']}, each of {dimensions}"


def _times(shape):
    """A shape in words; n is any size."""
    return "×".join("n" if size is None else str(size) for size in shape)


def describe_metric(metric):
    """One line for one entry of a preset's `metrics`."""
    value = f"{metric['value']:.{metric.get('digits', 2)}f}"
    if metric.get("standard_error"):
        value += f" ± {metric['standard_error']:.2f}"
    unit = f" {_text(metric['unit'])}" if metric.get("unit") else ""
    return f"{_text(metric['title'])}: {value}{unit} ({_text(metric['how'])})"


def dump_json(value):
    """JSON in the format of presets."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def describe(model, name, files, extra):
    """The metadata of a model with its files in the folder `files`."""
    data_range = model.likelihood.data_range
    condition = None
    if model.condition is not None:
        kind = type(model.condition).__name__.lower()
        condition = f"{kind} ({model.condition.dim})"
    return {
        "format": FORMAT,
        "name": name,
        "version": 1,
        "description": "A variational autoencoder.",
        **extra,
        "input": {
            "shape": list(model.data_shape),
            "dtype": "float32",
            "range": None if data_range is None else list(data_range),
        },
        "latent_dim": model.latent_dim,
        **_described_codes(model),
        "condition": condition,
        "parameters": int(sum(np.prod(w.shape) for w in model.weights if w is not model.step)),
        "bytes": (files / WEIGHTS).stat().st_size,
        "sha256": {f: sha256(files / f) for f in (CONFIG, WEIGHTS)},
    }


def _described_codes(model):
    if not model.codes_are_integers:
        shape = list(model.code_shape)
        return {"codes": {"shape": shape, "number": None}} if len(shape) > 1 else {}
    return {"codes": {"shape": list(model.code_shape), "number": model.num_codes}}


def _golden_codes(model, x, condition):
    codes = model.encode(x)
    z = np.random.default_rng(0).integers(0, model.num_codes, codes.shape, "int32")
    values = {
        "x": x,
        "z": z,
        "codes": codes,
        "decoded": model.decode(z),
        "reconstructed": model.reconstruct(x),
        "log_px": model.log_px(x, z),
        "code_log_prob": model.code_log_prob(z, condition),
        "log_likelihood": model.log_likelihood(x, condition=condition, seed=0),
        "tolerance": np.float32(1e-5),
    }
    return values if condition is None else {**values, "condition": condition}


def golden_values(model, x, condition=None):
    """Outputs of a model for a few inputs; the same on every backend."""
    if model.codes_are_integers:
        return _golden_codes(model, x, condition)
    q = model.posterior(x, condition)
    z = np.random.default_rng(0).standard_normal(q.center.shape, "float32")
    values = {
        "x": x,
        "z": z,
        "mean": q.center,
        "decoded": model.decode(z, condition),
        "reconstructed": model.reconstruct(x, condition),
        "log_px": model.log_px(x, z, condition),
        "tolerance": np.float32(1e-5),
    }
    if model.posterior_layer.is_diagonal_normal:
        values["log_var"] = q.log_var
    if getattr(model.prior, "fitted_alone", False):
        # Its density takes many times as long as what it is for.
        values["drawn"] = model.sample(len(x), condition=condition, seed=0)
    # Codes without noise have no bound, and neither do losses that are not densities.
    elif model.has_bound:
        values["log_likelihood"] = model.log_likelihood(x, 10, condition, seed=0)
    return values if condition is None else {**values, "condition": condition}


def sha256(path):
    """The sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_metadata(files, path):
    """Reads the metadata and checks its keys; `path` is for error messages."""
    metadata = read_json(files, METADATA, path)
    if metadata.get("format", FORMAT) != FORMAT:
        raise ValueError(
            f"The preset has a format that this keras_vae does not know: update it. "
            f"Expected: {FORMAT}. Received: {_short(metadata['format'])} in {path}"
        )
    missing = [key for key in _KEYS if key not in metadata]
    if missing or not isinstance(metadata["sha256"], dict):
        raise ValueError(
            f"The preset's {METADATA} is incomplete. "
            f"Received: no {', '.join(missing) or 'sha256 of files'} in {path}"
        )
    check_values(metadata, path)
    return metadata


def check_values(metadata, path):
    """Raises `ValueError` for metadata of types, or of lengths, that no preset has."""
    wrong = _wrong(metadata)
    if wrong:
        raise ValueError(
            f"The preset's {METADATA} has a value of another type than it should, or out of range. "
            f"Received: {plain.text(wrong, lines=False)} in {path}"
        )


def _wrong(metadata):
    """What is wrong with metadata, in words, or None. Nothing is formatted to find it out."""
    waiting = [(None, metadata)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str) and len(value) > _MOST_TEXT:
            return f"a text of {len(value):,} characters for {str(key)[:40]!r}"
        if isinstance(value, int) and abs(value) > 2**63:
            return f"an integer beyond 64 bits for {str(key)[:40]!r}"
        if isinstance(value, (dict, list)):
            pairs = value.items() if isinstance(value, dict) else ((key, v) for v in value)
            waiting += pairs
    for key in _INTEGERS:
        if type(metadata[key]) is not int or metadata[key] < 0:
            return f"{key}={_short(metadata[key])}"
    for key in ("name", "description"):
        if isinstance(metadata[key], (dict, list)):
            return f"{key}={_short(metadata[key])}"
    for file in (CONFIG, WEIGHTS):
        if not isinstance(metadata["sha256"].get(file, ""), (str, type(None))):
            return f"sha256 of {file}: {_short(metadata['sha256'][file])}"
    return (
        _wrong_input(metadata["input"])
        or _wrong_codes(metadata.get("codes"))
        or _wrong_metrics(metadata.get("metrics", []))
    )


def _wrong_input(value):
    if not isinstance(value, dict) or not _is_shape(value.get("shape")):
        return f"input={_short(value)}"
    limits = value.get("range", ())
    if not isinstance(value.get("dtype"), str) or not (
        limits is None
        or (isinstance(limits, list) and len(limits) == 2 and all(map(_is_number, limits)))
    ):
        return f"input={_short(value)}"
    return None


def _wrong_codes(value):
    if not value:
        return None
    number = value.get("number", "") if isinstance(value, dict) else ""
    if not (number is None or type(number) is int) or not _is_shape(value.get("shape")):
        return f"codes={_short(value)}"
    return None


def _wrong_metrics(metrics):
    if not isinstance(metrics, list) or len(metrics) > _MOST_METRICS:
        return f"metrics={_short(metrics)}"
    for metric in metrics:
        if not isinstance(metric, dict):
            return f"the metric {_short(metric)}"
        texts = [metric.get("title"), metric.get("how"), metric.get("unit") or ""]
        numbers = [metric.get("value"), metric.get("standard_error") or 0]
        digits = metric.get("digits", 2)
        if not (
            all(isinstance(text, str) for text in texts)
            and all(map(_is_number, numbers))
            and type(digits) is int
            and 0 <= digits <= _MOST_DIGITS
        ):
            return f"the metric {_short(metric)}, with digits from 0 to {_MOST_DIGITS}"
    return None


def _is_shape(value):
    return (
        isinstance(value, list)
        and len(value) <= 16
        and all(size is None or type(size) is int for size in value)
    )


def _is_number(value):
    return isinstance(value, (int, float)) and math.isfinite(value)


def _short(value):
    """The beginning of a value, which may be long."""
    if isinstance(value, (list, dict)) and len(value) > 20:
        return f"a {type(value).__name__} of {len(value):,}"
    return repr(value)[:200]


def read_json(files, name, path):
    """Reads a file of JSON in `files`, private copies of the preset `path`."""
    if not (files / name).is_file():
        raise ValueError(f"The preset lacks {name}. Received: {path}")
    return allowed.read(files / name, path / name)


def check_hashes(files, path, names):
    """Raises `ValueError` if files have other hashes than the metadata says."""
    hashes = read_metadata(files, path)["sha256"]
    for name in names:
        _check_hash(files, name, path, hashes.get(name))


def _check_hash(files, name, path, expected):
    if not (files / name).is_file():
        raise ValueError(f"The preset lacks {name}. Received: {path}")
    received = sha256(files / name)
    if received != expected:
        raise ValueError(
            f"{name} is damaged or was changed: its sha256 is not the one in "
            f"{METADATA}. Get the preset again. Expected: {_text(expected)}. "
            f"Received: {received} of {path / name}"
        )
