"""What each command does, once its words are read."""

import os
from pathlib import Path

import keras
import numpy as np

from keras_vae import datasets, distribution, plots, zoo

from . import gallery as galleries
from .applications import applications
from .demo import demo as run_demo
from .demo import digits
from .explore import explore as run_explore
from .pages import readme as readmes
from .pages import site as sites
from .papers import reproduce as tables
from .presets import card as cards
from .presets import recipes
from .presets.evaluate import evaluate as run_evaluate
from .presets.export import export as run_export
from .presets.export import export_all
from .presets.rebuild import rebuild
from .presets.train import train as run_train
from .speed import benchmark as speed
from .speed import example, quality


def list(arguments):
    """`list`: names, sizes and one line each."""
    for name in zoo.list_models(arguments.pattern):
        info = zoo.info(name)
        print(f"{name:<16} {info['bytes'] / 1e6:5.1f} MB  {info['description']}")
    return 0


def info(arguments):
    """`info`."""
    print(zoo.info(arguments.preset))
    return 0


def train(arguments):
    """`train`."""
    _one_or_all(arguments)
    if arguments.all:
        if arguments.out:
            raise ValueError("--all writes each preset into its own folder: leave --out out.")
        if arguments.plot:
            raise ValueError("--plot is for one preset: leave --all out.")
        found = distribution.from_environment(os.environ)
        if found.size > 1:
            raise ValueError(
                "--all trains, measures and exports in one process: train presets by their names "
                f"on several. Received: {found.size} processes by {found.launcher}"
            )
        return rebuild(arguments.all, arguments.restart, arguments.epochs, arguments.limit)
    processes = distribution.start()
    if processes.is_first:
        several = f", {processes.size} processes" if processes.size > 1 else ""
        print(f"Backend: {keras.backend.backend()}{several}")
    out = run_train(
        arguments.preset,
        arguments.out,
        arguments.epochs,
        arguments.restart,
        arguments.limit,
        arguments.plot,
    )
    if processes.is_first:
        print(f"Wrote {out}. Measure it: python -m tools evaluate {out}")
    return 0


def evaluate(arguments):
    """`evaluate`."""
    run_evaluate(
        arguments.preset,
        arguments.split,
        arguments.samples,
        arguments.limit,
        arguments.seed,
        write=not arguments.dry_run,
        only=arguments.metric,
    )
    return 0


def export(arguments):
    """`export`."""
    _one_or_all(arguments)
    if arguments.all:
        return export_all(arguments.out, arguments.limit, arguments.record, arguments.all)
    run_export(
        arguments.preset,
        arguments.format,
        arguments.quantize,
        arguments.out,
        arguments.signatures,
        arguments.batch_size,
        arguments.data,
        arguments.limit,
        arguments.exclude,
    )
    return 0


def explore(arguments):
    """`explore`."""
    run_explore(arguments.preset, arguments.out, arguments.port)
    return 0


def card(arguments):
    """`card`."""
    cards.write(zoo.folder(arguments.preset))
    return 0


def benchmark(arguments):
    """`benchmark`."""
    own = {"epochs": arguments.epochs, "limit": arguments.limit}
    given = {name: value for name, value in own.items() if value is not None}
    if arguments.quality or arguments.example:
        if arguments.networks or arguments.out or arguments.here or arguments.device != "cpu":
            raise ValueError(
                "--quality and --example train their own networks on this backend and print what "
                "they find: leave networks, --here, --out and --device out."
            )
    if arguments.quality:
        quality.curves(arguments.quality, **given)
        return 0
    if given:
        raise ValueError(
            "--epochs and --limit are of --quality: give it, or --rounds and --steps. "
            f"Received: {given}"
        )
    if arguments.example:
        example.beside(arguments.rounds, arguments.steps)
        return 0
    names = arguments.networks or tuple(speed.networks())
    unknown = sorted(set(names) - set(speed.networks()))
    if unknown:
        raise ValueError(f"Networks are {sorted(speed.networks())}. Received: {unknown}")
    size = (arguments.rounds, arguments.steps)
    if arguments.here:
        speed.here(names, *size, arguments.lines)
    else:
        speed.everywhere(names, *size, arguments.device, arguments.out)
    return 0


def readme(arguments):
    """`readme`."""
    readmes.readme()
    return 0


def site(arguments):
    """`site`."""
    print(f"Wrote {sites.site(arguments.out, arguments.explore)}")
    return 0


def apply(arguments):
    """`apply`."""
    names = ("epochs", "sizes", "presets", "digits", "preset", "minutes")
    options = {name: getattr(arguments, name) for name in names}
    applications.apply(
        arguments.name, arguments.out, arguments.split, arguments.limit, arguments.seed, **options
    )
    return 0


def gallery(arguments):
    """`gallery`: 1 where a lesson's claim did not hold."""
    if arguments.list:
        print(galleries.listing())
        return 0
    if arguments.record and arguments.out:
        raise ValueError("--record writes beside the code: leave --out out.")
    return min(1, galleries.gallery(arguments.names, arguments.out or "gallery", arguments.record))


def reproduce(arguments):
    """`reproduce`."""
    tables.reproduce(
        arguments.table,
        arguments.budget,
        arguments.rows,
        arguments.out,
        arguments.split,
        arguments.limit,
        arguments.restart,
        arguments.samples,
    )
    return 0


def sample(arguments):
    """`sample`: a sheet of new data."""
    model = zoo.load(arguments.preset)
    return _draw(
        arguments,
        "samples",
        plots.samples,
        model,
        n=arguments.n or 64,
        condition=arguments.label,
        seed=arguments.seed,
    )


def reconstruct(arguments):
    """`reconstruct`: data above what the model makes of it."""
    model = zoo.load(arguments.preset)
    x, condition = _some_data(arguments, model, arguments.n or 10)
    return _draw(
        arguments,
        "reconstructions",
        plots.reconstructions,
        model,
        x,
        condition=condition,
        n=len(x),
    )


def interpolate(arguments):
    """`interpolate`: strips from one picture to another."""
    model = zoo.load(arguments.preset)
    n = arguments.n or 4
    x, condition = _some_data(arguments, model, 2 * n)
    own = None if condition is None else condition[:n]
    return _draw(
        arguments, "interpolation", plots.interpolation, model, x[:n], x[n:], condition=own
    )


def demo(arguments):
    """`demo`."""
    run_demo(Path(arguments.out))
    return 0


def _one_or_all(arguments):
    if bool(arguments.all) == bool(arguments.preset):
        raise ValueError("Give a preset's name or path, or --all.")


def _draw(arguments, kind, draw, model, *data, **options):
    name = Path(arguments.preset).name
    path = Path(arguments.out or f"{name}_{kind}.png")
    draw(model, *data, path=path, **options)
    print(f"Wrote {path}")
    return 0


def _some_data(arguments, model, n):
    """Pictures drawn at random from the preset's test split, or packaged digits."""
    recipe = recipes.read(zoo.folder(arguments.preset))
    if recipe["data"] == "mnist":
        x, y = digits()
    else:
        x, y = datasets.load(recipe["data"], "test", limit=max(1000, n))
    if n > len(x):
        raise ValueError(f"--n asks for {n} of {len(x)} pictures.")
    chosen = np.random.default_rng(arguments.seed).permutation(len(x))[:n]
    return x[chosen], (None if model.condition is None else y[chosen])
