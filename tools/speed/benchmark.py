"""`benchmark`: how fast `fit` trains beside a loop written by hand in the same framework."""

import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers

from keras_vae import conditions, likelihoods, models, objectives, posteriors, quantizers
from keras_vae.layers import Conv2DTranspose

from .. import machine
from . import peer, raw_loops

# PyTorch first: pythae runs in its process.
BACKENDS = ("torch", "tensorflow", "jax")
# Of a turn: what `fit` does once a call, such as looking at all of the data, is not of a step.
EPOCHS = 3
# Networks that are measured against pythae's too.
PEERS = ("A", "B", "D")
# Stages of the networks that are built by `models.vae`.
OWN = {"S": "blocks", "E": "compact"}
HEAD = (
    "| backend | network | fit, images / s | / CPU-second | by hand, / CPU-second "
    "| ratio, wall | ratio, CPU | first epoch, fit / plain Keras / by hand, s |"
)


def networks():
    """Networks by name: `(encoder, decoder)` of `raw_loops`, shape, batch size, attributes.

    S is B as this package builds it, with sub-pixel convolutions, and E with its compact
    ones, which compute as much as B; by hand both are B. D is a VQ-VAE, whose prior is
    constant while it trains, as in its paper.
    """
    dense = (
        [("dense", 512, 1), ("dense", 256, 1), ("dense", 32, 0)],
        [("dense", 256, 1), ("dense", 512, 1), ("dense", 784, 0), ("reshape", (28, 28, 1))],
    )
    conv = _convolutions((28, 28, 1), (32, 64), 32)
    quantized = [("conv", 32, 1), ("conv", 64, 0)], [("up", 32, 1), ("up", 1, 0)]
    return {
        "A": (dense, (28, 28, 1), 128, 0),
        "B": (conv, (28, 28, 1), 128, 0),
        "S": (conv, (28, 28, 1), 128, 0),
        "E": (conv, (28, 28, 1), 128, 0),
        "C": (_convolutions((64, 64, 3), (32, 64, 128, 256), 128), (64, 64, 3), 64, 40),
        "D": (quantized, (28, 28, 1), 128, 0),
    }


def _convolutions(shape, widths, latent_dim):
    size, channels = shape[0] >> len(widths), shape[-1]
    start = (size, size, widths[-1])
    encoder = [("conv", width, 1) for width in widths] + [("dense", 2 * latent_dim, 0)]
    decoder = [("dense", math.prod(start), 1), ("reshape", start)]
    decoder += [("up", width, 1) for width in reversed(widths[:-1])] + [("up", channels, 0)]
    return encoder, decoder


def model_of(network, shape, attributes=0):
    """The `VAE` of a network of `raw_loops`."""
    encoder, decoder = network
    if raw_loops.quantizes(network):
        return _vq_vae(encoder, decoder, shape)
    latent_dim = encoder[-1][1] // 2
    data, code, extra = keras.Input(shape), keras.Input((latent_dim,)), keras.Input((attributes,))
    x, z = data, code
    if attributes:
        maps = layers.Reshape((1, 1, attributes))(extra)
        x = layers.Concatenate()([x, layers.UpSampling2D(shape[:2])(maps)])
        z = layers.Concatenate()([z, extra])
    condition = conditions.Attributes(attributes) if attributes else None
    return models.VAE(
        keras.Model([data, extra] if attributes else data, layers.Flatten()(_run(encoder[:-1], x))),
        keras.Model([code, extra] if attributes else code, _run(decoder, z)),
        posteriors.DiagonalNormal(latent_dim),
        condition=condition,
        seed=0,
    )


def _vq_vae(encoder, decoder, shape):
    data = keras.Input(shape)
    maps = _run(encoder, data)
    code = keras.Input(maps.shape[1:])
    codes, width = raw_loops.CODES, maps.shape[-1]
    return models.VQVAE(
        keras.Model(data, maps),
        keras.Model(code, _run(decoder, code)),
        quantizers.VectorQuantizer(codes, width, "gradient", revive_after=None, seed=0),
        _Constant(codes, maps.shape[1:3]),
        likelihood=likelihoods.Normal(1.0),
        objective=objectives.Quantized(raw_loops.COMMITMENT),
    )


class _Constant(keras.layers.Layer):
    """A prior of codes with nothing to train."""

    condition_dim = None

    def __init__(self, num_codes, map_shape):
        super().__init__(name="prior")
        self.num_codes, self.map_shape = num_codes, map_shape
        self.built = True

    def attach(self, model):
        """Nothing of the model is needed."""

    def log_prob(self, codes, condition=None):
        """log p(codes), nats: all are as likely."""
        number = math.prod(self.map_shape) * math.log(self.num_codes)
        return keras.ops.full((keras.ops.shape(codes)[0],), -number)


def _run(stages, x):
    if stages[0][0] == "dense" and len(x.shape) > 2:
        x = layers.Flatten()(x)
    for kind, value, *activate in stages:
        activation = "relu" if activate and activate[0] else None
        if kind == "reshape":
            x = layers.Reshape(value)(x)
        elif kind == "dense":
            x = layers.Dense(value, activation=activation)(x)
        else:
            make = layers.Conv2D if kind == "conv" else Conv2DTranspose
            x = make(value, 4, 2, padding="same", activation=activation)(x)
    return x


def measure(name, rounds=5, steps=30, trained=0):
    """Figures of one network on this backend; a turn is `EPOCHS` epochs of `steps` batches.

    The model has `trained` for so many steps before: on TensorFlow `fit` goes over to XLA in
    the long run, and the loop by hand begins with it where that pays.

    `fit` and the loop take turns, so that a change in the machine's load meets both;
    ratios are medians over the turns.
    """
    network, shape, batch, attributes = networks()[name]
    rng = np.random.default_rng(0)
    x = rng.random((steps * batch, *shape), "float32")
    y = rng.integers(0, 2, (len(x), attributes)).astype("float32") if attributes else None
    model, plain = (_compiled(name, network, shape, attributes) for _ in range(2))
    backend = keras.backend.backend()
    latent_dim = network[0][-1][1] // 2
    runs = {
        "raw": _times(raw_loops.LOOPS[backend](network, x, latent_dim, batch, y)),
        "fit": lambda epochs: model.fit(
            x, y, batch_size=batch, epochs=epochs, verbose=0, fast=True
        ),
    }
    # Keras' own loop, for its first epoch only.
    once = {"plain": lambda epochs: plain.fit(x, y, batch_size=batch, verbose=0, fast=False)}
    if backend == "torch" and peer.INSTALLED and name in PEERS:
        runs["pythae"] = _times(peer.loop(network, x, latent_dim, batch))
        runs["pythae_step"] = _times(peer.loop(network, x, latent_dim, batch, own_loader=False))
    first, wall, cpu = {}, {name: [] for name in runs}, {name: [] for name in runs}
    for turn in range(rounds + 1):
        for kind, run in (runs if turn else {**runs, **once}).items():
            started, used = time.perf_counter(), time.process_time()
            run(EPOCHS if turn else 1)
            seconds = time.perf_counter() - started, time.process_time() - used
            if turn:
                wall[kind].append(seconds[0])
                cpu[kind].append(seconds[1])
            else:
                first[kind] = seconds[0]
        if trained and not turn:
            runs["fit"](math.ceil(trained / steps))
    rate = {
        f"{kind}_per_{clock}": EPOCHS * len(x) / statistics.median(found[kind])
        for kind in runs
        for clock, found in (("second", wall), ("cpu_second", cpu))
    }
    ratio = {
        f"ratio_{clock}": statistics.median(
            raw / fit for raw, fit in zip(found["raw"], found["fit"], strict=True)
        )
        for clock, found in (("wall", wall), ("cpu", cpu))
    }
    return {
        "hardware": machine.hardware(),
        "backend": f"{backend} after {trained} steps" if trained else backend,
        "network": name,
        "batch": batch,
        "steps": steps,
        "epochs": EPOCHS,
        "rounds": rounds,
        **rate,
        **ratio,
        "first_fit": first["fit"],
        "first_plain": first["plain"],
        "first_raw": first["raw"],
        **(latencies(model) if name == "A" else {}),
    }


def _compiled(name, network, shape, attributes):
    if name in OWN:
        model = models.vae(
            shape, 32, network="conv", units=(32, 64), hidden=0, stages=OWN[name], seed=0
        )
    else:
        model = model_of(network, shape, attributes)
    model.compile(keras.optimizers.Adam(*raw_loops.ADAM))
    return model


def _times(epoch):
    return lambda epochs: [epoch() for _ in range(epochs)]


def latencies(model, calls=100):
    """Milliseconds of one picture's way, and seconds of 10,000 samples: medians, warm."""
    rng = np.random.default_rng(0)
    x = rng.random((1, *model.data_shape), "float32")
    z = rng.standard_normal((1, model.latent_dim), "float32")
    found = {
        "encode_ms": 1e3 * _median(lambda: model.encode(x), calls),
        "decode_ms": 1e3 * _median(lambda: model.decode(z), calls),
        "reconstruct_ms": 1e3 * _median(lambda: model.reconstruct(x), calls),
    }
    return {**found, "samples_s": _median(lambda: model.sample(10_000, seed=0), 9)}


def _median(call, calls):
    """Median seconds of a call that has been made before."""
    call()
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def here(names, rounds=5, steps=30, out=None):
    """Measures on this backend; prints rows and adds them to a file of JSON lines."""
    runs = [(name, 0) for name in names]
    if keras.backend.backend() == "tensorflow" and "A" in names:
        from keras_vae.training.tensorflow_chunks import XLA_EARNED_BACK

        runs.append(("A", XLA_EARNED_BACK))
    for name, trained in runs:
        row = measure(name, rounds, steps, trained)
        print(
            f"| {row['backend']} | {name} | {row['fit_per_second']:.0f} "
            f"| {row['fit_per_cpu_second']:.0f} | {row['raw_per_cpu_second']:.0f} "
            f"| {row['ratio_wall']:.2f} | {row['ratio_cpu']:.2f} "
            f"| {row['first_fit']:.1f} / {row['first_plain']:.1f} / {row['first_raw']:.1f} |",
            flush=True,
        )
        if out is not None:
            with open(out, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def everywhere(names=("A", "B", "S", "E", "C", "D"), rounds=5, steps=30, device="cpu", folder=None):
    """Prints the table of all backends that are installed, each in its own process.

    Args:
        names: of `networks`.
        rounds: turns of `fit` and of the loop by hand.
        steps: batches a turn.
        device: "cpu", or "gpu" to use one where the framework finds it.
        folder: where to write `benchmark-KIND.json` and `benchmark-KIND.png`, KIND the kind of
            machine; or None.
    """
    print(f"{machine.hardware()}, {device}\n", flush=True)
    print(HEAD + "\n" + "|---" * 8 + "|", flush=True)
    hidden = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"} if device == "cpu" else {}
    with tempfile.TemporaryDirectory() as scratch:
        lines = Path(scratch) / "rows"
        lines.touch()
        for backend in BACKENDS:
            if importlib.util.find_spec(backend) is None:
                print(f"| {backend} | not installed |" + " |" * 6)
                continue
            command = [
                sys.executable,
                "-m",
                __package__.rpartition(".")[0],
                "benchmark",
                "--here",
                *names,
            ]
            command += ["--rounds", str(rounds), "--steps", str(steps), "--lines", str(lines)]
            subprocess.run(
                command, env={**os.environ, **hidden, "KERAS_BACKEND": backend}, check=True
            )
        rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    print(_beside_pythae(rows) + _in_milliseconds(rows), end="", flush=True)
    if folder is not None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"benchmark-{machine.kind()}"
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        plot(rows, folder / f"{name}.png")
    return rows


def _beside_pythae(rows):
    """A table of how many times as fast `fit` is, where pythae was measured."""
    theirs = {row["network"]: row for row in rows if "pythae_per_second" in row}
    theirs |= dict.fromkeys(OWN, theirs["B"]) if "B" in theirs else {}
    lines = []
    for row in rows:
        if row["network"] in theirs:
            ratios = [
                row[f"fit_per_{clock}"] / theirs[row["network"]][f"{what}_per_{clock}"]
                for what in ("pythae", "pythae_step")
                for clock in ("second", "cpu_second")
            ]
            found = " | ".join(f"{ratio:.2f}" for ratio in ratios)
            lines.append(f"| {row['backend']} | {row['network']} | {found} |\n")
    head = "\n| backend | network | x pythae, wall | CPU | x its step alone, wall | CPU |\n"
    return head + "|---" * 6 + "|\n" + "".join(lines) if lines else ""


def _in_milliseconds(rows):
    lines = [
        f"| {row['backend']} | {row['encode_ms']:.2f} | {row['decode_ms']:.2f} "
        f"| {row['reconstruct_ms']:.2f} | {row['samples_s']:.3f} |\n"
        for row in rows
        if "encode_ms" in row
    ]
    head = "\n| backend | encode, ms | decode, ms | reconstruct, ms | 10,000 samples, s |\n"
    return head + "|---" * 5 + "|\n" + "".join(lines) if lines else ""


def plot(rows, file):
    """Bars of `fit` beside the loop by hand, in CPU-seconds; 1 is as fast."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 0.35 * len(rows) + 1), layout="constrained")
    axes = figure.add_subplot()
    names = [f"{row['network']}, {row['backend']}" for row in rows]
    axes.barh(names, [row["ratio_cpu"] for row in rows])
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("images a CPU-second of fit / of a loop by hand")
    figure.savefig(file, dpi=120)
