"""Files of safetensors: read as the library reads them, or refused before memory is taken."""

import json
import os
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from keras_vae.zoo import safetensors, strict_json
from tests.support.diffusers_folders import header_of, with_header

pytestmark = pytest.mark.once

ARRAYS = {
    "a.weight": np.arange(12, dtype="float32").reshape(3, 4),
    "b": np.array([1.5, -2, np.nan], ml_dtypes.bfloat16),
    "c": np.array(3, "float16"),
    "d": np.zeros((0, 3), "int64"),
    "0.e": np.arange(7, dtype="uint8"),
    "f/g": np.array([np.inf, 1e300]),
}
ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.safetensors"


def equal(read, arrays=ARRAYS):
    assert set(read) == set(arrays) and len(read) == len(arrays)
    for name, expected in arrays.items():
        value = read[name]
        assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
        assert value.tobytes() == expected.tobytes()


class TestTheLibrary:
    def test_it_reads_what_is_written_here(self, path):
        library = pytest.importorskip("safetensors.numpy")
        safetensors.write(path, ARRAYS, {"format": "pt"})
        equal(library.load_file(path))
        with __import__("safetensors").safe_open(path, framework="numpy") as file:
            assert file.metadata() == {"format": "pt"}

    def test_what_it_writes_is_read_here(self, path):
        library = pytest.importorskip("safetensors.numpy")
        library.save_file(ARRAYS, path, {"format": "pt"})
        with safetensors.read(path) as read:
            equal(read)
            assert read.numbers == 12 + 3 + 1 + 0 + 7 + 2
            assert read.shapes["a.weight"] == (3, 4) and read.dtypes["b"] == "BF16"

    def test_it_refuses_what_is_refused_here(self, path):
        library = pytest.importorskip("safetensors.numpy")
        with_header(path, {"a": ENTRY, "b": ENTRY}, bytes(8))
        with pytest.raises(Exception, match="(?i)offset"):
            library.load_file(path)


def test_arrays_of_other_types_are_not_written(path):
    for value in (np.array("x"), np.zeros(2, "complex64"), np.zeros(2, bool)):
        with pytest.raises(ValueError, match=f"Received: 'a' of {value.dtype}"):
            safetensors.write(path, {"a": value})
    with pytest.raises(ValueError, match="plain name.*Received: 'a b'"):
        safetensors.write(path, {"a b": np.zeros(2)})
    assert not path.exists()


def test_an_array_at_a_time_is_in_memory(path):
    size = 2**22
    safetensors.write(path, {f"w{i}": np.zeros(size // 4, "float32") for i in range(8)})
    with safetensors.read(path) as read:
        tracemalloc.start()
        total = sum(float(value.sum()) for value in read.values())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert total == 0 and peak < 2.5 * size


@pytest.mark.parametrize(
    "header, data, message",
    [
        ([], b"", "a header that is a list"),
        (b"{", b"", "Expecting property name"),
        (b"\xff", b"", "codec can't decode"),
        (b'{"a":NaN}', b"", "NaN is not valid JSON"),
        (b'{"a":{},"a":{}}', b"", "a key that occurs twice"),
        (b"[" * 10_000, b"", "levels"),
        (b"[" + b"[]," * 2**20 + b"[]]", b"", "values, of at most 320,000"),
        ({"a": {**ENTRY, "more": 1}}, bytes(8), "'a' without exactly"),
        ({"a": [1]}, b"", "'a' without exactly"),
        ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8), "'a' without exactly"),
        ({"": ENTRY}, bytes(8), "an array of the name ''"),
        ({"a\x1b[31m": ENTRY}, bytes(8), r"an array of the name 'a\\x1b"),
        ({"a" * 300: ENTRY}, bytes(8), "an array of the name 'aaa"),
        ({"a": {**ENTRY, "dtype": "F8_E4M3"}}, bytes(8), "'a' of dtype 'F8_E4M3' and not of BF16"),
        ({"a": {**ENTRY, "dtype": "BOOL"}}, bytes(8), "'a' of dtype 'BOOL'"),
        ({"a": {**ENTRY, "dtype": ["F32"]}}, bytes(8), "'a' of dtype"),
        ({"a": {**ENTRY, "shape": [-2]}}, bytes(8), "'a' of shape"),
        ({"a": {**ENTRY, "shape": [2.0]}}, bytes(8), "'a' of shape"),
        ({"a": {**ENTRY, "shape": [True, 2]}}, bytes(8), "'a' of shape"),
        ({"a": {**ENTRY, "shape": [1] * 9}}, bytes(8), "'a' of shape"),
        ({"a": {**ENTRY, "shape": [2**40]}}, bytes(8), "'a' of shape"),
        ({"a": {**ENTRY, "shape": [2**31] * 8}}, bytes(8), r"in 8 bytes"),
        ({"a": {**ENTRY, "shape": [3]}}, bytes(8), r"of F32 and shape \[3\] in 8 bytes"),
        ({"a": {**ENTRY, "data_offsets": [8, 0]}}, bytes(8), "in -8 bytes"),
        ({"a": {**ENTRY, "data_offsets": [-8, 0]}}, bytes(8), "'a' at offsets"),
        ({"a": {**ENTRY, "data_offsets": [0, 8, 16]}}, bytes(8), "'a' at offsets"),
        ({"a": {**ENTRY, "data_offsets": [8, 16]}}, bytes(16), "'a' at offset 8 and not at 0"),
        ({"a": ENTRY, "b": ENTRY}, bytes(8), "'b' at offset 0 and not at 8"),
        ({"a": ENTRY}, bytes(7), "7 bytes of arrays, and a header of 8"),
        ({"a": ENTRY}, bytes(9), "9 bytes of arrays, and a header of 8"),
        ({"a": ENTRY, "__metadata__": {"x": 1}}, bytes(8), "not a dict of texts"),
        ({"a": ENTRY, "__metadata__": []}, bytes(8), "not a dict of texts"),
    ],
)
def test_headers_that_are_refused(header, data, message, path):
    with_header(path, header, data)
    with pytest.raises(ValueError, match=f"it is damaged.*Received: .*{message}"):
        with safetensors.read(path):
            pass


@pytest.mark.parametrize("length", [9, 2**24 + 1, 2**63, 2**64 - 1])
def test_a_length_of_the_header_beyond_the_file(length, path):
    path.write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match=f"a header of {length:,} bytes in a file of 10"):
        with safetensors.read(path):
            pass


def test_a_file_cut_anywhere(path):
    safetensors.write(path, ARRAYS)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="it is damaged"):
            with safetensors.read(path):
                pass


def test_too_many_arrays(path, monkeypatch):
    monkeypatch.setattr(safetensors, "MOST_TENSORS", 5)
    safetensors.write(path, ARRAYS)
    with pytest.raises(ValueError, match="6 arrays, of at most 5"):
        with safetensors.read(path):
            pass


def test_a_file_that_is_written_to_meanwhile(path):
    safetensors.write(path, ARRAYS)
    with safetensors.read(path) as read:
        read.check_unchanged()
        assert read["c"] == 3
        os.utime(path, ns=(1, 1))
        with pytest.raises(ValueError, match="written to while it was read.*x.safetensors"):
            read.check_unchanged()
        os.truncate(path, 100)
        with pytest.raises(ValueError, match="became shorter while it was read"):
            read["0.e"]


def test_a_file_that_is_replaced_meanwhile_is_read_as_it_was(path, tmp_path):
    safetensors.write(path, ARRAYS)
    with safetensors.read(path) as read:
        other = tmp_path / "other"
        safetensors.write(other, {"a.weight": np.zeros((3, 4))})
        os.replace(other, path)
        equal(read)
        read.check_unchanged()


def test_joined(path, tmp_path):
    safetensors.write(path, {"a": np.ones(2)})
    safetensors.write(tmp_path / "y", {"a": np.zeros(3, "float16")})
    with safetensors.read(path) as first, safetensors.read(tmp_path / "y") as second:
        joined = safetensors.Joined({"x.a": (first, "a"), "y.a": (second, "a")})
        assert list(joined) == ["x.a", "y.a"] and len(joined) == 2 and joined.numbers == 5
        assert joined.dtypes == {"x.a": "F64", "y.a": "F16"}
        np.testing.assert_array_equal(joined["y.a"], np.zeros(3))
        with pytest.raises(ValueError, match="Two files hold an array 'a'"):
            safetensors.Joined.of([first, second])


def test_strict_json():
    assert strict_json.parse(b'{"a": [1, 2.5, null, "x"]}', 10, 2) == {"a": [1, 2.5, None, "x"]}
    for text, message in (
        (b"[[[1]]]", "more than 2 levels"),
        (b"[1,1,1,1,1,1,1,1,1,1]", "of at most 10"),
        (b"1e999", "beyond the range"),
        (b"Infinity", "Infinity is not valid JSON"),
        (b'{"a": {"b": 1, "b": 1}}', "occurs twice"),
        (b"9" * 5000, "integer"),
    ):
        with pytest.raises(ValueError, match=message):
            strict_json.parse(text, 10, 2)


def test_the_header_that_is_written(path):
    safetensors.write(path, ARRAYS)
    header, data = header_of(path)
    assert list(header) == ["d", "f/g", "a.weight", "b", "c", "0.e"]
    assert (path.stat().st_size - len(data)) % 8 == 0
    assert json.loads(json.dumps(header))["b"]["shape"] == [3]
