"""What the page must know of a model: codes to start from, ranges, which sliders matter."""

import json
from pathlib import Path

import numpy as np

from keras_vae import _checks, datasets, priors

from ..demo import digits
from ..presets import faces, recipes

FORMAT = 1
# Codes of the prior that the page chooses from: a prior may be anything that Python can
# draw from, which the page cannot.
SAMPLES = 240
# Codes that the spread of each dimension is measured on.
SPREAD = 4096
# Maps of codes are drawn one code after the other, and maps of numbers are large.
MAPS, MOST_CODES = 80, 80 * 64
# Codes that each dimension is moved in, to see how much the picture changes.
BASES = 3


def about(model, info, folder):
    """What the page is told, and data that its export is compared on.

    Args:
        model: a `models.VAE`.
        info: its `zoo.info`.
        folder: the preset's folder.

    Returns:
        `(about, data)`: a dict as JSON holds it, but with arrays; and `x` or
        `(x, condition)`.

    Raises:
        ValueError: data that are no pictures, or no codes to start from.
    """
    shape = model.data_shape
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(
            "The page shows pictures: the model's data must have shape (height, width, 1 or 3). "
            f"Received: {shape}"
        )
    if None in model.code_shape:
        raise ValueError(
            "The page shows pictures of one size, and this model takes any: explore "
            "`model.with_input_shape((height, width, channels))`. "
            f"Received: codes of shape ({_checks.listed(model.code_shape)})"
        )
    draws = _is_of_digits(info, folder)
    starts = _digits(model) if draws else []
    samples = _samples(model, starts)
    quantized, of_maps = model.codes_are_integers, len(model.code_shape) > 1
    told = {
        "format": FORMAT,
        "name": info["name"],
        "description": info["description"],
        "licence": info.get("licence"),
        "data": info.get("data"),
        "shape": shape,
        "range": model.likelihood.data_range,
        "draws": draws,
        "kind": "codes" if quantized else "continuous",
        "condition": _condition(model, (starts or samples)[0]),
        # The decoder of a VQ-VAE sees no condition, which only chooses among the samples.
        "conditional": model.condition is not None and not quantized,
        "starts": starts,
        "samples": samples,
        # A slider for each number of a map would be hundreds, none of which means a thing alone.
        "latent": None if of_maps else _latent(model, starts or samples, samples),
        "codes": {"shape": model.code_shape, "number": model.num_codes} if quantized else None,
        "map": model.code_shape if of_maps and not quantized else None,
        "directions": None,
        # By how much codes are carried to another condition, where the prior knows the way.
        "transport": model.prior.transport_guidance if _carries(model) else None,
    }
    if model.directions is not None:
        shown = [n for n in faces.SWITCHED if n in model.directions.names]
        names = shown or model.directions.names
        vectors = [model.directions.vector(name) for name in names]
        told["directions"] = {"names": names, "vectors": vectors}
    return told, _data(model, samples, draws)


def _carries(model):
    """Whether switches carry the code: of attributes, which the page can compare."""
    return model.can_transport and model.takes_attributes


def dump(told):
    """JSON whose numbers have as many digits as float32 needs for a picture."""

    def plain(value):
        if isinstance(value, (np.ndarray, np.generic)):
            return plain(value.tolist())
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    return json.dumps(plain(told), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _is_of_digits(info, folder):
    """Whether a digit drawn by hand is what the model was trained on."""
    if tuple(info["input"]["shape"]) != (28, 28, 1):
        return False
    if (Path(folder) / recipes.RECIPE).is_file():
        return recipes.read(folder)["data"] == "mnist"
    # A model of one's own says nothing of its data, or says it in words.
    return str(info.get("data") or "MNIST").startswith("MNIST")


def _digits(model):
    """The codes of one real digit of each class."""
    x, y = digits()
    first = [int(np.flatnonzero(y == k)[0]) for k in range(10)]
    # Conditions that are no digits are left at none in particular.
    labels = model.takes_labels and model.condition.dim == 10
    condition = _some(model, len(first))
    if labels:
        condition = y[first]
    codes = model.encode(x[first], None if model.codes_are_integers else condition)
    return _rows(codes, condition, digit=range(10))


def _samples(model, starts):
    """Codes drawn from the prior, the same on every backend; real ones where there is none."""
    if model.codes_are_integers:
        n = max(4, min(MAPS, MOST_CODES // int(np.prod(model.code_shape))))
        condition = _some(model, n)
        return _rows(model.sample_codes(n, condition, seed=0), condition)
    if not model.can_sample:
        if starts:
            return starts
        raise ValueError(
            "The model has no prior to draw codes from: fit one to the codes of data, "
            "model.fit_sampler(x), and save it. Received: prior=NoPrior"
        )
    n = SAMPLES if len(model.code_shape) == 1 else MAPS
    condition = _some(model, n)
    return _rows(_drawn(model, condition, n, seed=0), condition)


def _drawn(model, condition, n, seed):
    encoded = None
    if condition is not None:
        encoded = model.condition.encode(_checks.condition(model, condition, n))
    return model.prior.sample(n, np.random.default_rng(seed), encoded)


def _some(model, n):
    """Plausible conditions: every label as often, people written by hand, or some attributes."""
    if model.condition is None:
        return None
    if model.takes_labels:
        return np.arange(n, dtype="int32") % model.condition.dim
    if model.condition.names == tuple(datasets.CELEBA_ATTRIBUTES):
        return faces.attributes(n)
    chosen = np.random.default_rng(0).random((n, model.condition.dim)) < 0.2
    return chosen.astype("float32")


def _rows(codes, condition, **more):
    columns = {"code": codes, **more}
    if condition is not None:
        columns["condition"] = condition
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _latent(model, bases, samples):
    """Middle and spread of each dimension under the prior, and which matter most."""
    d = model.latent_dim
    if isinstance(model.prior, priors.StandardNormal):
        center, scale = np.zeros(d), np.ones(d)
    elif not model.can_sample:
        codes = np.stack([row["code"] for row in samples])
        center, scale = codes.mean(0), codes.std(0)
    else:
        drawn = _drawn(model, _some(model, SPREAD), SPREAD, seed=1)
        center, scale = drawn.mean(0), drawn.std(0)
    # A dimension that never varies still needs a slider with two ends.
    scale = np.maximum(scale, 1e-3)
    choices = _choices(model.prior)
    effect = _effects(model, bases[:BASES], center, scale)
    for start, classes in choices:
        effect[start : start + classes] = effect[start : start + classes].max()
    return {
        "center": center,
        "scale": scale,
        "order": np.argsort(-effect, kind="stable"),
        "choices": choices,
    }


def _effects(model, bases, center, scale):
    """How far each dimension moves the picture: mean |difference| between its ± 2 spreads."""
    d = model.latent_dim
    z, condition = [], []
    for row in bases:
        low, high = (np.repeat(row["code"][None], d, axis=0) for _ in range(2))
        np.fill_diagonal(low, center - 2 * scale)
        np.fill_diagonal(high, center + 2 * scale)
        z += [low, high]
        condition += [row.get("condition")] * (2 * d)
    pictures = _decoded(model, np.concatenate(z), condition)
    pictures = pictures.reshape(len(bases), 2, d, -1)
    return np.abs(pictures[:, 1] - pictures[:, 0]).mean((0, 2))


def _decoded(model, codes, condition):
    condition = None if model.condition is None else np.stack(condition)
    return model.decode(codes, condition)


def _choices(prior, start=0):
    """`[first dimension, classes]` of every variable that is one of several."""
    if isinstance(prior, priors.UniformCategorical):
        return [[start + i * prior.classes, prior.classes] for i in range(prior.num_variables)]
    found = []
    if isinstance(prior, priors.ProductPrior):
        for part in prior.parts:
            found += _choices(part, start)
            start += part.latent_dim
    return found


def _condition(model, base):
    """Kind and names of the conditions; attributes sorted by what they change."""
    condition = model.condition
    if condition is None:
        return None
    labels = model.takes_labels
    told = {
        "kind": "labels" if labels else "attributes",
        "size": condition.dim,
        "names": condition.names or [str(i) for i in range(condition.dim)],
        "order": range(condition.dim),
    }
    if not labels and not model.codes_are_integers:
        y = np.repeat(base["condition"][None], 2 * condition.dim, axis=0)
        y = y.reshape(2, condition.dim, -1)
        for value in (0, 1):
            np.fill_diagonal(y[value], value)
        codes = np.repeat(base["code"][None], 2 * condition.dim, axis=0)
        pictures = model.decode(codes, y.reshape(2 * condition.dim, -1))
        pictures = pictures.reshape(2, condition.dim, -1)
        effect = np.abs(pictures[1] - pictures[0]).mean(1)
        # What the model was trained to obey stands before what changes by the way.
        if condition.names == tuple(datasets.CELEBA_ATTRIBUTES):
            effect[[condition.index(name) for name in faces.SWITCHED]] += 1.0
        told["order"] = np.argsort(-effect, kind="stable")
    return {**told, "order": [int(i) for i in told["order"]]}


def _data(model, samples, draws):
    """What the exported file is compared on: digits, or what the model draws itself."""
    if draws:
        x, y = (part[:64] for part in digits())
        if model.codes_are_integers or model.condition is None:
            return x
        labels = model.takes_labels and model.condition.dim == 10
        return x, (y if labels else _some(model, len(x)))
    few = samples[:32]
    codes = np.stack([row["code"] for row in few])
    if model.codes_are_integers:
        return _clipped(model, model.decode(codes))
    x = _clipped(model, _decoded(model, codes, [row.get("condition") for row in few]))
    return x if model.condition is None else (x, np.stack([row["condition"] for row in few]))


def _clipped(model, x):
    low, high = model.likelihood.data_range or (-np.inf, np.inf)
    return np.clip(x, low, high)
