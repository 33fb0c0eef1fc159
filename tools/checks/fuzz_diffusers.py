"""Folders of diffusers changed at random, for `tools.checks.fuzz`."""

import json
import os
import shutil

import numpy as np

CONFIG = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.42.1",
    "act_fn": "silu",
    "block_out_channels": [4],
    "down_block_types": ["DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D"],
    "in_channels": 3,
    "latent_channels": 2,
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "out_channels": 3,
    "sample_size": 8,
    "scaling_factor": 0.5,
}
WEIGHTS, INDEX = (
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
)
VALUES = [
    *(None, True, -1, 0, 1, 3, 5, 64, 2**16, 10**9, 2**63, 10**30, 0.5, -1e308, "", "x", "silu"),
    *([], [4, 4], [10**9], [2**16] * 4, [4] * 10**4, [[]] * 10, {}, {"a": {"b": [1]}}, "x" * 10**5),
    *(
        "AutoencoderKLWan",
        "VQModel",
        "AutoencoderTiny",
        "../../etc/passwd",
        "\x1b[31m",
        "os.system",
    ),
]


def tensors():
    """Arrays of the configuration above under the names of diffusers."""
    rng, found = np.random.default_rng(0), {}

    def layer(name, *shape):
        found[f"{name}.weight"] = rng.normal(0, 0.3, shape).astype("float32")
        found[f"{name}.bias"] = rng.normal(0, 0.1, shape[:1]).astype("float32")

    def residual(name):
        for i in (1, 2):
            layer(f"{name}.norm{i}", 4)
            layer(f"{name}.conv{i}", 4, 4, 3, 3)

    for part, block, count in (("encoder", "down", 1), ("decoder", "up", 2)):
        first, last = (3, 4) if part == "encoder" else (2, 3)
        layer(f"{part}.conv_in", 4, first, 3, 3)
        for i in range(count):
            residual(f"{part}.{block}_blocks.0.resnets.{i}")
        for i in (0, 1):
            residual(f"{part}.mid_block.resnets.{i}")
        layer(f"{part}.mid_block.attentions.0.group_norm", 4)
        for name in ("to_q", "to_k", "to_v", "to_out.0"):
            layer(f"{part}.mid_block.attentions.0.{name}", 4, 4)
        layer(f"{part}.conv_norm_out", 4)
        layer(f"{part}.conv_out", last, 4, 3, 3)
    layer("quant_conv", 4, 4, 1, 1)
    layer("post_quant_conv", 2, 2, 1, 1)
    return found


def base(folder):
    """The same arrays as one file, and as two with an index."""
    from keras_vae.zoo import safetensors

    arrays = tensors()
    halves = list(arrays)[::2], list(arrays)[1::2]
    for name in ("whole", "parts"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(CONFIG))
    safetensors.write(folder / "whole" / WEIGHTS, arrays)
    places = {}
    for i, half in enumerate(halves, 1):
        shard = f"diffusion_pytorch_model-0000{i}-of-00002.safetensors"
        safetensors.write(folder / "parts" / shard, {name: arrays[name] for name in half})
        places |= dict.fromkeys(half, shard)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "parts" / INDEX).write_text(json.dumps(index))


def changed(source, target, rng):
    """A copy with something changed; whether all that loading reads is still as it was."""
    name = "whole" if rng.random() < 0.7 else "parts"
    files = target / "files"
    shutil.copytree(source / name, files)
    if rng.random() < 0.1:
        for _ in range(rng.integers(1, 4)):
            HARMLESS[rng.integers(len(HARMLESS))](files, rng)
        return files, True
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    for _ in range(rng.integers(1, 4)):
        CHANGES[rng.integers(len(CHANGES))](files, rng)
    return files, all(_bytes(files / name) == content for name, content in before.items())


def _bytes(path):
    small = path.is_file() and not path.is_symlink() and path.stat().st_size < 2**24
    return path.read_bytes() if small else None


def _some(files, rng, ending):
    found = sorted(p for p in files.iterdir() if p.name.endswith(ending) and _bytes(p) is not None)
    return found[rng.integers(len(found))] if found else None


def _split(path):
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _join(path, header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    path.write_bytes((length % 2**64).to_bytes(8, "little") + text + data)


def change_length(files, rng):
    """Another length of the header than it has."""
    if path := _some(files, rng, ".safetensors"):
        header, data = _split(path)
        lengths = [0, 1, 2**24, 2**24 + 1, 2**31, 2**63, 2**64 - 1, path.stat().st_size]
        own = len(json.dumps(header))
        _join(path, header, data, [*lengths, own - 1, own + 1][rng.integers(10)])


def change_text(files, rng):
    """A header that is no JSON, or JSON of another kind."""
    if path := _some(files, rng, ".safetensors"):
        header, data = _split(path)
        text = json.dumps(header)
        name = next(iter(header), "")
        texts = [
            b"",
            b"[]",
            b"{}",
            b"null",
            b"NaN",
            b"\xff" * 10,
            b"[" * 10**5,
            b"[" + b"[]," * 10**6 + b"[]]",
            text.encode("utf-16"),
            text[:-1].encode(),
            (text[:-1] + f",{json.dumps(name)}:{json.dumps(header.get(name))}}}").encode(),
            text.replace("[0,", "[-0,").replace("[0, ", "[0.0, ").encode(),
            text.replace(" ", " " * 50).encode(),
        ]
        _join(path, texts[rng.integers(len(texts))], data)


def change_entry(files, rng):
    """An entry of the header with another name, dtype, shape or place."""
    if path := _some(files, rng, ".safetensors"):
        header, data = _split(path)
        name = list(header)[rng.integers(len(header))]
        other = list(header)[rng.integers(len(header))]
        entry, kind = header[name], rng.integers(12)
        start, end = entry["data_offsets"]
        if kind == 0:
            names = ["", "x" * 10**4, "../x", "a\x00b", "\x1b[31m", "__metadata__", "ä", other]
            header[names[rng.integers(len(names))]] = header.pop(name)
        elif kind == 1:
            kinds = ["F64", "F16", "BF16", "I32", "U8", "BOOL", "F8_E4M3", "C64", "object", "", 3]
            entry["dtype"] = kinds[rng.integers(len(kinds))]
        elif kind == 2:
            half = entry["shape"][0] if entry["shape"] else 1
            shapes = [[], [0], [-1], [2**31], [2**40, 2**40], [1] * 9, [1] * 10**4, [half, 1.0]]
            shapes += [[2**62, 4], [True], None, "x", [half * 2], [None], entry["shape"][::-1]]
            entry["shape"] = shapes[rng.integers(len(shapes))]
        elif kind == 3:
            places = [[0, 0], [end, start], [start + 4, end + 4], [start, 2**62], [-4, end], [0]]
            places += [[start], None, [float(start), end], header[other]["data_offsets"]]
            entry["data_offsets"] = places[rng.integers(len(places))]
        elif kind == 4:
            mine, its = entry["data_offsets"], header[other]["data_offsets"]
            entry["data_offsets"], header[other]["data_offsets"] = its, mine
        elif kind == 5:
            del header[name]
        elif kind == 6:
            del entry[["dtype", "shape", "data_offsets"][rng.integers(3)]]
        elif kind == 7:
            entry["more"] = VALUES[rng.integers(len(VALUES))]
        elif kind == 8:
            header["__metadata__"] = VALUES[rng.integers(len(VALUES))]
        elif kind == 9:
            header[name] = VALUES[rng.integers(len(VALUES))]
        elif kind == 10:
            # A hole, which the data has too.
            header["hole"] = {"dtype": "U8", "shape": [8], "data_offsets": [len(data) + 8] * 2}
            data += bytes(8)
        else:
            # An array that the file has in full, and the model does not.
            size = [0, 4, 2**20][rng.integers(3)]
            place = [len(data), len(data) + size]
            header["more"] = {"dtype": "U8", "shape": [size], "data_offsets": place}
            data += bytes(size)
        _join(path, header, data)


def change_size(files, rng):
    """A file cut, longer, or with a hole of gigabytes that an entry claims."""
    if path := _some(files, rng, ".safetensors"):
        size, kind = path.stat().st_size, rng.integers(5)
        if kind == 0:
            os.truncate(path, int(rng.integers(size)))
        elif kind == 1:
            os.truncate(path, size + int(rng.integers(1, 100)))
        elif kind == 2:
            os.truncate(path, [2**31, 2**33, 2**40][rng.integers(3)])
        else:
            header, data = _split(path)
            count = [2**20, 2**28, 2**31][rng.integers(3)]
            name = list(header)[-1]
            new = "huge" if kind == 3 else name
            start = len(data) if kind == 3 else header[name]["data_offsets"][0]
            shape = [count // 4, 1] if len(header[name]["shape"]) > 1 else [count // 4]
            header[new] = {"dtype": "F32", "shape": shape, "data_offsets": [start, start + count]}
            if max(entry["data_offsets"][1] for entry in header.values()) == start + count:
                _join(path, header, data)
                os.truncate(path, path.stat().st_size - len(data) + start + count)


def change_json(files, rng):
    """A value of the configuration or of the index replaced, or its text damaged."""
    if path := _some(files, rng, ".json"):
        value = json.loads(path.read_bytes())
        kind = rng.integers(8)
        inner = value.get("weight_map", value)
        key = list(inner)[rng.integers(len(inner))]
        if kind == 0:
            del inner[key]
        elif kind == 1:
            path.write_text(json.dumps(value)[:-1] + f",{json.dumps(key)}:1" + "}")
            return
        elif kind == 2:
            path.write_bytes([b"", b"[]", b"NaN", b"\xff", b"[" * 10**5, b"{}"][rng.integers(6)])
            return
        elif kind == 3:
            deep = 1
            for _ in range(rng.integers(1, 300)):
                deep = [deep] if rng.random() < 0.5 else {"a": deep}
            inner[key] = deep
        elif kind == 4:
            inner["more"] = VALUES[rng.integers(len(VALUES))]
        elif kind == 5 and "weight_map" in value:
            names = ["../beside.safetensors", "/etc/hosts", WEIGHTS, "config.json", "", INDEX]
            inner[key] = names[rng.integers(len(names))]
        else:
            inner[key] = VALUES[rng.integers(len(VALUES))]
        path.write_text(json.dumps(value))


def change_lies(files, rng):
    """Numbers of the configuration that ask for much."""
    path = files / "config.json"
    if _bytes(path) is None:
        return
    try:
        config = json.loads(path.read_bytes())
        key = ["block_out_channels", "layers_per_block", "latent_channels", "norm_num_groups"]
        key = [*key, "in_channels", "out_channels", "sample_size"][rng.integers(7)]
        number = [10**9, 2**20, 2**14, 33, 32, 8, 0, -1][rng.integers(8)]
        config[key] = [number] * int(rng.integers(1, 20)) if key[0] == "b" else number
        path.write_text(json.dumps(config))
    except (ValueError, TypeError):
        pass


def change_files(files, rng):
    """A file removed, or something else in its place, or other files beside it."""
    path = _some(files, rng, "")
    if path is None:
        return
    content, kind = path.read_bytes(), rng.integers(8)
    if kind < 6:
        path.unlink()
    if kind == 0:
        path.symlink_to("/etc/passwd")
    elif kind == 1:
        (files.parent / "beside").write_bytes(content)
        path.symlink_to("../beside")
    elif kind == 2:
        path.mkdir()
    elif kind == 3:
        os.mkfifo(path)
    elif kind == 4:
        (files / "diffusion_pytorch_model.bin").write_bytes(content)
    elif kind == 5:
        (files / "diffusion_pytorch_model.fp16.safetensors").write_bytes(content)
    elif kind == 6:
        (files / "model_index.json").write_text("{}")
    else:
        (files / "more.safetensors").write_bytes(content)


def change_bytes(files, rng):
    """Bits flipped in the header or the configuration."""
    if path := _some(files, rng, ""):
        data = bytearray(path.read_bytes())
        for _ in range(rng.integers(1, 8)):
            if data:
                data[int(rng.integers(min(len(data), 4000)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))


def keep_order(files, rng):
    """The same arrays in another order, of the header and of the data."""
    if path := _some(files, rng, ".safetensors"):
        header, data = _split(path)
        names = [name for name in header if name != "__metadata__"]
        moved, parts, end = {}, [], 0
        for name in rng.permutation(names):
            start, stop = header[name]["data_offsets"]
            parts.append(data[start:stop])
            moved[name] = {**header[name], "data_offsets": [end, end + stop - start]}
            end += stop - start
        kept = {name: header[name] for name in header if name not in moved}
        order = {str(name): moved[name] for name in rng.permutation(names)}
        _join(path, {**kept, **order}, b"".join(parts))


def keep_text(files, rng):
    """The same header with spaces around it, and texts of its own."""
    if path := _some(files, rng, ".safetensors"):
        header, data = _split(path)
        header["__metadata__"] = {"format": "pt", "x" * int(rng.integers(99)): "\x1b[31m"}
        _join(path, json.dumps(header).encode() + b" " * int(rng.integers(99)), data)


def keep_files(files, rng):
    """Files beside it that loading does not read."""
    names = ["diffusion_pytorch_model.bin", "model_index.json", "README.md", "x.safetensors"]
    names += ["diffusion_pytorch_model.fp16.safetensors", "vae", "..."]
    (files / names[rng.integers(len(names))]).write_bytes(rng.bytes(20))


def _tried(change):
    """A change that does nothing to a file which another one damaged."""

    def tried(files, rng):
        try:
            change(files, rng)
        except Exception:  # a file that is damaged already
            pass

    return tried


HARMLESS = [_tried(change) for change in (keep_order, keep_text, keep_files)]
CHANGES = [
    _tried(change)
    for change in (
        *(change_length, change_text, change_size, change_lies, change_files, change_bytes),
        *[change_entry] * 4,
        *[change_json] * 2,
    )
]
