"""Files and folders that are replaced whole or not at all."""

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there two processes had better not save to one folder.
    fcntl = None


@contextlib.contextmanager
def file(path):
    """A new file to write, which takes the place of `path` when written.

    It lies in a hidden folder beside `path` and has its name, as some writers
    choose a format by the ending.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as temporary:
        new = Path(temporary) / path.name
        yield new
        os.replace(new, path)


def write_text(path, text):
    """Writes a text file whole or not at all."""
    with file(path) as new:
        new.write_text(text, encoding="utf-8")


def reserve(folder, size):
    """Raises an OSError where a folder's disk has no room for `size` bytes.

    HDF5 does not survive a disk that is full: it ends the process, or says something else.
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
    """A new folder to fill, which takes the place of `path` when filled.

    Only an empty folder, or one that holds one of the files `marks`, which make
    it a `kind`, is replaced.
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
            # Another process may have saved, or died while it did, since the check.
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
    """Waits until no other process is in the middle of replacing something in a folder.

    The lock is the folder's own and ends with the process: no file is left behind.
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
    """Refuses to take the place of anything but what was saved the same way."""
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
    """A path whose last part is a name: "." has none."""
    return Path(os.path.abspath(path))


def _previous(path):
    return path.with_name(f".{path.name}.previous")


def recover(path):
    """Puts back what a save was interrupted in the middle of replacing."""
    # A save that goes on right now has the lock, and is waited for.
    if _previous(path).is_dir():
        with _locked(path.parent):
            _recover(path)


def settled(path):
    """Whether something is there, once no process is in the middle of replacing it."""
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
