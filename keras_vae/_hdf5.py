"""The one reader of HDF5: weights files of strangers, checked before Keras opens them.

Only what Keras and `zoo.save` write: groups of the first format, arrays in one piece or few,
plain or packed by shuffle and deflate. HDF5 itself bounds neither what a filter unpacks nor how
many pieces an array has.
"""

import math
import zlib

import h5py

# Each costs 40 us; a network of 300 layers has 2,000.
MOST_OBJECTS = 16_000
MOST_DEPTH = 64
# Keras writes an array in one piece, and `zoo.save` too.
MOST_CHUNKS = 16
MOST_ATTRIBUTES = 16
MOST_NAME = 512
_SHUFFLE, _DEFLATE = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE
# In the order in which they are applied. What another order unpacks is not known before.
_PIPELINES = ([], [_SHUFFLE], [_DEFLATE], [_SHUFFLE, _DEFLATE])
_PIECE = 2**16
# Types of messages in the header of an object: of both, of a group, and of an array. Others
# hold links, attributes or values in places of their own, with filters of their own.
_BOTH = {0x00, 0x0C, 0x10, 0x12}
_MESSAGES = {0x02: "links", 0x06: "a link", 0x07: "its values in another file"}
_OF_GROUP, _OF_ARRAY = _BOTH | {0x11}, _BOTH | {0x01, 0x03, 0x04, 0x05, 0x08, 0x0B}


# Limits of the unpacked size of a file of `n` bytes: weights hardly compress.
ROOM, EXPANSION = 64 * 2**20, 20


def room(size):
    """The largest allowed unpacked size of a file of `size` bytes."""
    return ROOM + EXPANSION * size


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
    with open(path, "rb") as plain, h5py.File(path, "r") as file:
        headers = _Headers(plain)
        left = [room(path.stat().st_size)]
        root = _address(file.id)
        waiting, seen, announced = [("", file, 0)], {root}, 1
        headers.check(root, "", _OF_GROUP)
        while waiting:
            prefix, group, depth = waiting.pop()
            _check_attributes(group, prefix)
            announced += len(group)
            if announced > MOST_OBJECTS or depth > MOST_DEPTH:
                _refuse(prefix, f"too many groups or arrays: more than {MOST_OBJECTS:,}")
            for key in group:
                name = f"{prefix}/{key}" if prefix else key
                if len(key) > MOST_NAME:
                    _refuse(name[:80], f"a name of {len(key):,} characters")
                # By h5py's inner functions: `group.get` and `group[key]` take thrice the time.
                encoded = key.encode("utf8", "surrogateescape")
                if group.id.links.get_info(encoded).type != h5py.h5l.TYPE_HARD:
                    _refuse(name, "a link")
                found = h5py.h5o.open(group.id, encoded)
                address = _address(found)
                if address in seen:
                    _refuse(name, "a thing that has two names")
                seen.add(address)
                if isinstance(found, h5py.h5g.GroupID):
                    headers.check(address, name, _OF_GROUP)
                    waiting.append((name, h5py.Group(found), depth + 1))
                elif isinstance(found, h5py.h5d.DatasetID):
                    item = h5py.Dataset(found)
                    _check_attributes(item, name)
                    headers.check(address, name, _OF_ARRAY)
                    _check_dataset(item, name, left)
                    sizes[name] = item.size
                else:
                    _refuse(name, type(found).__name__)
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
    """The place of the header of an object in the file: it has no links to other files."""
    return h5py.h5o.get_info(item).addr


class _Headers:
    """Reads the headers of objects as bytes: h5py does not say how a group keeps its links."""

    def __init__(self, file):
        self.file = file
        file.seek(0)
        start = file.read(32)
        # A block of something else before it would move every address.
        if start[:9] != b"\x89HDF\r\n\x1a\n\0" or any(start[24:]):
            raise ValueError("a weights file begins with a superblock of the first format")

    def check(self, address, name, allowed):
        """Raises `ValueError` for a header of the second format, or with another message."""
        self.file.seek(address)
        prefix = self.file.read(16)
        if len(prefix) < 16 or prefix[0] != 1:
            _refuse(name, "a header that Keras does not write")
        blocks, waiting = 0, [(self.file.tell(), int.from_bytes(prefix[8:12], "little"))]
        while waiting:
            place, length = waiting.pop(0)
            blocks += 1
            if blocks > MOST_ATTRIBUTES or length > 2**17:
                _refuse(name, "a header of too many pieces")
            self.file.seek(place)
            block = self.file.read(length)
            at = 0
            while at + 8 <= len(block):
                kind = int.from_bytes(block[at : at + 2], "little")
                size = int.from_bytes(block[at + 2 : at + 4], "little")
                if kind not in allowed:
                    what = _MESSAGES.get(kind, "something that Keras does not write")
                    _refuse(name, f"{what} (message {kind} of its header)")
                if kind == 0x10:
                    place, length = (
                        int.from_bytes(block[at + i : at + i + 8], "little") for i in (8, 16)
                    )
                    waiting.append((place, length))
                at += 8 + size


def _check_attributes(item, name):
    count = h5py.h5a.get_num_attrs(item.id)
    if count > MOST_ATTRIBUTES:
        _refuse(name, f"{count:,} attributes")
    if not count:
        return
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
    size = item.dtype.itemsize * math.prod(map(int, item.shape))
    left[0] -= size
    if left[0] < 0:
        _refuse(name, f"shape {item.shape}, far more than the file holds")
    plan = item.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if filters not in _PIPELINES:
        _refuse(name, f"the filters {filters}")
    if item.chunks is not None:
        _check_chunks(item, name, filters)
    elif item.id.get_storage_size() != size:
        _refuse(name, f"{item.id.get_storage_size():,} bytes for {size:,} of values")


def _check_chunks(item, name, filters):
    """Unpacks each chunk up to its allowed size: HDF5 has no limit."""
    size = item.dtype.itemsize * math.prod(map(int, item.chunks))
    if size > 4 * item.dtype.itemsize * item.size + 2**20:
        _refuse(name, f"chunks of {item.chunks}")
    count = math.prod(-(-int(n) // int(c)) for n, c in zip(item.shape, item.chunks, strict=True))
    if count > MOST_CHUNKS:
        _refuse(name, f"{count:,} chunks, of at most {MOST_CHUNKS}")
    if item.id.get_num_chunks() != count:
        _refuse(name, f"{item.id.get_num_chunks():,} chunks where its shape has {count:,}")
    for i in range(count):
        chunk = item.id.get_chunk_info(i)
        if chunk.filter_mask:
            _refuse(name, f"a chunk without its filters, of mask {chunk.filter_mask}")
        if chunk.size > size + size // 8 + 4096 or (_DEFLATE not in filters and chunk.size != size):
            _refuse(name, "a chunk that is larger than its values, or smaller")
        if _DEFLATE in filters:
            _, packed = item.id.read_direct_chunk(chunk.chunk_offset)
            if _unpacked_size(packed, size) != size:
                _refuse(name, "a chunk that unpacks to more than its values, or to fewer")


def _unpacked_size(packed, most):
    """The unpacked size of a zlib stream, or a number above `most`; nothing of it is kept."""
    stream, count = zlib.decompressobj(), 0
    for start in range(0, len(packed), _PIECE):
        piece = packed[start : start + _PIECE]
        while piece:
            count += len(stream.decompress(piece, 2**20))
            if count > most:
                return count
            piece = stream.unconsumed_tail
    return count + len(stream.flush())
