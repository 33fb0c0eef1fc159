"""Untrusted files: copied before they are read, checked before Keras reads them."""

import contextlib
import os
import stat
import tempfile
import threading
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_vae import _atomic

MOST_OBJECTS = 100_000
MOST_NAMES = 10_000
MOST_DEPTH = 64
# Limits of the unpacked size of a file of `n` bytes: weights hardly compress.
_ROOM, _EXPANSION = 64 * 2**20, 20
# Limit without a file to compare with: a gibibyte of float32.
MOST_NUMBERS = 2**28
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_CHUNK = 2**20
_MEMBERS = ("config.json", "metadata.json", "model.weights.h5")
_BUDGET = threading.RLock()


def room(size):
    """The largest allowed unpacked size of a file of `size` bytes."""
    return _ROOM + _EXPANSION * size


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
            _atomic.settled(folder)
            before = _identity(folder)
            for name in names:
                (private / name).unlink(missing_ok=True)
                _copy(folder / name, private / name, follow)
            if before is not None and before == _identity(folder):
                break
        yield private


def _identity(folder):
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _copy(source, target, follow=False):
    file = _open(source, follow)
    if file is None:
        return
    with file, open(target, "wb") as new:
        while content := file.read(_CHUNK):
            new.write(content)


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

            def open_(name, stack=stack):
                file = _open(folder / name)
                if file is None:
                    raise FileNotFoundError(folder / name)
                return stack.enter_context(file)

            _atomic.settled(folder)
            before = _identity(folder)
            try:
                found, error = use(names(folder), open_), None
            except (OSError, ValueError) as caught:
                error = caught
            if before is None or before != _identity(folder):
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


@contextlib.contextmanager
def unpacked(path):
    """Yields a private folder with the configuration and the weights of a `.keras` file.

    Raises:
        ValueError: not an archive as Keras writes it, or one that would fill the disk.
    """
    with tempfile.TemporaryDirectory(prefix="keras_vae-") as private:
        private = Path(private)
        archive = private / "archive"
        _copy(path, archive, follow=True)
        size = archive.stat().st_size
        try:
            with zipfile.ZipFile(archive) as file:
                names = [entry.filename for entry in file.infolist()]
                if sorted(names) != sorted(_MEMBERS):
                    shown = ", ".join(map(repr, names[:5]))
                    raise ValueError(f"it should hold {', '.join(_MEMBERS)}, and holds {shown}")
                for name in _MEMBERS:
                    _extract(file, name, private / name, room(size))
        # zipfile raises many types of errors for damaged archives.
        except Exception as error:
            raise ValueError(
                "The file is not a model that Keras saved, or it is damaged. "
                f"Received: {type(error).__name__}: {error} in {path}"
            ) from error
        archive.unlink()
        yield private


def _extract(archive, name, target, most):
    with archive.open(name) as file, open(target, "wb") as new:
        while content := file.read(_CHUNK):
            most -= len(content)
            if most < 0:
                raise ValueError(f"{name} unpacks to far more than the file's size")
            new.write(content)


def check_weights(path, slots=False):
    """Checks that a weights file holds only numbers; returns how many.

    Args:
        path: an HDF5 file as Keras writes it.
        slots: whether optimizer variables are allowed; they do not count. The state of
            random generators does not count either: models of older versions lack it.

    Raises:
        ValueError: links, external data, types other than numbers, or shapes that would
            take far more memory than the size of the file.
    """
    sizes = {}
    with h5py.File(path, "r") as file:
        left = [room(path.stat().st_size)]
        waiting = [("", file, 0)]
        seen = {_address(file)}
        while waiting:
            prefix, group, depth = waiting.pop()
            _check_attributes(group, prefix)
            if len(group) + len(seen) > MOST_OBJECTS or depth > MOST_DEPTH:
                _refuse(prefix, "too many groups")
            for key in group:
                name = f"{prefix}/{key}" if prefix else key
                if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                    _refuse(name, "a link")
                item = group[key]
                if _address(item) in seen:
                    _refuse(name, "a thing that has two names")
                seen.add(_address(item))
                if isinstance(item, h5py.Group):
                    waiting.append((name, item, depth + 1))
                elif isinstance(item, h5py.Dataset):
                    _check_attributes(item, name)
                    _check_dataset(item, name, left)
                    sizes[name] = item.size
                else:
                    _refuse(name, type(item).__name__)
    return sum(
        size
        for name, size in sizes.items()
        if name != "vars/seed"
        and "/seed_generator/" not in name
        and not (slots and name.split("/")[0].endswith("optimizer"))
    )


def _refuse(name, what):
    raise ValueError(f"a weights file holds arrays of numbers only; {name!r} is or has {what}")


def _address(item):
    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr


def _check_attributes(item, name):
    for key in item.attrs:
        attribute = h5py.h5a.open(item.id, key.encode())
        # Keras stores names and the type of bfloat16, as short texts.
        if attribute.get_storage_size() > 4096 or attribute.shape not in ((), (1,)):
            _refuse(name, f"an attribute {key[:50]!r}")


def _check_dataset(item, name, left):
    if item.external or item.is_virtual:
        _refuse(name, "its values in another file")
    if item.dtype.kind not in "fiuV" or item.dtype.hasobject or item.dtype.fields:
        _refuse(name, f"values of type {item.dtype}")
    if item.dtype.itemsize > 8 or item.shape is None or item.ndim > 8:
        _refuse(name, f"values of type {item.dtype} and shape {item.shape}")
    # Python integers, because NumPy's would overflow.
    size = item.dtype.itemsize
    for length in item.shape:
        size *= int(length)
    left[0] -= size
    if left[0] < 0:
        _refuse(name, f"shape {item.shape}, far more than the file holds")
    plan = item.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if not set(filters) <= _FILTERS or len(filters) > len(set(filters)):
        _refuse(name, f"the filters {filters}")
    if item.chunks is not None:
        _check_chunks(item, name, left, filters)


def _check_chunks(item, name, left, filters):
    """Unpacks each chunk up to its allowed size: HDF5 has no limit."""
    size = item.dtype.itemsize * int(np.prod(item.chunks, dtype=object))
    if size > 4 * item.dtype.itemsize * item.size + _CHUNK:
        _refuse(name, f"chunks of {item.chunks}")
    count = item.id.get_num_chunks()
    if count > MOST_OBJECTS:
        _refuse(name, f"{count} chunks")
    for i in range(count):
        chunk = item.id.get_chunk_info(i)
        if chunk.size > size + size // 8 + 4096:
            _refuse(name, "a chunk that is larger than its values")
        if h5py.h5z.FILTER_DEFLATE in filters and not chunk.filter_mask:
            _, packed = item.id.read_direct_chunk(chunk.chunk_offset)
            if _unpacked_size(packed, size + 4096) > size + 4096:
                _refuse(name, "a chunk that unpacks to more than its values")


def _unpacked_size(packed, most):
    return len(zlib.decompressobj().decompress(packed, most + 1))


@contextlib.contextmanager
def budget(numbers):
    """Limits the numbers of all weights that layers add within the block.

    The check precedes the allocation, and covers the layers of this thread only.

    Raises:
        Exhausted: the limit is exceeded.
    """
    with _BUDGET:
        own, left = threading.get_ident(), [numbers, MOST_OBJECTS]
        original = keras.layers.Layer.add_weight

        def add_weight(self, shape=None, *args, **kwargs):
            if threading.get_ident() == own:
                size = 1
                for length in (shape,) if isinstance(shape, int) else shape or ():
                    size *= int(length or 1)
                left[0] -= size
                left[1] -= 1
                if min(left) < 0:
                    raise Exhausted(
                        f"The configuration has weights of more than {numbers:,} numbers"
                    )
            return original(self, shape, *args, **kwargs)

        keras.layers.Layer.add_weight = add_weight
        try:
            yield
        finally:
            keras.layers.Layer.add_weight = original


class Exhausted(ValueError):
    """A configuration with more weights than the budget."""
