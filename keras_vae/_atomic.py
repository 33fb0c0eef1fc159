"""Atomic replacement of files and folders."""

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no lock: two processes should not save to one folder.
    fcntl = None


@contextlib.contextmanager
def file(path):
    """Yields a new file, which replaces `path` when the block ends without an error.

    It is in a hidden folder beside `path` and has the same name, because some writers
    choose a format by the suffix.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as temporary:
        new = Path(temporary) / path.name
        yield new
        os.replace(new, path)


def write_text(path, text):
    """Writes a text file atomically."""
    with file(path) as new:
        new.write_text(text, encoding="utf-8")


def reserve(folder, size):
    """Raises an OSError if the disk of a folder has less than `size` bytes free.

    On a full disk HDF5 ends the process, or raises a misleading error.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            errno.ENOSPC,
            f"No space left on device: {size:,} bytes are needed. Received: {free:,} free",
            str(folder),
        )


@contextlib.contextmanager
def folder(path, marks, kind):
    """Yields a new folder, which replaces `path` when the block ends without an error.

    Only an empty folder is replaced, or one with a file of `marks`, which identify a
    `kind` of folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        _recover(path)
        _check_replaceable(path, marks, kind)
    new = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield new
        new.chmod(0o755)
        old = _previous(path)
        with _locked(path.parent):
            # Since the check another process may have saved, or died while saving.
            _recover(path)
            _check_replaceable(path, marks, kind)
            if path.exists():
                os.replace(path, old)
            try:
                os.replace(new, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.replace(old, path)
                raise
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder):
    """Holds a lock on a folder while something in it is replaced.

    The lock is on the folder itself and ends with the process: there is no lock file.
    """
    handle = None
    if fcntl is not None:
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _check_replaceable(path, marks, kind):
    """Raises `FileExistsError` if `path` is anything but an earlier save of this kind."""
    if path.is_dir():
        names = {file.name for file in path.iterdir()}
        if not names or names & marks:
            return
    elif not os.path.lexists(path):
        return
    raise FileExistsError(
        f"Saving would delete what is there, which is no {kind}: give another path. "
        f"Received: {path}"
    )


def absolute(path):
    """An absolute path: its last part is a name, unlike that of "."."""
    return Path(os.path.abspath(path))


def _previous(path):
    return path.with_name(f".{path.name}.previous")


def recover(path):
    """Restores the previous folder after an interrupted save."""
    # A running save holds the lock.
    if _previous(path).is_dir():
        with _locked(path.parent):
            _recover(path)


def settled(path):
    """Whether `path` exists; waits while another process replaces it."""
    while True:
        recover(path)
        if path.exists():
            return True
        if not _previous(path).is_dir() and not path.exists():
            return False


def _recover(path):
    old = _previous(path)
    if old.is_dir() and not path.exists():
        os.replace(old, path)
    elif old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
