"""Folders that are replaced whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path


@contextlib.contextmanager
def replaced(path, marks):
    """A new folder to fill, which takes the place of `path` when filled.

    Only an empty folder, or one that holds one of the files `marks`, is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    recover(path)
    _check_replaceable(path, marks)
    new = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield new
        new.chmod(0o755)
        old = _previous(path)
        if path.exists():
            os.replace(path, old)
        os.replace(new, path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _check_replaceable(path, marks):
    """Refuses to take the place of anything but a preset, or a recipe for one."""
    if path.is_dir():
        names = {file.name for file in path.iterdir()}
        if not names or names & marks:
            return
    elif not os.path.lexists(path):
        return
    raise FileExistsError(
        "Saving would delete what is there, which is no preset: give another path. "
        f"Received: {path}"
    )


def absolute(path):
    """A path whose last part is a name: "." has none."""
    return Path(os.path.abspath(path))


def _previous(path):
    return path.with_name(f".{path.name}.previous")


def recover(path):
    """Puts back what a save was interrupted in the middle of replacing."""
    old = _previous(path)
    if old.is_dir() and not path.exists():
        os.replace(old, path)
    elif old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
