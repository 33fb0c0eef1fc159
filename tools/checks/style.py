"""`check`: what needs no backend and takes seconds: ruff, hints, the order of the modules."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# The floors need neither Keras nor what the other tests share: `--noconftest` saves its import.
CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "type hints": ["mypy"],
    "floors": ["pytest", "-q", "-p", "no:cacheprovider", "--noconftest", "tests/test_floors.py"],
}


def run(root=ROOT, checks=CHECKS):
    """Runs every check, whatever the others say, and prints what failed.

    Args:
        root: folder of the checkout.
        checks: names, and the arguments of `python -m` for each.

    Returns:
        0 where all passed, else 1.
    """
    if not (root / "tests").is_dir():
        raise SystemExit(f"`check` needs a checkout, with its tests. Received: {root}")
    failed = []
    for name, arguments in checks.items():
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        verdict = "failed" if done.returncode else "passed"
        print(f"{name:<12} {verdict} in {time.monotonic() - started:.1f} s", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout, flush=True)
    return 1 if failed else 0
