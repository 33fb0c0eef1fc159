"""Run by conversions.py: reads the folders of requests, one a line, and answers a status each.

Exports of one model in several formats and precisions, one after the other, share its traced
functions and their archive, which take as long as a conversion.
"""

import contextlib
import gc
import hashlib
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from keras_vae.export import _child

# What tells these exports apart.
VARIANT = ("format", "quantize", "out")


class Kept:
    """Functions and archive of the model that was exported last."""

    key = made = archived = None

    def __init__(self, root):
        self.root, self.functions, self.archive = root, _child._functions, _child._archive

    def functions_of(self, folder, request):
        digests = [
            hashlib.sha256((folder / "model" / file).read_bytes()).hexdigest()
            for file in ("config.json", "model.weights.h5")
        ]
        key = (digests, {k: v for k, v in request.items() if k not in VARIANT})
        if key != self.key:
            self.key = self.archived = None
            self.made = self.functions(folder, request)
            self.key = key
        return self.made

    def archive_to(self, path, functions):
        if self.archived is None:
            self.archive(path, functions)
            self.archived = Path(tempfile.mkdtemp(dir=self.root)) / "archive"
            shutil.copytree(path, self.archived)
        else:
            shutil.copytree(self.archived, path)


def serve():
    # Timing the calls of a file would take nearly as long as its conversion.
    _child.TIMED_SECONDS = 0.02
    # The converter collects garbage each time, and looks through TensorFlow's modules for it.
    gc.freeze()
    with tempfile.TemporaryDirectory() as root:
        kept = Kept(root)
        _child._functions, _child._archive = kept.functions_of, kept.archive_to
        for line in sys.stdin:
            work, status = line.rstrip(), 0
            with contextlib.redirect_stdout(sys.stderr):
                try:
                    _child.main(work)
                except Exception:
                    status = 1
                    Path(work, "errors.txt").write_text(traceback.format_exc())
            print(status, flush=True)


if __name__ == "__main__":
    serve()
