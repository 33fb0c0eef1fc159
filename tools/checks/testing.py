"""`test`: the whole suite, each backend in a process of its own."""

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

# Tests that no backend changes run once: in a process of their own, with the last backend.
# That is PyTorch where all are asked for, which compiles nothing.
ONCE = "once"
# Tests compile much and run it once: what XLA optimises on JAX it never earns back. Its newer
# emitters and their parallel compilation take more than twice as long, for the same numbers.
QUICK = {
    "jax": {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
    }
}
# Pytest's exit status where no test was chosen.
NO_TESTS = 5


def run(backends, arguments):
    """Runs pytest for each backend and for what needs but one, as many at once as there are cores.

    Prints what each process prints, and a closing line that adds up their counts.

    Args:
        backends: names of backends.
        arguments: further arguments for pytest.

    Returns:
        The worst exit status of the processes that had tests to run.
    """
    started = time.monotonic()
    # In the order of how long they take, the longest first.
    jobs = [(backend, backend, f"not {ONCE}") for backend in backends]
    jobs.insert(len(jobs) - 1, (ONCE, backends[-1], ONCE))
    with ThreadPoolExecutor(os.cpu_count()) as pool, tempfile.TemporaryDirectory() as cache:
        environment = {**_frugal(len(jobs), cache), **os.environ}
        # Whatever goes wrong in one process, the others are still worth knowing.
        runs = [pool.submit(_run, *job, arguments, environment) for job in jobs]
        results = [future.result() for future in runs]
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for (name, _, _), (_, counts) in zip(jobs, results, strict=True):
        print(f"{name}: {_sentence(counts)}")
        for word in totals:
            totals[word] += counts.get(word, 0)
    print(f"All backends in {time.monotonic() - started:.0f} s:\n{_sentence(totals)}")
    # A job without tests, such as all but one when a single file is asked for, failed nothing.
    ran = [status for status, _ in results if status != NO_TESTS]
    return max(ran, default=NO_TESTS)


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


def _run(name, backend, marked, arguments, environment):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marked]
    process = subprocess.Popen(
        command + arguments,
        env={
            **QUICK.get(backend, {}),
            **environment,
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    closing = ""
    for line in process.stdout:
        print(f"{name:<10} {line}", end="", flush=True)
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
