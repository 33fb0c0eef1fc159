"""The one reader of archives: `.keras` files of strangers, unpacked within bounds.

Only what Keras writes: three members, stored or deflated, with nothing before or behind them.
"""

import contextlib
import struct
import tempfile
import zipfile
from pathlib import Path

from keras_vae import _hdf5
from keras_vae.zoo import untrusted

MEMBERS = ("config.json", "metadata.json", "model.weights.h5")
# The two methods whose output a running count bounds: others hold a gibibyte in a kilobyte.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CHUNK = 2**20
_END, _END_64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_LONG_NAMES = 2**14


@contextlib.contextmanager
def unpacked(path):
    """Yields a private folder with the configuration and the weights of a `.keras` file.

    Raises:
        ValueError: not an archive as Keras writes it, or one that would fill the disk.
    """
    with tempfile.TemporaryDirectory(prefix="keras_vae-") as private:
        private = Path(private)
        archive = private / "archive"
        try:
            untrusted.copy(path, archive, follow=True)
            if not archive.is_file():
                raise FileNotFoundError("no such file")
            _unpack(archive, private)
        # zipfile raises many types of errors for damaged archives.
        except Exception as error:
            raise ValueError(
                "The file is not a model that Keras saved, or it is damaged. "
                f"Received: {type(error).__name__}: {error} in {path}"
            ) from error
        archive.unlink()
        yield private


def _unpack(archive, private):
    size = archive.stat().st_size
    with archive.open("rb") as opened:
        _check_directory(opened, size)
        with zipfile.ZipFile(opened) as file:
            names = [entry.filename for entry in file.infolist()]
            if sorted(names) != sorted(MEMBERS):
                shown = ", ".join(repr(name[:80]) for name in names[:5])
                raise ValueError(f"it should hold {', '.join(MEMBERS)}, and holds {shown}")
            _check_members(file, size)
            left = _hdf5.room(size)
            for name in MEMBERS:
                left = _extract(file, name, private / name, left)


def _check_directory(file, size):
    """Bounds the table of members before `zipfile` reads it whole."""
    # Its record is the last of the file, where there is no comment.
    tail = _at(file, max(0, size - 98), min(size, 98))
    record = tail[-22:]
    if record[:4] != _END or record[-2:] != b"\0\0":
        raise ValueError("it does not end as an archive without a comment")
    count, length = struct.unpack("<HI", record[10:16])
    # Of a file beyond 4 GiB.
    if tail[-42:-38] == _LOCATOR:
        place = struct.unpack("<Q", tail[-34:-26])[0]
        if tail[-98:-94] != _END_64 or place != size - 98:
            raise ValueError("its table of members is in another place than its end")
        count, length = struct.unpack("<QQ", tail[-66:-50])
    if count > len(MEMBERS) or length > _LONG_NAMES:
        raise ValueError(f"it should hold {', '.join(MEMBERS)}, and holds {count:,} members")


def _at(file, place, count):
    file.seek(place)
    return file.read(count)


def _check_members(file, size):
    end = 0
    for entry in sorted(file.infolist(), key=lambda entry: entry.header_offset):
        name = entry.filename
        if entry.compress_type not in METHODS:
            raise ValueError(f"{name} is packed by method {entry.compress_type}, not 0 or 8")
        if entry.flag_bits & 0x1:
            raise ValueError(f"{name} is encrypted")
        if entry.header_offset < end:
            raise ValueError(f"{name} lies over another member")
        end = entry.header_offset + 30 + entry.compress_size
        if end > size:
            raise ValueError(f"{name} is longer than the file")
    if sum(entry.file_size for entry in file.infolist()) > _hdf5.room(size):
        raise ValueError("it unpacks to far more than the file's size")


def _extract(archive, name, target, left):
    """Writes a member, up to `left` bytes; returns what is left after it."""
    with archive.open(name) as file, open(target, "wb") as new:
        while content := file.read(_CHUNK):
            left -= len(content)
            if left < 0:
                raise ValueError(f"{name} unpacks to far more than the file's size")
            new.write(content)
    return left
