"""Atomic replacement of files and folders."""

import contextlib
import errno
import glob
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
    choose a format by the suffix. Where `path` is a link, the file that it leads to is replaced.
    """
    path = _resolved(Path(path))
    with _room_beside(path) as temporary:
        new = temporary / path.name
        yield new
        os.replace(new, path)


@contextlib.contextmanager
def _room_beside(path):
    """Yields a hidden folder beside `path`, which goes with the block; older ones go too.

    Each holds a lock on itself while its process lives: one without was left by a kill.
    """
    with _locked(path.parent):
        _sweep(path)
        temporary = Path(tempfile.mkdtemp(prefix=_mark(path), dir=path.parent))
        handle = _lock(temporary, wait=False)
    try:
        yield temporary
    finally:
        if handle is not None:
            os.close(handle)
        shutil.rmtree(temporary, ignore_errors=True)


def _mark(path):
    """What the names of the hidden folders of saves to `path` begin with."""
    return f".{path.name}.keras_vae-"


def _sweep(path):
    """Removes hidden folders of saves to `path` whose process was killed."""
    if fcntl is None:
        return
    for folder in path.parent.glob(glob.escape(_mark(path)) + "*"):
        if folder.is_dir() and not folder.is_symlink():
            handle = _lock(folder, wait=False)
            if handle is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(handle)


def _lock(folder, wait=True):
    """A handle that holds a lock on a folder until it is closed, or None without one."""
    if fcntl is None:
        return None
    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        if handle is not None:
            os.close(handle)
        return None
    return handle


def _resolved(path):
    """The path that a link leads to, so that a save replaces that and not the link."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


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
    `kind` of folder. Where `path` is a link, the folder that it leads to is replaced. The
    new folder and its files have the rights that the umask leaves them.
    """
    path = _resolved(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        _recover(path, marks)
        _check_replaceable(path, marks, kind)
    with _room_beside(path) as temporary:
        new = temporary / path.name
        # The folder around it is for its owner alone; this one is as any new folder.
        os.mkdir(new)
        yield new
        old = _previous(path)
        with _locked(path.parent):
            # Since the check another process may have saved, or died while saving.
            _recover(path, marks)
            _check_replaceable(path, marks, kind)
            if os.path.lexists(old):
                raise FileExistsError(
                    "Saving needs this name for a moment, and something that is no "
                    f"{kind} has it: move that away. Received: {old}"
                )
            if path.exists():
                os.replace(path, old)
            try:
                os.replace(new, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.replace(old, path)
                raise
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder):
    """Holds a lock on a folder while something in it is replaced.

    The lock is on the folder itself and ends with the process: there is no lock file.
    """
    handle = _lock(folder)
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


def place(path, marks=()):
    """Where a folder is to be read: `path`, or what an interrupted save left beside it; or None.

    A reader renames and deletes nothing: the next save to `path` does.

    Args:
        path: of the folder, or of a file.
        marks: names of files, one of which is in a folder of ours.
    """
    while True:
        if path.exists():
            return path
        old = _previous(path)
        if not old.is_dir():
            # Between two looks a save may have ended.
            return path if path.exists() else None
        # A running save holds the lock.
        with _locked(path.parent):
            if path.exists():
                return path
            return old if _is_ours(old, marks) else None


def _is_ours(old, marks):
    return not old.is_symlink() and old.is_dir() and bool(set(os.listdir(old)) & set(marks))


def _recover(path, marks):
    """Under the lock: ends an interrupted save, if what lies beside `path` is one of ours."""
    old = _previous(path)
    if not _is_ours(old, marks):
        return
    if not os.path.lexists(path):
        os.replace(old, path)
    else:
        shutil.rmtree(old, ignore_errors=True)
