"""Checks that every model keeps, for anybody's subclass or parts.

As scikit-learn's `check_estimator`: `check_model(model)` puts a model through everything
that is public and the same for all models, and says what does not hold. The tests of
keras_vae call it for every named function.
"""

import functools
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae.models.vae import VAE

# Codes along a side of example pictures of a model that takes any size.
_ANY = 4
# What a single step of plain gradient descent moves weights by.
RATE = 1e-3


def check_model(
    model: VAE,
    x: np.ndarray | None = None,
    y: np.ndarray | None = None,
    checks: str | Iterable[str] | None = None,
    seed: int = 0,
) -> tuple[str, ...]:
    """Checks that a model keeps what all models of keras_vae promise.

    The model itself is not changed: what trains, trains copies made by
    `type(model).from_config(model.get_config())`. Made for tiny models: with pictures of
    8 × 8 and a few units it takes seconds.

    Args:
        model: a built `models.VAE`, of any subclass and any parts.
        x: data `(n, ...)`, at least 4 examples; blobs in the range of the model's data by
            default.
        y: conditions of a conditional model; made to fit by default.
        checks: some of `CHECKS`, or one of them; all by default.
        seed: int, for data that are made and for everything that draws.

    Returns:
        Tuple of the names of the checks that ran.

    Raises:
        AssertionError: a check failed; the message names it and says what was expected
            and what was received.
        TypeError: no `VAE`.
        ValueError: an unknown check, or data that the model does not take.

    Example:
        >>> keras_vae.testing.check_model(MyVAE(encoder, decoder, posterior))
    """
    if not isinstance(model, VAE):
        raise TypeError(f"`model` must be a `models.VAE`. Received: {type(model).__name__}")
    names = CHECKS if checks is None else (checks,) if isinstance(checks, str) else tuple(checks)
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise ValueError(f"`checks` must be some of {', '.join(CHECKS)}. Received: {unknown}")
    x, y = example_data(model, seed=seed) if x is None else (x, y)
    if len(x) < 4:
        raise ValueError(f"`x` must hold at least 4 examples. Received: {len(x)}")
    scope = {type(model).__name__: type(model)}
    trained = []
    for name in names:
        case = _Case(name, model, np.asarray(x), None if y is None else np.asarray(y), seed)
        case.copies = trained
        try:
            # A class that is not registered can be saved, but not found again.
            with keras.saving.custom_object_scope(scope):
                _CHECKS[name](case)
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(
                f"check {name!r} of {type(model).__name__} failed. Expected: no error. "
                f"Received: {type(error).__name__}: {error}"
            ) from error
    return names


def example_data(model: VAE, n: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    """Data and conditions that a model takes: smooth pictures, labels in turn.

    Args:
        model: a `models.VAE`.
        n: number of examples.
        seed: int.

    Returns:
        `(x, y)`: x `(n, ...)` float32; y None for an unconditional model.
    """
    rng = np.random.default_rng(seed)
    # Nearly black and white, so that much of the first loss can be learnt away.
    shape = [_ANY * model.factor if size is None else size for size in model.data_shape]
    grids = np.meshgrid(*(np.linspace(0, 1, size) for size in shape), indexing="ij")
    waves = np.tensordot(rng.uniform(0.5, 1.5, (n, len(grids))), np.stack(grids), 1)
    starts = rng.uniform(0, 1, (n,) + (1,) * len(grids))
    low, high = model.likelihood.data_range or (0.0, 1.0)
    share = 0.5 + 0.5 * np.tanh(4 * np.sin(2 * np.pi * (waves + starts)))
    x = (low + (high - low) * share).astype("float32")
    if model.likelihood.counts:
        x = np.round(5.0 * x)
    if model.likelihood.missing:
        x[rng.random(x.shape) < 0.2] = np.nan
    if model.condition is None:
        return x, None
    if model.takes_labels:
        return x, (np.arange(n) % model.condition.dim).astype("int32")
    return x, (rng.random((n, model.condition.dim)) < 0.5).astype("float32")


def check_learns(
    model: VAE,
    x: np.ndarray,
    y: np.ndarray | None = None,
    epochs: int = 60,
    falls_to: float = 0.95,
    **options: Any,
) -> dict[str, list[float]]:
    """Trains a compiled model and checks its history.

    Args:
        model: a compiled `models.VAE`; it is trained.
        x, y: as for `fit`.
        epochs: how many; as a rule some 60 steps of Adam(1e-2) show that a tiny model
            learns.
        falls_to: what part of the first epoch's `reconstruction_loss` the last must be
            below.
        **options: of `fit`.

    Returns:
        Dict of the logged numbers of every epoch.

    Raises:
        AssertionError: a term of the objective is not logged, a number is not finite, or
            the reconstruction does not improve.
    """
    case = _Case("learning", model, x, y, 0)
    history = model.fit(x, y, epochs=epochs, verbose=0, **options).history
    terms = {"loss", *model.objective.terms}
    validated = {f"val_{term}" for term in terms} if "validation_data" in options else set()
    case.equal("names that `fit` logs", set(history), terms | validated)
    for name, values in history.items():
        case.finite(f"`{name}` of every epoch", values)
    if "reconstruction_loss" in history:
        first, *_, last = history["reconstruction_loss"]
        # Log-densities may be positive: what counts is how far below the first it is.
        case.true(
            last < first - (1.0 - falls_to) * abs(first),
            f"`reconstruction_loss` below {falls_to} of the first epoch's, {first:.4g}",
            f"{last:.4g} after {epochs} epochs",
        )
    return history


class _Case:
    """One check of one model: its data, and messages that all read the same."""

    def __init__(self, check, model, x, y, seed):
        self.check, self.model, self.x, self.y, self.seed = check, model, x, y, seed
        # What `trained` has made, for all checks together.
        self.copies = []

    def true(self, condition, expected, received):
        if not condition:
            raise AssertionError(
                f"check {self.check!r} of {type(self.model).__name__} failed. "
                f"Expected: {expected}. Received: {received}"
            )

    def equal(self, what, received, expected):
        self.true(received == expected, f"{what} {expected}", received)

    def array(self, what, found, shape, dtype="float32"):
        """A NumPy array of that shape and dtype, finite."""
        self.true(isinstance(found, np.ndarray), f"{what} a NumPy array", type(found).__name__)
        described = f"{what} of shape {tuple(shape)}, dtype {dtype}"
        self.true(
            found.shape == tuple(shape) and found.dtype == dtype,
            described,
            f"shape {found.shape}, dtype {found.dtype}",
        )
        self.finite(what, found)
        return found

    def finite(self, what, found):
        bad = int((~np.isfinite(np.asarray(found, "float64"))).sum())
        self.true(bad == 0, f"{what} finite", f"{bad} NaN or infinite values")

    def same(self, what, first, second, tolerance=0.0):
        """Two arrays within a tolerance, which grows with values above 1."""
        first, second = np.asarray(first, "float64"), np.asarray(second, "float64")
        gap = np.abs(first - second).max() / max(1.0, np.abs(first).max())
        self.true(gap <= tolerance, f"{what} the same within {tolerance:g}", f"a gap of {gap:g}")

    def refused(self, what, function, errors=(ValueError,)):
        try:
            function()
        except errors:
            return
        except Exception as error:
            self.true(False, f"{what} refused by a {errors[0].__name__}", repr(error))
        self.true(False, f"{what} refused by a {errors[0].__name__}", "no error")

    def rows(self, rows):
        return self.x[rows], None if self.y is None else self.y[rows]

    def clone(self, weights=True):
        """A model of the same configuration, and if asked of the same weights and noise."""
        clone = type(self.model).from_config(self.model.get_config())
        if weights:
            clone.set_weights(self.model.get_weights())
            state = ops.convert_to_numpy(self.model.seed_generator.state)
            # A copy: under JAX a training step deletes the arrays that it was given.
            clone.seed_generator.state.assign(state.copy())
        return clone

    def trained(self, number=0):
        """A copy after one epoch, its losses and its weights then; each number trained once.

        To train a copy is mostly to compile it. Who trains it on leaves it to the next check.
        """
        while len(self.copies) <= number:
            model = self.clone()
            model.compile(keras.optimizers.Adam(1e-3))
            keras.utils.set_random_seed(self.seed)
            history = model.fit(self.x, self.y, batch_size=4, shuffle=False, verbose=0).history
            losses = {name: values[0] for name, values in history.items()}
            self.copies.append((model, losses, model.get_weights()))
        return self.copies[number]

    def one_condition(self):
        """What `sample` needs: the first example's condition, where there is one."""
        return None if self.y is None else self.y[0]

    @property
    def code_shape(self):
        shape = self.model.code_shape
        if None not in shape:
            return shape
        size = (side // self.model.factor for side in self.x.shape[1:3])
        return (*size, *shape[2:])

    @property
    def size_of_samples(self):
        """The argument of `sample` for a model of any size."""
        return {"map_shape": self.code_shape[:2]} if None in self.model.code_shape else {}

    @property
    def code_dtype(self):
        return "int32" if self.model.codes_are_integers else "float32"


def _configuration(case):
    config = case.model.get_config()
    clone = case.clone()
    case.equal("the class of from_config(get_config())", type(clone), type(case.model))

    def plain(value):
        return json.dumps(keras.saving.serialize_keras_object(value), sort_keys=True, default=str)

    again = clone.get_config()
    for key in sorted({*config, *again}):
        before, after = plain(config.get(key)), plain(again.get(key))
        # Names of layers inside a part may be counted on.
        if key not in ("encoder", "decoder", "classifier", "discriminator"):
            case.equal(f"`{key}` of the configuration, after from_config,", after, before)
    first = case.model.reconstruct(case.x, condition=case.y)
    case.same(
        "reconstructions by from_config(get_config()) with the same weights",
        first,
        clone.reconstruct(case.x, condition=case.y),
    )


def _codes(case):
    model, x, y, n = case.model, case.x, case.y, len(case.x)
    z = case.array(
        "`encode(x)`", model.encode(x, condition=y), (n, *case.code_shape), case.code_dtype
    )
    case.same("`encode(x)` called twice", z, model.encode(x, condition=y))
    few = model.encode(x, condition=y, batch_size=3)
    case.same("`encode(x)` in batches of 3 and all at once", z, few, 1e-5)
    if model.codes_are_integers:
        case.true(
            0 <= z.min() and z.max() < model.num_codes,
            f"codes from 0 to {model.num_codes - 1}",
            f"codes from {z.min()} to {z.max()}",
        )


def _reconstructions(case):
    model, x, y = case.model, case.x, case.y
    rebuilt = case.array("`reconstruct(x)`", model.reconstruct(x, condition=y), x.shape)
    case.same("`reconstruct(x)` called twice", rebuilt, model.reconstruct(x, condition=y))
    z = model.encode(x, condition=y)
    labels = model.all_labels(x, y) if model.classifies else y
    decoded = case.array("`decode(z)`", model.decode(z, condition=labels), x.shape)
    case.same("`reconstruct(x)` and `decode(encode(x))`", rebuilt, decoded, 1e-6)
    tensor = ops.convert_to_tensor(x)
    called = model(tensor if y is None else (tensor, ops.convert_to_tensor(y)))
    case.same("`reconstruct(x)` and `model(x)`", rebuilt, ops.convert_to_numpy(called), 1e-5)
    case.array("`log_px(x, z)`", model.log_px(x, z, condition=labels), (len(x),))


def _posterior(case):
    model, x, y = case.model, case.x, case.y
    if model.codes_are_integers:
        case.refused("`posterior` of integer codes", lambda: model.posterior(x, y))
        case.array("`code_log_prob(x)`", model.code_log_prob(x, y), (len(x),))
        return
    q = model.posterior(x, condition=y)
    center = case.array("`posterior(x).center`", q.center, (len(x), *case.code_shape))
    case.same("`posterior(x).center` and `encode(x)`", center, model.encode(x, condition=y), 1e-5)
    case.array("`posterior(x).sample(3)`", q.sample(3, case.seed), (3, *center.shape))
    if model.posterior_layer.has_density:
        z, log_qz = q.sample_and_log_prob(3, case.seed)
        case.array("`posterior(x).sample_and_log_prob(3)`", log_qz, (3, len(x)))


def _samples(case):
    model, condition = case.model, case.one_condition()

    def draw(n=4, **options):
        return model.sample(n, condition=condition, **case.size_of_samples, **options)

    if not model.can_sample:
        case.refused("`sample` of a model without a prior", lambda: draw(seed=case.seed))
        return
    drawn = case.array("`sample(4)`", draw(seed=case.seed), (4, *case.x.shape[1:]))
    case.same("`sample(4)` with one seed, twice", drawn, draw(seed=case.seed))
    other = draw(seed=case.seed + 1)
    case.true(
        np.abs(drawn - other).max() > 1e-5,
        "`sample(4)` different with another seed",
        "no difference",
    )
    case.refused("`sample(0)`", lambda: draw(0))


def _paths(case):
    model, (x, y) = case.model, case.rows(slice(0, 2))
    if model.codes_are_integers:
        case.refused("`interpolate` of integer codes", lambda: model.interpolate(x, x))
        case.refused("`traverse` of integer codes", lambda: model.traverse(x, 0))
        return
    if model.classifies:
        y = model.all_labels(x, y)
    path = model.interpolate(x, x[::-1], steps=3, condition=y)
    case.array("`interpolate(a, b, steps=3)`", path, (2, 3, *x.shape[1:]))
    ends = model.reconstruct(x, condition=y)
    case.same("the first of `interpolate(a, b)` and `reconstruct(a)`", path[:, 0], ends, 1e-5)
    line = model.traverse(x, 0, values=[-1.0, 0.0, 1.0], condition=y)
    case.array("`traverse(x, 0, values)`", line, (2, 3, *x.shape[1:]))
    case.refused("`traverse` of no dimension", lambda: model.traverse(x, model.latent_dim))


def _bound(case):
    model, (x, y) = case.model, case.rows(slice(0, 4))

    def bound(samples, seed):
        return model.log_likelihood(x, samples, condition=y, seed=seed, verbose=False)

    if not model.has_bound:
        if not model.codes_are_integers:
            case.refused("`log_likelihood` without a bound", lambda: bound(2, case.seed))
        return
    found = case.array("`log_likelihood(x, 3)`", bound(3, case.seed), (len(x),), "float64")
    case.same("`log_likelihood(x, 3)` with one seed, twice", found, bound(3, case.seed))


def _losses(case):
    model, x, y = case.clone(), case.x, case.y
    if not model.compiled:
        model.compile(keras.optimizers.SGD(RATE))
    before = model.get_weights()
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    case.equal("names that `evaluate` gives", set(logs), {"loss", *model.objective.terms})
    for name, value in logs.items():
        case.finite(f"`{name}` of `evaluate`", value)
    unchanged = all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    case.true(unchanged, "weights as before after `evaluate`", "other weights")


def _gradients(case):
    """One step of plain gradient descent moves weights by the gradient."""
    # Fresh weights: the encoder of a trained model may have collapsed, and have none.
    model, x, y = case.clone(weights=False), case.x, case.y
    model.compile(keras.optimizers.SGD(RATE))
    variables = list(model.trainable_variables)
    before = [ops.convert_to_numpy(v) for v in variables]
    before = [np.array(value) for value in before]
    history = model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0).history
    for name, values in history.items():
        case.finite(f"`{name}` of `fit`", values)
    moved = {}
    for variable, old in zip(variables, before, strict=True):
        gradient = (ops.convert_to_numpy(variable) - old) / RATE
        case.finite(f"the gradient of {variable.path}", gradient)
        moved[variable.path] = bool(np.abs(gradient).max() > 0) if gradient.size else True
    for part in ("encoder", "decoder", "posterior_layer"):
        own = [v.path for v in getattr(model, part).trainable_variables]
        case.true(
            not own or any(moved.get(path) for path in own),
            f"a gradient other than 0 for some weight of `{part}`",
            "0 for all of them",
        )


def _repetition(case):
    """Equal weights, data and states of noise give equal training."""
    _, losses, weights = case.trained(0)
    _, again, weights_again = case.trained(1)
    case.equal("losses of the same training, repeated,", again, losses)
    equal = all(np.array_equal(a, b) for a, b in zip(weights, weights_again, strict=True))
    case.true(equal, "weights of the same training, repeated, the same", "other weights")


def _batch_of_one(case):
    model, (x, y) = case.clone(), case.rows(slice(0, 1))
    case.array(
        "`encode` of one", model.encode(x, condition=y), (1, *case.code_shape), case.code_dtype
    )
    case.array("`reconstruct` of one", model.reconstruct(x, condition=y), x.shape)
    whole = case.model.reconstruct(case.x, condition=case.y)[:1]
    case.same(
        "`reconstruct` of one, alone and among others",
        model.reconstruct(x, condition=y),
        whole,
        1e-5,
    )
    model.compile(keras.optimizers.Adam(1e-3))
    for name, value in model.evaluate(x, y, verbose=0, return_dict=True).items():
        case.finite(f"`{name}` of `evaluate` of one", value)
    for name, values in model.fit(x, y, verbose=0).history.items():
        case.finite(f"`{name}` of `fit` on one", values)


def _bad_input(case):
    """Bad data raise before anything changes, on every backend."""
    (model, *_), x, y = case.trained(), case.x, case.y
    before, codes = model.get_weights(), model.encode(x, condition=y)
    bad = {
        "data without a batch axis": x[0],
        "data of another shape": np.zeros((len(x), *x.shape[1:-1], x.shape[-1] + 1), "float32"),
        "no examples": x[:0],
        "infinite data": np.where(np.isnan(x), x, np.inf),
        "text": np.full(x.shape, "a"),
    }
    if model.likelihood.counts:
        bad["data that are no counts"] = x - 0.5
    if not model.likelihood.missing:
        bad["data that are NaN"] = np.full_like(x, np.nan)
    limits = model.likelihood.data_range
    if limits is not None:
        bad["data out of range"] = np.full_like(x, limits[1] + 1.0)
    errors = (ValueError, TypeError)
    for what, data in bad.items():
        rows = None if y is None else y[: len(data)]
        for name in ("encode", "reconstruct"):
            call = functools.partial(getattr(model, name), data, condition=rows)
            case.refused(f"{what}, given to `{name}`,", call, errors)
        for name in ("evaluate", "fit"):
            call = functools.partial(getattr(model, name), data, rows, verbose=0)
            case.refused(f"{what}, given to `{name}`,", call, errors)
    if y is not None:
        case.refused("too few conditions", lambda: model.fit(x, y[:-1], verbose=0), errors)
    else:
        case.refused("a condition of an unconditional model", lambda: model.encode(x, condition=0))
    unchanged = all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    case.true(unchanged, "weights as before after bad data", "other weights")
    case.same("`encode(x)` before and after bad data", codes, model.encode(x, condition=y))
    loss = model.fit(x, y, batch_size=4, verbose=0).history["loss"]
    case.finite("`loss` of `fit` after bad data", loss)


def _learning(case):
    model = case.clone(weights=False)
    model.compile(keras.optimizers.Adam(1e-2))
    check_learns(model, case.x, case.y, batch_size=len(case.x))


def _files(case):
    (model, *_), x, y = case.trained(), case.x, case.y
    expected = model.reconstruct(x, condition=y)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        model.save(path / "model.keras")
        model.save_weights(path / "model.weights.h5")
        loaded = keras.saving.load_model(path / "model.keras")
        fresh = case.clone(weights=False)
        fresh.load_weights(path / "model.weights.h5")
    for what, other in (("`save`", loaded), ("`save_weights`", fresh)):
        case.equal(f"the class of what {what} wrote", type(other), type(model))
        found = other.reconstruct(x, condition=y)
        case.same(f"reconstructions after {what}", found, expected)
    case.finite("`loss` of a loaded model", loaded.fit(x, y, verbose=0).history["loss"])


_CHECKS = {
    "configuration": _configuration,
    "codes": _codes,
    "reconstructions": _reconstructions,
    "posterior": _posterior,
    "samples": _samples,
    "paths": _paths,
    "bound": _bound,
    "losses": _losses,
    "gradients": _gradients,
    "repetition": _repetition,
    "batch of one": _batch_of_one,
    "bad input": _bad_input,
    "learning": _learning,
    "files": _files,
}
CHECKS = tuple(_CHECKS)
