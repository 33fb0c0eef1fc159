"""Untrusted files: copied before they are read, checked before Keras reads them."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from keras_vae import _atomic

MOST_NAMES = 10_000
# Limit without a file to compare with: a gibibyte of float32.
MOST_NUMBERS = 2**28
_CHUNK = 2**20
# Of a file, and together of those that are copied. Larger ones are read where they lie.
MOST_BYTES = 2**32
MOST_TEXT = 16 * 2**20
_HOLES = 64 * 2**20
# One of them is in each folder that is saved here.
MARKS = ("metadata.json", "recipe.json", "diffusion_pytorch_model.safetensors")


def place(folder):
    """Where a preset is to be read; `folder` itself where there is none.

    A save that was interrupted leaves the version before beside it; reading changes nothing.
    """
    return _atomic.place(folder, MARKS) or folder


@contextlib.contextmanager
def copied(folder, names, follow=False):
    """Yields a private folder with copies of the files of a preset, as far as they exist.

    All copies are of one version of the folder, also while a save replaces it. Checked
    files cannot change before they are used.

    Args:
        folder: path.
        names: files to copy.
        follow: whether symbolic links are followed. Those of an installed package come
            from the installer.

    Raises:
        ValueError: a link, or something other than a file.
    """
    with tempfile.TemporaryDirectory(prefix="keras_vae-") as private:
        private = Path(private)
        for _ in range(50):
            source = place(folder)
            before = _identity(source)
            for name in names:
                (private / name).unlink(missing_ok=True)
                copy(source / name, private / name, follow)
            if before is not None and before == _identity(source):
                break
        yield private


def _identity(folder):
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_ctime_ns


def copy(source, target, follow=False):
    """Copies a file if it exists, after a look at its size.

    Raises:
        ValueError: a link, something other than a file, or a file that is too large.
    """
    file = _open(source, follow)
    if file is None:
        return
    with file, open(target, "wb") as new:
        left = _checked_size(file, source)
        while content := file.read(_CHUNK):
            left -= len(content)
            if left < 0:
                raise ValueError(f"The file grows while it is read. Received: {source}")
            new.write(content)


def _checked_size(file, source):
    """The size of an open file, which may be neither too large nor full of holes."""
    most = MOST_TEXT if source.suffix == ".json" else MOST_BYTES
    status = os.fstat(file.fileno())
    if status.st_size > most:
        raise ValueError(
            "A file of a preset is larger than any needs to be. "
            f"Received: {status.st_size:,} bytes, of at most {most:,} in {source}"
        )
    blocks = getattr(status, "st_blocks", None)
    # A hole of a terabyte takes no room; weights that a file system packs take some.
    if blocks is not None and status.st_size > _HOLES and 512 * blocks < status.st_size // 8:
        raise ValueError(
            "A file of a preset is full of holes: its weights were never written. "
            f"Received: {status.st_size:,} bytes, {512 * blocks:,} of them on the disk in {source}"
        )
    return status.st_size


def _open(source, follow=False):
    """An open file, unbuffered, or None if it does not exist; neither a link nor a pipe."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
        if source.is_symlink():
            raise ValueError(
                "A preset's files may be no symbolic links: copy the folder whole (`cp -rL`), or "
                f"name its repository, hf://user/repo. Received: {source}"
            )
    try:
        handle = os.open(source, flags)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError(f"A preset holds plain files only. Received: {source}")
    return os.fdopen(handle, "rb", buffering=0)


@contextlib.contextmanager
def opened(folder, use):
    """Yields what `use` makes of the files of a folder, which stay open within the block.

    For files that are too large for private copies: all are of one version of the folder,
    also while a save replaces it. Who reads them checks what is read, and that no file was
    written to meanwhile.

    Args:
        folder: path.
        use: function of the folder's names and a function from a name to an open file.

    Raises:
        ValueError: a link, or something other than a file.
    """
    for _ in range(50):
        with contextlib.ExitStack() as stack:
            source = place(folder)

            def open_(name, stack=stack, source=source):
                file = _open(source / name)
                if file is None:
                    raise FileNotFoundError(source / name)
                return stack.enter_context(file)

            before = _identity(source)
            try:
                found, error = use(names(source), open_), None
            except (OSError, ValueError) as caught:
                error = caught
            if before is None or before != _identity(source):
                continue
            if isinstance(error, FileNotFoundError):
                raise ValueError(f"A file is missing. Received: {error}") from error
            if error is not None:
                raise error
            yield found
            return
    raise ValueError(f"The folder is being changed: load it again. Received: {folder}")


def settled_names(folder):
    """`names` of one version of a folder, also while another process replaces it.

    Raises:
        ValueError: a folder that does not come to rest.
    """
    with opened(folder, lambda found, _: found) as found:
        return found


def size(file):
    """The size of an open file."""
    return os.fstat(file.fileno()).st_size


def names(folder):
    """Sorted names in a folder.

    Raises:
        ValueError: more than `MOST_NAMES`.
    """
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            found.append(entry.name)
            if len(found) > MOST_NAMES:
                raise ValueError(
                    f"A preset's folder holds at most {MOST_NAMES:,} files. Received: {folder}"
                )
    return sorted(found)
