"""`test`: the test suite in three tiers: quick, changed files only, and everything."""

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from . import changes

CHECKOUT = Path(__file__).resolve().parents[2]
# An installed command runs the tests of the folder it is called in.
ROOT = CHECKOUT if (CHECKOUT / "tests").is_dir() else Path.cwd()
# Tests that no backend changes run once, on the last backend. That is PyTorch where all are
# asked for, which compiles nothing.
ONCE = "once"
# End-to-end tests run as users run them: in a process of their own, with nothing switched off.
DEFAULTS = "defaults"
# Where they are: to look through all files for them takes ten seconds a process.
DEFAULTS_FILE = "tests/integration/test_end_to_end.py"
# Most tests compile much and run it once: what XLA optimises is never earned back. Its newer
# emitters and their parallel compilation take more than twice as long, for the same numbers.
QUICK = {
    "jax": {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
    }
}
# Tells tests/conftest.py to leave TensorFlow's optimisations on.
SWITCH = "KERAS_VAE_TEST_DEFAULTS"
# The backends of this run, among which the tests marked `turns` are divided.
TURNS = "KERAS_VAE_TEST_TURNS"
BACKENDS = ("tensorflow", "jax", "torch")
# Of those of PyTorch, which has most, the quick tier runs so many as end in three minutes: the
# others are named thrice, and take as many more.
QUICK_TURNS = ("jax", "tensorflow") * 3 + ("torch",)
# Pytest's exit status if no test was selected.
NO_TESTS = 5


class Job(NamedTuple):
    """One process of pytest."""

    name: str
    backend: str
    marked: str


def jobs(backends, tier):
    """The processes of a tier, the longest first.

    Args:
        backends: names of backends.
        tier: "all", "quick" for what is not slow on the last backend (of the tests that take
            turns, its own), or "changed".
    """
    last = backends[-1]
    here = f"not {ONCE} and not {DEFAULTS}"
    if tier == "quick":
        return [Job(last, last, f"{here} and not slow"), Job(ONCE, last, f"{ONCE} and not slow")]
    # In parts, so that the cores end at about the same time, and that no process holds the
    # compiled programs of all tests: those of TensorFlow took 10 GB.
    quick = [Job(name, name, f"{here} and not slow") for name in reversed(backends[:-1])]
    slow = [Job(name, name, f"{here} and slow") for name in backends[:-1]]
    once = [Job(ONCE, last, f"{ONCE} and {part}") for part in ("slow", "not slow")]
    found = [*quick, once[0], Job(last, last, here), *slow, once[1]]
    return found + [Job(DEFAULTS, backend, DEFAULTS) for backend in backends]


def run(backends, arguments, tier="all"):
    """Runs the processes of a tier, as many at once as there are cores.

    Prints what each process prints, and a last line with the sum of their counts.

    Args:
        backends: names of backends.
        arguments: further arguments for pytest.
        tier: as in `jobs`.

    Returns:
        The worst exit status of the processes that had tests to run.
    """
    started = time.monotonic()
    if tier == "changed":
        files = changes.tests_of(changes.changed_files(ROOT), ROOT)
        if not files:
            print("No test belongs to what has changed.")
            return 0
        print(f"{len(files)} test files: {', '.join(files)}", flush=True)
        arguments = [*arguments, *files]
    processes = jobs(backends, tier)
    with ThreadPoolExecutor(os.cpu_count()) as pool, tempfile.TemporaryDirectory() as cache:
        # If one process fails, the results of the others are still worth having.
        turns = QUICK_TURNS if tier == "quick" else {process.backend for process in processes}
        settings = [_settings(job, processes, cache, turns) for job in processes]
        runs = [
            pool.submit(_run, *both, arguments) for both in zip(processes, settings, strict=True)
        ]
        results = [future.result() for future in runs]
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for job, (_, counts, seconds) in zip(processes, results, strict=True):
        print(f"{job.name} ({job.backend}, {job.marked}): {_sentence(counts)} in {seconds:.0f} s")
        for word in totals:
            totals[word] += counts.get(word, 0)
    print(f"All backends in {time.monotonic() - started:.0f} s:\n{_sentence(totals)}")
    # A process without tests, such as most when a single file is asked for, failed nothing.
    ran = [status for status, _, _ in results if status != NO_TESTS]
    return max(ran, default=NO_TESTS)


def _settings(job, processes, cache, turns):
    """The environment of one of these processes."""
    cores = os.cpu_count()
    # Compiled once, tests and library start faster in each process and in each that they start.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    # More threads would wait for a core that another process occupies.
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), str(cores // min(cores, len(processes)))
    )
    chosen = {
        "KERAS_BACKEND": job.backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        TURNS: " ".join(sorted(turns)),
    }
    if job.name == DEFAULTS:
        return {**threads, **inherited, **chosen, SWITCH: "1"}
    return {
        **threads,
        # Many tests compile the same small programs.
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        **QUICK.get(job.backend, {}),
        **inherited,
        **chosen,
    }


def _run(job, environment, arguments):
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", job.marked]
    if job.name == DEFAULTS and not any((ROOT / a.split("::")[0]).exists() for a in arguments):
        arguments = [*arguments, DEFAULTS_FILE]
    process = subprocess.Popen(
        command + arguments, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    closing = ""
    for line in process.stdout:
        print(f"{job.name if job.name == ONCE else job.backend:<10} {line}", end="", flush=True)
        if re.search(r"\d+ (passed|failed|error|skipped).* in ", line):
            closing = line
    return abs(process.wait()), counted(closing), time.monotonic() - started


def counted(closing):
    """Counts in pytest's closing line; errors are failures."""
    counts = {}
    for number, word in re.findall(r"(\d+) (passed|failed|error|skipped)", closing):
        word = "failed" if word == "error" else word
        counts[word] = counts.get(word, 0) + int(number)
    return counts


def _sentence(counts):
    return ", ".join(f"{counts.get(word, 0)} {word}" for word in ("passed", "failed", "skipped"))
