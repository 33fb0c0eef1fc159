"""K1: archives whose members unpack to more than they should."""

import struct
import zipfile

from tests.support.hostile.frame import WEIGHTS, case


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(preset, method, **changed):
    """The archive beside a preset with other members, packed by another method."""
    path = preset.parent / "model.keras"
    content = {**members(path), **changed}
    with zipfile.ZipFile(path, "w") as file:
        for name, value in content.items():
            chosen = method if name in changed else zipfile.ZIP_STORED
            with file.open(_entry(name, chosen), "w") as member:
                for piece in [value] if isinstance(value, bytes) else value:
                    member.write(piece)
    return path


def _entry(name, method):
    entry = zipfile.ZipInfo(name)
    entry.compress_type = method
    return entry


def zeros(size, piece=2**24):
    """Zeros in pieces."""
    while size > 0:
        yield bytes(min(size, piece))
        size -= piece


@case("K1", "packed by method 12")
def a_member_in_bzip2(preset):
    return packed(preset, zipfile.ZIP_BZIP2, **{"config.json": zeros(2**23)})


@case("K1", "packed by method 14")
def a_member_in_lzma(preset):
    return packed(preset, zipfile.ZIP_LZMA, **{WEIGHTS: zeros(2**23)})


@case("K1", "BadZipFile")
def a_size_that_is_a_lie(preset):
    """The table says 100 bytes, and the stream has 8 MiB."""
    path = packed(preset, zipfile.ZIP_DEFLATED, **{WEIGHTS: zeros(2**23)})
    content = bytearray(path.read_bytes())
    for sign, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = -1
        while (start := content.find(sign, start + 1)) >= 0:
            if struct.unpack_from("<I", content, start + place)[0] == 2**23:
                struct.pack_into("<I", content, start + place, 100)
    path.write_bytes(content)
    return path


@case("K1", "lies over another member")
def three_members_over_one_another(preset):
    """One stream that each name unpacks: a file is as large as its members together."""
    path = packed(preset, zipfile.ZIP_DEFLATED, **{WEIGHTS: zeros(2**23)})
    with zipfile.ZipFile(path) as file:
        offset = file.getinfo(WEIGHTS).header_offset
    content = bytearray(path.read_bytes())
    start = -1
    while (start := content.find(b"PK\x01\x02", start + 1)) >= 0:
        struct.pack_into("<I", content, start + 42, offset)
    path.write_bytes(content)
    return path


@case("K1", "packed by method 93")
def an_unknown_method(preset):
    path = packed(preset, zipfile.ZIP_DEFLATED, **{"config.json": b"{}" * 50})
    content = bytearray(path.read_bytes())
    for sign, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", content, content.find(sign) + place, 93)
    path.write_bytes(content)
    return path


@case("K1", "holds 65,535 members")
def a_table_of_a_hundred_thousand_members(preset):
    path = preset.parent / "model.keras"
    row = b"PK\x01\x02" + struct.pack("<6H3I5H2I", *[20, 20, 0, 0, 0, 0], *[0] * 3, 1, *[0] * 6)
    table = b"".join(row + b"x" for _ in range(100_000))
    end = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 65535, 65535, len(table), 0, 0)
    path.write_bytes(table + end)
    return path
