"""`test`: the whole suite, each backend in a process of its own."""

import os
import re
import subprocess
import sys
import time

# Tests that no backend changes run once, with the first backend.
ONCE = "once"


def run(backends, arguments):
    """Runs pytest for each backend; returns the worst exit status.

    Prints a closing line that adds up what the processes have counted.
    """
    status, totals, started = 0, {}, time.monotonic()
    for position, backend in enumerate(backends):
        print(f"\n===== {backend} =====", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        if position:
            command += ["-m", f"not {ONCE}"]
        process = subprocess.Popen(
            command + arguments,
            env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            text=True,
        )
        closing = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            if re.search(r"\d+ (passed|failed|error|skipped)", line):
                closing = line
        # Whatever went wrong in one backend, the others are still worth knowing.
        status = max(status, abs(process.wait()))
        for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", closing):
            word = "failed" if word.startswith("error") else word
            totals[word] = totals.get(word, 0) + int(number)
    counts = ", ".join(f"{totals.get(word, 0)} {word}" for word in ("passed", "failed", "skipped"))
    print(f"\nAll backends in {time.monotonic() - started:.0f} s:\n{counts}")
    return status
