"""One child process for the conversions of many tests: the fixture `one_child`.

Each export starts a process that imports TensorFlow, which takes longer than most conversions.
What is done with a request is the same here, in a process that is kept: conversion_child.py.
That an export has a process of its own, and what happens if that dies, is tested in
export/test_export.py, integration/test_own_classes.py and integration/test_end_to_end.py.
"""

import subprocess
import sys

from keras_vae.export import route
from tests.support import ROOT

CHILD = ROOT / "tests/support/conversion_child.py"


class Conversions:
    """Takes the place of `route._child`. Its process starts at the first request."""

    process = None

    def __call__(self, work, verbose):
        if self.process is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.process = subprocess.Popen(
                [sys.executable, str(CHILD)],
                env=route._environment(),
                stderr=subprocess.DEVNULL,
                text=True,
                **pipes,
            )
        self.process.stdin.write(f"{work}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        # Without an answer it has crashed: the next request starts another one.
        status = int(answer) if answer else self.end()
        errors = work / "errors.txt"
        return status, "converting", errors.read_text() if errors.exists() else ""

    def end(self):
        """The exit status of the process, or None without one."""
        if self.process is None:
            return None
        with self.process:
            self.process.stdin.close()
        status, self.process = self.process.returncode, None
        return status
