"""K7, K9 and K10: what is copied or shown, and what is nested."""

import json
import os

from tests.support.hostile.configurations import configured, encoder, entry, layer
from tests.support.hostile.frame import GIBIBYTE, WEIGHTS, case
from tests.support.hostile.weights import array
from tests.support.presets import rewrite


@case("K7", "6,442,450,944 bytes")
def a_configuration_of_holes(preset):
    os.truncate(preset / "config.json", 6 * GIBIBYTE)
    return preset


@case("K7", "6,442,450,944 bytes")
def metadata_of_holes(preset):
    os.truncate(preset / "metadata.json", 6 * GIBIBYTE)
    return preset


@case("K7", "full of holes")
def weights_of_holes(preset):
    os.truncate(preset / WEIGHTS, 3 * GIBIBYTE)
    return preset


@case("K7", "full of holes")
def an_archive_of_holes(preset):
    path = preset.parent / "model.keras"
    os.truncate(path, 3 * GIBIBYTE)
    return path


@case("K7", "10,800,004 values")
def five_million_empty_lists(preset):
    content = b'{"a": [' + b"[]," * 5_400_000 + b"[]]}"
    rewrite(preset, "config.json", content)
    return preset


@case("K7", "8,000,004 values")
def four_million_empty_lists_in_the_metadata(preset):
    (preset / "metadata.json").write_bytes(b'{"a": [' + b"[]," * 4_000_000 + b"[]]}")
    return preset


def described(preset, **changed):
    metadata = json.loads((preset / "metadata.json").read_text())
    (preset / "metadata.json").write_text(json.dumps({**metadata, **changed}))
    return preset


def metric(**changed):
    return {"title": "t", "value": 1.0, "how": "h", **changed}


@case("K7", "digits from 0 to 12")
def two_billion_digits(preset):
    return described(preset, metrics=[metric(digits=2 * 10**9)])


@case("K7", "digits from 0 to 12")
def thirteen_digits(preset):
    return described(preset, metrics=[metric(digits=13)])


@case("K7", "digits from 0 to 12")
def digits_that_are_a_format(preset):
    return described(preset, metrics=[metric(digits="9" * 9)])


@case("K7", "1,000,016 values")
def a_shape_of_a_million_axes(preset):
    return described(preset, input={"shape": [1] * 10**6, "dtype": "float32", "range": None})


@case("K7", "a text of 10,000,000 characters")
def a_description_of_ten_megabytes(preset):
    return described(preset, description="x" * 10**7)


@case("K9", "os\\\\x1b\\[2J", weights=None)
def an_escape_in_the_name_of_a_class(preset):
    bad = {"module": "os\x1b[2J", "class_name": "\x1b]0;x\x07", "config": {}}
    return configured(preset, lambda config: config.update(prior=bad))


@case("K9", "which is not printable", weights=None)
def an_escape_in_the_name_of_a_layer(preset):
    return encoder(preset, [entry([4]), layer("Dense", "\x1b[31mred", "in", units="many")])


@case("K9", "which is not printable", weights=None)
def an_escape_in_a_key(preset):
    return configured(preset, lambda config: config.update({"\x1b[2J": 1}))


@case("K9", "values of type object")
def an_escape_in_the_name_of_an_array(preset):
    return array(preset, lambda file, name, _: file.create_dataset(f"{name}\x1b[2J", data=["t"]))


@case("K9", "config.json is damaged")
def an_escape_in_the_hash(preset):
    metadata = json.loads((preset / "metadata.json").read_text())
    metadata["sha256"]["config.json"] = "\x1b[2J\u202e"
    return described(preset, sha256=metadata["sha256"])


@case("K10", "levels", weights=None)
def lists_of_a_hundred_thousand_levels(preset):
    rewrite(preset, "config.json", b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    return preset


@case("K10", "levels")
def metadata_of_a_hundred_thousand_levels(preset):
    (preset / "metadata.json").write_bytes(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    return preset


@case("K10", "sha256 of config.json")
def hashes_that_are_lists(preset):
    return described(preset, sha256={"config.json": [], WEIGHTS: {}})
