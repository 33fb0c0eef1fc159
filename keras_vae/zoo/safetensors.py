"""Files of safetensors: a header that is checked whole, then one array at a time.

A file is the length of its header (8 bytes), the header (JSON) and the arrays' bytes. It
is read through one open file, without the library `safetensors`, which would open the path
again after the check. A reader holds no more than the array that it is asked for.
"""

import contextlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from keras_vae._types import Array
from keras_vae.zoo import strict_json

MOST_HEADER = 16 * 2**20
MOST_TENSORS = 20_000
MOST_AXES = 8
MOST_LENGTH = 2**31
MOST_NUMBERS = 2**32
_MOST_NODES = 16 * MOST_TENSORS
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,254}")
_DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2"},
    **{"I8": "<i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1"},
}
_ITEMSIZES = {"BF16": 2, **{name: np.dtype(kind).itemsize for name, kind in _DTYPES.items()}}
_METADATA = "__metadata__"


class Tensors(Mapping[str, Array]):
    """The arrays of an open file, each of which is read when it is asked for.

    A file that another one replaces is read to its end as it was. One that is written to in
    place gives numbers of either version, never more than the checked header says, and
    `check_unchanged` refuses it afterwards, up to the resolution of the file system's clock.

    Args:
        file: binary and unbuffered, open as long as arrays are asked for.
        path: for error messages.

    Attributes:
        shapes, dtypes: dicts from names to tuples and to names such as "F32", of the header.

    Raises:
        ValueError: not a file of safetensors, or one whose header and size disagree.
    """

    def __init__(self, file: BinaryIO, path: Any) -> None:
        self._file, self._where = file, path
        self._before = _identity(file)
        try:
            entries, self._start = _header(file, self._before[0])
        except ValueError as error:
            raise ValueError(
                "The file is not one of safetensors, or it is damaged: get it again. "
                f"Received: {error} in {path}"
            ) from error
        self.shapes = {name: entry[1] for name, entry in entries.items()}
        self.dtypes = {name: entry[0] for name, entry in entries.items()}
        self._offsets = {name: entry[2] for name, entry in entries.items()}

    def __getitem__(self, name: str) -> Array:
        array = np.empty(self.shapes[name], _dtype(self.dtypes[name]))
        view = array.reshape(-1).view(np.uint8).data
        self._file.seek(self._start + self._offsets[name])
        done = 0
        while done < len(view):
            count = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise ValueError(
                    f"The file became shorter while it was read: load it again. "
                    f"Received: {self._where}"
                )
            done += count
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def numbers(self) -> int:
        """Numbers in all arrays."""
        return sum(map(math.prod, self.shapes.values()))

    def check_unchanged(self) -> None:
        """Raises `ValueError` if the open file was written to since its header was read."""
        if _identity(self._file) != self._before:
            raise ValueError(
                f"The file was written to while it was read: load it again. Received: {self._where}"
            )


class Joined(Mapping[str, Array]):
    """Arrays of several `Tensors` as one mapping.

    Args:
        places: dict from a name to the `Tensors` that hold the array, and its name there.
    """

    def __init__(self, places: Mapping[str, tuple[Tensors, str]]) -> None:
        self._places = dict(places)
        self.parts = list({id(part): part for part, _ in places.values()}.values())
        self.shapes = {name: part.shapes[inner] for name, (part, inner) in places.items()}
        self.dtypes = {name: part.dtypes[inner] for name, (part, inner) in places.items()}

    @classmethod
    def of(cls, parts: Iterable[Tensors]) -> "Joined":
        """All arrays of files that have no name in common.

        Raises:
            ValueError: two of them have an array of the same name.
        """
        places: dict[str, tuple[Tensors, str]] = {}
        for part in parts:
            for name in part:
                if name in places:
                    raise ValueError(f"Two files hold an array {name!r}")
                places[name] = part, name
        return cls(places)

    def __getitem__(self, name: str) -> Array:
        part, inner = self._places[name]
        return part[inner]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def numbers(self) -> int:
        """Numbers in all arrays."""
        return sum(part.numbers for part in self.parts)

    def check_unchanged(self) -> None:
        """Raises `ValueError` if one of the open files was written to."""
        for part in self.parts:
            part.check_unchanged()


def _identity(file):
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _dtype(name):
    if name == "BF16":
        # Keras, TensorFlow and JAX all require it.
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(_DTYPES[name])


def _header(file, size):
    """The checked header as `({name: (dtype, shape, offset)}, start of the arrays)`."""
    file.seek(0)
    length = int.from_bytes(_read(file, 8), "little")
    if length > min(MOST_HEADER, size - 8):
        raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
    header = strict_json.parse(_read(file, length), _MOST_NODES, 3)
    if not isinstance(header, dict):
        raise ValueError(f"a header that is a {type(header).__name__} and not a dict")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{_METADATA} that is not a dict of texts")
    if len(header) > MOST_TENSORS:
        raise ValueError(f"{len(header):,} arrays, of at most {MOST_TENSORS:,}")
    entries = {name: _entry(name, entry) for name, entry in header.items()}
    end = 0
    # Every byte belongs to one array.
    for name, (_, _, start, stop) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if start != end:
            raise ValueError(f"{name!r} at offset {start:,} and not at {end:,}")
        end = stop
    if end != size - 8 - length:
        raise ValueError(f"{size - 8 - length:,} bytes of arrays, and a header of {end:,}")
    return {name: entry[:3] for name, entry in entries.items()}, 8 + length


def _entry(name, entry):
    if not _NAME.fullmatch(name):
        raise ValueError(f"an array of the name {name[:80]!r}")
    if not isinstance(entry, dict) or sorted(entry) != ["data_offsets", "dtype", "shape"]:
        raise ValueError(f"{name!r} without exactly `data_offsets`, `dtype` and `shape`")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEMSIZES:
        known = ", ".join(_ITEMSIZES)
        raise ValueError(f"{name!r} of dtype {str(dtype)[:20]!r} and not of {known}")
    if not _are_integers(shape) or len(shape) > MOST_AXES or max(shape, default=0) > MOST_LENGTH:
        raise ValueError(f"{name!r} of shape {str(shape)[:80]}")
    if not _are_integers(offsets) or len(offsets) != 2:
        raise ValueError(f"{name!r} at offsets {str(offsets)[:80]}")
    # Python integers, because NumPy's would overflow.
    numbers, (start, stop) = math.prod(shape), offsets
    if numbers > MOST_NUMBERS or stop - start != numbers * _ITEMSIZES[dtype]:
        raise ValueError(f"{name!r} of {dtype} and shape {shape} in {stop - start:,} bytes")
    return dtype, tuple(shape), start, stop


def _are_integers(values):
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _read(file, count):
    content = b""
    while len(content) < count:
        more = file.read(count - len(content))
        if not more:
            raise ValueError(f"{len(content)} bytes where {count:,} were expected")
        content += more
    return content


def write(path: Any, tensors: Mapping[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Writes arrays to a new file, one after another: large types first, then by name.

    Args:
        path: of the file; who needs it to be whole or absent uses `_atomic`.
        tensors: names, and arrays of a type that safetensors has.
        metadata: dict of texts for the header.

    Raises:
        ValueError: a name or a type that `Tensors` would not read.
    """
    names = {str(kind): name for name, kind in _named_dtypes().items()}
    entries = {}
    for name, value in tensors.items():
        kind = names.get(str(np.asarray(value).dtype))
        if not _NAME.fullmatch(name) or kind is None:
            raise ValueError(
                "An array needs a plain name and a type of floats or integers. "
                f"Received: {name!r} of {np.asarray(value).dtype}"
            )
        entries[name] = kind, np.shape(value)
    order = sorted(entries, key=lambda name: (-_ITEMSIZES[entries[name][0]], name))
    header: dict[str, Any] = {_METADATA: metadata} if metadata else {}
    end = 0
    for name in order:
        kind, shape = entries[name]
        start, end = end, end + math.prod(shape) * _ITEMSIZES[kind]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    # Arrays begin at a multiple of eight bytes, as the library's do.
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            value = np.asarray(tensors[name])
            file.write(np.ascontiguousarray(value, _dtype(entries[name][0])).tobytes())


def _named_dtypes():
    return {name: _dtype(name) for name in _ITEMSIZES}


@contextlib.contextmanager
def read(path: Any) -> Iterator[Tensors]:
    """Yields the `Tensors` of a file by its path."""
    with open(path, "rb", buffering=0) as file:
        yield Tensors(file, path)
