"""`test`: the whole suite, each backend in a process of its own."""

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

# Tests that no backend changes run once, with the first backend.
ONCE = "once"


def run(backends, arguments):
    """Runs pytest for each backend, as many at once as there are cores.

    Prints what each process prints, and a closing line that adds up their counts.

    Args:
        backends: names of backends.
        arguments: further arguments for pytest.

    Returns:
        The worst exit status of the processes.
    """
    started = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool, tempfile.TemporaryDirectory() as cache:
        environment = {**_frugal(len(backends), cache), **os.environ}
        # Whatever goes wrong in one backend, the others are still worth knowing.
        runs = [
            pool.submit(_run, backend, first, arguments, environment)
            for backend, first in zip(backends, [True] + [False] * len(backends), strict=False)
        ]
        results = [future.result() for future in runs]
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for backend, (_, counts) in zip(backends, results, strict=True):
        print(f"{backend}: {_sentence(counts)}")
        for word in totals:
            totals[word] += counts.get(word, 0)
    print(f"All backends in {time.monotonic() - started:.0f} s:\n{_sentence(totals)}")
    return max(status for status, _ in results)


def _frugal(processes, cache):
    """Settings under which so many processes at once get in each other's way least."""
    cores = os.cpu_count()
    return {
        # Threads that wait for each other on a core that another process has.
        **dict.fromkeys(
            ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), str(cores // min(cores, processes))
        ),
        # Many tests compile the same small programs.
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def _run(backend, first, arguments, environment):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if not first:
        command += ["-m", f"not {ONCE}"]
    # Tests compile much and run it once: what XLA optimises on JAX it never earns back.
    quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} if backend == "jax" else {}
    process = subprocess.Popen(
        command + arguments,
        env={**quick, **environment, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
    )
    closing = ""
    for line in process.stdout:
        print(f"{backend:<10} {line}", end="", flush=True)
        if re.search(r"\d+ (passed|failed|error|skipped).* in ", line):
            closing = line
    return abs(process.wait()), counted(closing)


def counted(closing):
    """Counts in pytest's closing line; errors are failures."""
    found = {}
    for number, word in re.findall(r"(\d+) (passed|failed|error|skipped)", closing):
        word = "failed" if word == "error" else word
        found[word] = found.get(word, 0) + int(number)
    return found


def _sentence(counts):
    return ", ".join(f"{counts.get(word, 0)} {word}" for word in ("passed", "failed", "skipped"))
