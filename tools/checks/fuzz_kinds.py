"""Changes of the fuzzer for each kind of attack that `.github/SECURITY.md` lists.

Each takes the folder of a preset and a generator. What they write is small, and becomes large only
where a check is missing.
"""

import json
import os
import struct
import zipfile
import zlib

import h5py
import keras

WEIGHTS = "model.weights.h5"
_LARGE = (5, 300, 10**4, 10**6, 10**9)


def change_archive(path, rng):
    """K1: another method of packing, or sizes and places that are lies."""
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    if rng.random() < 0.5:
        with zipfile.ZipFile(path) as old:
            members = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(path, "w", methods[rng.integers(4)]) as new:
            for name, content in members.items():
                new.writestr(name, content + bytes(int(rng.integers(2)) * 10**7))
        return
    content = bytearray(path.read_bytes())
    sign, places = ((b"PK\3\4", (6, 8, 18, 22)), (b"PK\1\2", (8, 10, 20, 24, 42)))[rng.integers(2)]
    at = content.find(sign)
    if at >= 0 and at + 46 < len(content):
        value = int((0, 1, 8, 93, 2**16 - 1)[rng.integers(5)])
        struct.pack_into("<H", content, at + places[rng.integers(len(places))], value)
        path.write_bytes(content)


def _open(files):
    path = files / WEIGHTS
    if not path.is_file() or path.is_symlink():
        raise OSError("no weights")
    return h5py.File(path, "r+")


def _replaced(file, rng):
    """The name of an array that is there no more."""
    names = []
    file.visititems(lambda n, v: names.append(n) if isinstance(v, h5py.Dataset) else None)
    name = names[rng.integers(len(names))]
    del file[name]
    return name


def change_filters(files, rng):
    """K2: filters in any order, with any mask, over a stream that unpacks to more."""
    with _open(files) as file:
        name, size = _replaced(file, rng), int((64, 2**12, 2**17)[rng.integers(3)])
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((size,))
        for kind in rng.permutation(3)[: rng.integers(4)]:
            if kind == 0:
                plan.set_shuffle()
            elif kind == 1:
                plan.set_deflate(9)
            else:
                plan.set_fletcher32()
        space = h5py.h5s.create_simple((size,))
        made = h5py.h5d.create(file.id, name.encode(), h5py.h5t.STD_I8LE, space, plan)
        stream = zlib.compress(bytes(int((size, 8 * size, 10**7)[rng.integers(3)])), 9)
        made.write_direct_chunk((0,), stream, filter_mask=int((0, 1, 2, 3, 256)[rng.integers(5)]))


def change_numbers(files, rng):
    """K3: many chunks, groups or attributes, or an array without values."""
    with _open(files) as file:
        kind, count = rng.integers(4), int((3, 17, 400)[rng.integers(3)])
        if kind == 0:
            data = file.create_dataset(_replaced(file, rng), (count,), "i1", chunks=(1,))
            data[...] = 1
        elif kind == 1:
            for i in range(count):
                file.create_group(f"more/{i}")
        elif kind == 2:
            for i in range(count):
                file.attrs[f"a{i}"] = 1
        else:
            file.create_dataset(_replaced(file, rng), (int(rng.integers(1, 2**24)),), "f4")


def _json(files, name):
    path = files / name
    if not path.is_file() or path.is_symlink() or path.stat().st_size > 2**24:
        raise OSError(f"no {name}")
    return json.loads(path.read_bytes())


def _dicts(value):
    found, waiting = [], [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            found.append(item)
        if isinstance(item, (dict, list)):
            waiting += item.values() if isinstance(item, dict) else item
    return found


def _write(files, name, value):
    (files / name).write_text(json.dumps(value))


def change_time(files, rng):
    """K4: layers called often, in another order, in one another; patterns; large matrices."""
    config = _json(files, "config.json")
    networks = [d["config"] for d in _dicts(config) if _is_network(d)]
    if not networks:
        return
    chosen, kind = networks[rng.integers(len(networks))], rng.integers(5)
    layers = chosen["layers"]
    layer = layers[rng.integers(len(layers))]
    if kind == 0:
        layers.reverse()
    elif kind == 1:
        layer["inbound_nodes"] = layer.get("inbound_nodes", []) * int(_LARGE[rng.integers(3)])
    elif kind == 2:
        layers += [json.loads(json.dumps(layer)) for _ in range(rng.integers(1, 300))]
        for i, copy in enumerate(layers):
            copy["name"] = f"{copy.get('name')}_{i}"
    elif kind == 3:
        for _ in range(rng.integers(1, 8)):
            other = json.loads(json.dumps(layer))
            layer["config"] = {**chosen, "layers": [other, *layers[:2]]}
            layer["class_name"] = "Functional"
            layer["module"] = _where_functional_is()
    else:
        policy = {"default_policy": None, "policy_map": {"(a|a)+": "float32"}}
        layer["config"]["dtype"] = {
            "module": "keras",
            "class_name": "DTypePolicyMap",
            "config": policy,
            "registered_name": None,
        }
    _write(files, "config.json", config)


def _where_functional_is():
    inputs = keras.Input((1,))
    return keras.saving.serialize_keras_object(keras.Model(inputs, inputs))["module"]


def _is_network(value):
    config = value.get("config")
    return isinstance(config, dict) and isinstance(config.get("layers"), list) and config["layers"]


def change_shapes(files, rng):
    """K5: larger shapes of inputs, and of what a layer was built for."""
    config = _json(files, "config.json")
    pairs = [pair for found in _dicts(config) for pair in found.items()]
    shapes = [v for k, v in pairs if "shape" in k and isinstance(v, list) and v]
    if shapes:
        shape = shapes[rng.integers(len(shapes))]
        shape[rng.integers(len(shape))] = int(_LARGE[rng.integers(5)])
        _write(files, "config.json", config)


def change_counts(files, rng):
    """K6: larger counts, and longer lists."""
    config = _json(files, "config.json")
    places = [
        (d, k)
        for d in _dicts(config)
        for k, v in d.items()
        if isinstance(v, list) or type(v) is int
    ]
    if not places:
        return
    where, key = places[rng.integers(len(places))]
    many = int(_LARGE[rng.integers(5)])
    where[key] = many if type(where[key]) is int else (where[key] or [1]) * min(many, 10**4)
    _write(files, "config.json", config)


def change_sizes(files, rng):
    """K7: holes, millions of values, digits."""
    kind = rng.integers(3)
    name = ("config.json", "metadata.json", WEIGHTS)[rng.integers(3)]
    if kind == 0 and (files / name).is_file() and not (files / name).is_symlink():
        os.truncate(files / name, int((2**20, 2**27, 6 * 2**30)[rng.integers(3)]))
    elif kind == 1:
        (files / name).write_bytes(b'{"a": [' + b"[]," * int(rng.integers(2 * 10**6)) + b"[]]}")
    else:
        metadata = _json(files, "metadata.json")
        digits = (0, 12, 13, -1, 2 * 10**9, "9", 1.5, None)[rng.integers(8)]
        metric = {"title": "t", "value": 1.0, "how": "h", "digits": digits}
        _write(files, "metadata.json", {**metadata, "metrics": [metric]})


def change_neighbours(files, rng):
    """K8: folders beside it that look as those of saves."""
    name = (".files.previous", ".files.keras_vae-x", ".files.x")[rng.integers(3)]
    (files.parent / name).mkdir(exist_ok=True)
    (files.parent / name / ("thesis.txt", "metadata.json")[rng.integers(2)]).write_text("{}")


def change_texts(files, rng):
    """K9: characters that a terminal acts on."""
    name = ("config.json", "metadata.json")[rng.integers(2)]
    value = _json(files, name)
    places = [(d, k) for d in _dicts(value) for k, v in d.items() if isinstance(v, str)]
    if places:
        where, key = places[rng.integers(len(places))]
        where[key] += ("\x1b[2J", "\x07", "\u202e", "\n\r", "<script>")[rng.integers(5)]
        _write(files, name, value)


def change_nesting(files, rng):
    """K10: more levels than Python's stack has."""
    name = ("config.json", "metadata.json")[rng.integers(2)]
    levels = int((60, 600, 10**5)[rng.integers(3)])
    (files / name).write_bytes(b'{"a": ' + b"[" * levels + b"]" * levels + b"}")


def _safely(change):
    """A change that leaves alone what other changes have made of a file."""

    def changed(files, rng):
        try:
            # To write into a pipe is to wait for its reader.
            if not any(path.is_fifo() for path in files.glob("*")):
                change(files, rng)
        except Exception:  # it is no longer what it was
            pass

    changed.__doc__ = change.__doc__
    return changed


CHANGES = {
    kind: _safely(change)
    for kind, change in {
        "K2": change_filters,
        "K3": change_numbers,
        "K4": change_time,
        "K5": change_shapes,
        "K6": change_counts,
        "K7": change_sizes,
        "K8": change_neighbours,
        "K9": change_texts,
        "K10": change_nesting,
    }.items()
}
change_archive = _safely(change_archive)
