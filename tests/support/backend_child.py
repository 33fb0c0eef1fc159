"""Run by test_backends.py in each backend: a folder, then tasks such as `save` and `terms`."""

import contextlib
import sys
from pathlib import Path

import keras
import numpy as np

from keras_vae import models, priors, zoo
from keras_vae.models import probes
from tests.support.registry import (
    NO_BOUND,
    ROWS,
    data,
    evidence,
    fixed_uniform,
    function,
    make,
    table,
)
from tests.support.variants import VARIANTS
from tools.demo import digits

# Priors that are learned, and labels that are drawn.
SAMPLED = ("auxiliary_vae", "flow_prior_vae", "mixture_vae", "structured_vae", "vamp_vae")
BACKENDS = ("tensorflow", "jax", "torch")
HERE = keras.backend.backend()


def small():
    return models.cvae((28, 28, 1), 4, "residual", units=(4,), num_classes=10, seed=0)


def small_vq():
    return models.vq_vae(
        *((28, 28, 1), 4, "residual", (4, 8)),
        **{"num_codes": 16, "num_classes": 10, "prior_channels": 4, "prior_depth": 1, "seed": 0},
    )


def data_of(name, preset):
    """256 digits, or the preset's own golden pictures, turned and dimmed: of large ones 16.

    Of a table the golden rows, of series the golden series as they are.
    """
    n = 256 if np.prod(preset.data_shape) < 1000 else 16
    x, y = digits()
    x, y = x[:n], y[:n]
    if preset.data_shape != x.shape[1:]:
        with np.load(zoo.folder(name) / "golden.npz") as golden:
            x, y = golden["x"], golden.get("condition")
        if preset.likelihood.tables or x.ndim == 3:
            return x, None
        shade = np.linspace(0.3, 1.0, -(-n // (2 * len(x))), dtype="float32")
        x = np.concatenate([np.concatenate([x, x[:, :, ::-1]]) * s for s in shade])
        y = None if y is None else np.concatenate([y] * (len(x) // len(y)))[:n]
        x = x[:n]
    return x, (None if preset.condition is None else y)


def some_codes(preset, n):
    """Codes that a preset may be asked to decode."""
    rng = np.random.default_rng(0)
    if preset.codes_are_integers:
        return rng.integers(0, preset.num_codes, (n, *preset.code_shape))
    if len(preset.code_shape) > 1:
        return rng.standard_normal((n, *preset.code_shape), "float32")
    parts = []
    for prior in getattr(preset.prior, "parts", [preset.prior]):
        if isinstance(prior, priors.UniformCategorical):
            symbols = rng.integers(0, prior.classes, (n, prior.num_variables))
            parts.append(np.eye(prior.classes, dtype="float32")[symbols].reshape(n, -1))
        else:
            parts.append(rng.standard_normal((n, prior.latent_dim), "float32"))
    return np.concatenate(parts, axis=-1)


def gap(preset, x):
    """How much farther the second nearest code is than the nearest, squared distances."""
    features = keras.ops.convert_to_numpy(preset.encoder(x)).astype("float64")
    codes = np.asarray(preset.codebook, "float64")
    # Of |f|² - 2 f·c + |c|² the first is the same for each code.
    distances = np.square(codes).sum(-1) - 2 * features @ codes.T
    nearest = np.partition(distances, 1, axis=-1)[..., :2]
    return nearest[..., 1] - nearest[..., 0]


def save(folder):
    x, y = digits()
    model = small()
    model.fit(x[:64], y[:64], verbose=0)
    model.save(folder / f"{HERE}.keras")
    model.save_weights(folder / f"{HERE}.weights.h5")
    zoo.save(model, folder / f"{HERE}_preset")
    expected = {"small": model.reconstruct(x[:64], condition=y[:64])}
    model = small_vq()
    model.fit(x[:64], y[:64], verbose=0)
    model.save(folder / f"{HERE}_vq.keras")
    zoo.save(model, folder / f"{HERE}_vq_preset")
    expected["vq.codes"] = model.encode(x[:64])
    expected["vq.reconstructed"] = model.reconstruct(x[:64])
    expected["vq.sampled"] = model.sample_codes(32, condition=3, seed=7)
    expected["vq.bound"] = model.log_likelihood(x[:64], condition=y[:64])
    for name in zoo.list_models():
        preset = zoo.load(name)
        data, condition = data_of(name, preset)
        z = some_codes(preset, len(data))
        expected[f"{name}.encode"] = preset.encode(data, condition)
        if preset.codes_are_integers:
            expected[f"{name}.gap"] = gap(preset, data)
        expected[f"{name}.decode"] = preset.decode(z, condition)
        one = None if condition is None else condition[0]
        # As many as above, so that the same programs run. Codes of maps are drawn one by one.
        n = 8 if preset.codes_are_integers else len(data)
        drawn = preset.likelihood.encode(preset.sample(n, condition=one, seed=3))
        expected[f"{name}.sample"] = drawn[:8]
        if "celeba" in name and not preset.codes_are_integers:
            edited = preset.edit(data, condition, Smiling=1, Eyeglasses=1)
            expected[f"{name}.edit"] = edited[:32]
        # The brightest: a density of dimmed pictures may be near 0, sums of hundreds of nats
        # that cancel, whose last bit is more than 1e-5 of what is left.
        bright, few = data[-4:], None if condition is None else condition[-4:]
        # Of a code without noise, or with a loss that is no density, there is none. The density of
        # a flow takes many times as long as its draws, which are compared.
        if preset.has_bound and not getattr(preset.prior, "fitted_alone", False):
            expected[f"{name}.bound"] = preset.log_likelihood(bright, 20, few)
        else:
            expected[f"{name}.bound"] = preset.log_px(bright, z[-4:], few)
    np.savez(folder / f"{HERE}.npz", **expected)


def load_vq(folder):
    """The same codes, pictures and draws, wherever the model was saved; then it trains."""
    x, y = digits()
    x, y = x[:64], y[:64]
    for other in BACKENDS:
        expected = np.load(folder / f"{other}.npz")
        for model in (
            keras.saving.load_model(folder / f"{other}_vq.keras"),
            zoo.load(folder / f"{other}_vq_preset"),
        ):
            equal = (model.encode(x) == expected["vq.codes"]).all()
            same = (model.sample_codes(32, condition=3, seed=7) == expected["vq.sampled"]).all()
            difference = np.abs(model.reconstruct(x) - expected["vq.reconstructed"]).max()
            bound = model.log_likelihood(x, condition=y) / expected["vq.bound"]
            before = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
            model.fit(x, y, epochs=5, verbose=0)
            after = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
            print(
                f"codes: {other} {HERE} {int(equal)} {int(same)} {difference} "
                f"{np.abs(bound - 1).max()} {before} {after}",
                flush=True,
            )


def load(folder):
    unoptimised()
    x, y = digits()
    x, y = x[:64], y[:64]
    fresh = small()
    fresh.compile("adam")
    for other in BACKENDS:
        expected = np.load(folder / f"{other}.npz")["small"]
        fresh.load_weights(folder / f"{other}.weights.h5")
        loaded = {
            "keras": keras.saving.load_model(folder / f"{other}.keras"),
            "weights": fresh,
            "preset": zoo.load(folder / f"{other}_preset"),
        }
        for kind, model in loaded.items():
            found = model.reconstruct(x, condition=y)
            difference = np.abs(found - expected).max()
            before = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
            model.fit(x, y, epochs=5, verbose=0)
            after = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
            print(f"weights: {other} {HERE} {kind} {difference} {before} {after}", flush=True)


def unoptimised():
    """From here on TensorFlow runs each graph a few times: optimising it would take longer."""
    if HERE == "tensorflow":
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def terms(folder):
    """Every named term of every model, given weights and noise, and one step of training."""
    unoptimised()
    found = {}
    ROWS.update(VARIANTS)
    # Of the choice of samples whose gradient is taken.
    probes.uniform = fixed_uniform
    for name in table():
        model = make(name)
        x, y = data(name)
        rng = np.random.default_rng(0)
        noise = rng.standard_normal((4, len(x), model.noise_dim), "float32")
        # What a full covariance has besides a diagonal one starts as 0.
        if (extra := getattr(model.posterior_layer, "extra", None)) is not None:
            extra.set_weights([0.3 * rng.normal(size=w.shape) for w in extra.get_weights()])
        for training in (False, True):
            loss, named = model.objective(evidence(model, x, y, noise, training))
            for term, values in {"loss": loss, **named}.items():
                key = f"{name}.{'training' if training else 'evaluation'}.{term}"
                found[key] = keras.ops.convert_to_numpy(values)
        found |= {f"{name}.inference.{k}": v for k, v in inferred(name, model, x, y).items()}
        found |= {f"{name}.step.{k}": v for k, v in step(model, x, y, noise).items()}
    np.savez(folder / f"{HERE}_terms.npz", **found)


def inferred(name, model, x, y):
    """Codes, pictures and the bound, which draws its noise by NumPy."""
    found = {"codes": model.encode(x, y), "pictures": model.reconstruct(x, y)}
    if name not in NO_BOUND and function(name) not in NO_BOUND:
        found["bound"] = model.log_likelihood(np.round(x[:3]), 5, None if y is None else y[:3])
    if hasattr(model, "impute"):
        found["imputed"] = model.impute(x[:3], samples=20, seed=4, verbose=False)
    z = np.random.default_rng(5).standard_normal((len(x), model.latent_dim), "float32")
    # Of any code, where the posterior's flows have an inverse.
    with contextlib.suppress(NotImplementedError):
        if "categorical" not in name and "joint" not in name and model.posterior_layer.has_density:
            found["density"] = model.posterior(x, y).log_prob(z)
    return found


def step(model, x, y, noise):
    """What one compiled step of `fit` logs, and the gradients that it goes down."""
    original = model.evidence

    def given(x, y=None, training=True, *_):
        model.evidence = original
        found = evidence(model, x, y, noise, training)
        model.evidence = given
        return found

    model.evidence = given
    # Without the noise of binarisation.
    model.likelihood.observe = lambda x, seed: x
    model.compile(keras.optimizers.SGD(1.0))
    # A second network of a model draws for itself.
    rivals = {id(v) for v in getattr(model, "discriminator", model.decoder).variables}
    rivals -= {id(v) for v in model.decoder.variables}
    before = {i: w for i, w in enumerate(model.get_weights())}
    logs = model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0, fast=False).history
    found = {f"log {k}": np.float64(v[0]) for k, v in logs.items()}
    for i, variable in enumerate(model.weights):
        if variable.trainable and id(variable) not in rivals:
            found[f"gradient {i}"] = before[i] - keras.ops.convert_to_numpy(variable)
    return found


def samples(folder):
    """Samples of every model that has a prior, and what sets some apart."""
    found = {}
    for name in SAMPLED:
        model = make(name)
        prior = model.prior
        rng = np.random.default_rng(0)
        prior.set_weights([0.5 * rng.normal(size=w.shape) for w in prior.get_weights()])
        found[f"{name}.codes"] = prior.sample(50, np.random.default_rng(1))
        found[f"{name}.pictures"] = model.sample(20, seed=2)
        if model.classifies:
            found[f"{name}.classes"] = model.classify(data(name)[0])
    np.savez(folder / f"{HERE}_samples.npz", **found)


if __name__ == "__main__":
    commands = {"save": save, "load": load, "load_vq": load_vq, "terms": terms, "samples": samples}
    for task in sys.argv[2:]:
        commands[task](Path(sys.argv[1]))
