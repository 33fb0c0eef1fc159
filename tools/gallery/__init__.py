"""`gallery`: the figures that courses on autoencoders and VAEs draw, each with its lesson.

A figure is a module of this package: `draw(path, **sizes)` draws it and returns the
numbers that its lesson names, `CLAIMS` are what the lesson says of them, as
`(number, "<" or ">", number)`, and `PICTURE` is the kind of file.
"""

import importlib
import json
import operator
import time
from pathlib import Path

import keras

from keras_vae import _atomic
from keras_vae.zoo import description

from . import lessons, parts

NAMES = (
    "holes",
    "two_terms",
    "interpolation",
    "samples",
    "betas",
    "collapse",
    "attributes",
    "smile",
    "neighbours",
    "denoising",
    "anomalies",
)
HERE = Path(__file__).parent
NUMBERS = "numbers.json"
_RELATIONS = {"<": operator.lt, ">": operator.gt}


def module(name):
    """The module of a figure.

    Raises:
        ValueError: unknown name.
    """
    if name not in NAMES:
        raise ValueError(f"A figure is one of {', '.join(NAMES)}. Received: {name!r}")
    return importlib.import_module(f".{name}", __name__)


def command(name):
    """What makes a figure."""
    return f"python -m tools gallery {name}"


def broken(name, numbers):
    """Claims of a figure's lesson that numbers do not bear out, in words."""
    found = []
    for left, relation, right in module(name).CLAIMS:
        values = [numbers.get(side, side) for side in (left, right)]
        if not _RELATIONS[relation](*values):
            found.append(f"{left} {relation} {right}: {values[0]} and {values[1]}")
    return found


def recorded(folder=HERE):
    """Numbers of every figure as they were last measured: name to a dict."""
    return json.loads((Path(folder) / NUMBERS).read_text(encoding="utf-8"))


def gallery(names=(), out="gallery", record=False):
    """Makes figures and their lessons.

    Args:
        names: some of `NAMES`; all of them by default.
        out: folder to write.
        record: write into the package's own folder instead, numbers and all.

    Returns:
        How many claims did not hold.

    Raises:
        ValueError: unknown name, or to be recorded without MNIST.
    """
    names = tuple(names) or NAMES
    for name in names:
        module(name)
    if record and not parts.prepared():
        raise ValueError("--record needs MNIST itself: set TFDS_DATA_DIR. Received: no mnist")
    out = HERE if record else Path(out)
    out.mkdir(parents=True, exist_ok=True)
    path = out / NUMBERS
    kept = recorded(out) if path.is_file() else {}
    began, failed, done = time.monotonic(), 0, []
    for i, name in enumerate(names, start=1):
        print(f"[{i} of {len(names)}] {name}", flush=True)
        start = time.monotonic()
        try:
            numbers = module(name).draw(out / picture(name))
        except FileNotFoundError as error:
            print(f"{name} is skipped: {error}")
            continue
        seconds = time.monotonic() - start
        for key, value in numbers.items():
            print(f"  {key}: {value}")
        for claim in broken(name, numbers):
            failed += 1
            print(f"  The lesson says {claim}")
        kept[name] = {
            "numbers": numbers,
            "seconds": round(seconds),
            "backend": keras.backend.backend(),
        }
        done.append(name)
        print(f"  {seconds:.0f} s", flush=True)
        _atomic.write_text(path, description.dump_json(kept))
    written = [name for name in NAMES if name in kept]
    lessons.write(
        HERE,
        out,
        {name: kept[name]["numbers"] for name in written},
        {name: command(name) for name in written},
        {name: picture(name) for name in written},
        stand_in=bool(parts.prepared.cache_info().currsize) and not parts.prepared(),
    )
    print(f"{len(done)} figures in {time.monotonic() - began:.0f} s: look at {out / 'README.md'}")
    return failed


def picture(name):
    """File name of a figure."""
    return f"{name}.{module(name).PICTURE}"


def listing():
    """Every figure with what it shows and what makes it, as text."""
    return "\n".join(f"{name:<14} {module(name).__doc__.splitlines()[0]}" for name in NAMES)
