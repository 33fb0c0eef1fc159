"""Cases by name, and how one is tried: under limits, and measured."""

import contextlib
import gc
import resource
import shutil
import signal
import time
from pathlib import Path

from keras_vae import zoo

CASES = {}
WEIGHTS = "model.weights.h5"
GIBIBYTE = 2**30


def case(kind, match, weights="pretrained"):
    """Puts a function into `CASES`.

    Args:
        kind: of the attack.
        match: pattern in the error that says why it is refused.
        weights: what `zoo.load` is given.
    """

    def decorate(function):
        CASES[f"{kind}: {function.__name__.replace('_', ' ')}"] = function, match, weights
        return function

    return decorate


def attempt(name, original, folder):
    """Loads one case under limits of this process; returns what happened.

    Args:
        name: of `CASES`.
        original: folder with `preset` and `model.keras`.
        folder: a new one is made of this name.
    """
    change, _, weights = CASES[name]
    path = change(Path(shutil.copytree(original, folder)) / "preset")
    peak_of_now()
    before, began = memory("VmRSS"), time.process_time()
    try:
        with limited():
            zoo.load(path, weights=weights)
        result, text = "loaded", ""
    except BaseException as error:
        result, text = type(error).__name__, str(error)
    return {
        "result": result,
        "text": text,
        "names": str(path) in text,
        "seconds": time.process_time() - began,
        "bytes": memory("VmHWM") - before,
    }


@contextlib.contextmanager
def limited(seconds=15, most=3 * GIBIBYTE):
    """Ends what falls by an error, and not by the end of the machine."""

    def end(*_):
        raise TimeoutError(f"more than {seconds} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGPROF, end)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + most, limits[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def memory(key):
    """A figure of this process in bytes, from `/proc`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def peak_of_now():
    """Has the peak of memory begin here."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
