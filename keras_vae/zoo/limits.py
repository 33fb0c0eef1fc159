"""Limits of what a configuration may ask for: counts, lists, shapes, calls of layers.

All of them are read off the parsed JSON, before anything is made.
"""

import math
import re

MOST_DEPTH = 64
# Values of the JSON; the largest packaged preset has 1,500, a network of 300 layers 40,000.
MOST_NODES = 400_000
# A class costs about a millisecond; the largest packaged preset has 120.
MOST_CLASSES = 10_000
MOST_LAYERS = 2_000
# Calls of layers along the nesting: a network in a network, called ten times, calls its layers
# ten times.
MOST_CALLS = 10_000
# Tries of Keras to call a layer whose inputs are not made yet: one for each layer and pass.
MOST_TRIES = 20_000
# Different lengths of layers: each shape is compiled on JAX.
MOST_LENGTHS = 600
MOST_TEXT = 4_096
_MOST_INTEGER = 2**31
_MOST_OF_OURS = 2**24
_SEEDS = {"seed", "shared_object_id"}
# Lists of plain numbers: means, and bounds of bins. Others are of layers, units and names.
_MOST_NUMBERS, _MOST_ITEMS = 2**16, 4_096
_MOST_UNITS = 256
# Numbers of an example, of a tensor that a layer was built for, and of one that is kept.
_MOST_INPUT, _MOST_BUILT, _MOST_KEPT = 2**26, 2**28, 2**22
# Loops that run before any weight is added, and squares that are made before it. Of our
# classes, where a class has a number of its own first.
_MOST_OF = {
    **{"depth": 256, "couplings": 256, "flows": 256, "iterations": 256, "bits": 24},
    **{"layers_per_block": 32, "num_encoder_blocks": 32, "num_decoder_blocks": 32},
    **{"heads": 1024, "blocks": 256, "layers": 256, "levels": 256, "num_classes": 2**15},
    **{"context_dim": 2**16, "latent_dim": 2**16, "dim": 2**16, "components": 2**16},
    **{"classes": 2**16, "variables": 2**16, "samples": 2**16, "slices": 2**16, "k": 2**20},
    **{"upsampling_scaling_factor": 16, "num_quantizers": 64, "quantizers": 64, "codebooks": 64},
    **{"prior_depth": 256, "probes": 2**16, "hidden_units": 2**16, "auxiliary_dim": 2**16},
}
_MOST_OF_CLASS = {
    "InverseAutoregressive": {"steps": 256},
    "iaf_vae": {"steps": 256},
    "MaskedFlow": {"steps": 256},
    "GaussianMixture": {"latent_dim": 4_096},
    "LinearNormal": {"latent_dim": 4_096},
    "FullCovariance": {"latent_dim": 4_096},
    "MaskedConvolutions": {"before": 256, "after": 256},
    "MaskedConv2D": {"kernel_size": 256},
}
# The same of Keras' layers.
_MOST_OF_KERAS = {
    **{"power_iterations": 256, "num_ops": 64, "num_chains": 64, "chain_depth": 64, "n": 2**20},
    **{"fft_length": 2**14, "sequence_length": 2**14, "frame_length": 2**14},
    **{"num_mel_bins": 2**12, "num_bins": 2**20, "kernel_size": 4_096, "num_tokens": 2**20},
    **{"num_heads": 1024, "rank": 1024, "sequence_stride": 2**14},
}
_LENGTHS = {"units", "filters", "output_dim", "input_dim", "depth_multiplier", "key_dim", "dim"}
_SHAPES = {"batch_shape", "batch_input_shape", "shape", "data_shape", "map_shape"}
# Patterns of a policy map are tried on the name of each layer: without repetition, a name is
# all that they can be. A dot may stand in a name.
_PATTERN = re.compile(r"[\w/.\- ]{0,256}(?:/\.\*)?")


def check(value, refuse, depth=MOST_DEPTH, owner=(None, None)):
    """Walks over a configuration, and yields its classes.

    Args:
        value: parsed JSON.
        refuse: function of words, which raises.
        depth: the most levels.
        owner: whose it is, and the name of its class.

    Yields:
        Each dict that names a class. The sender says what it is: "ours", "theirs", or "own"
        for a class of the caller's, of which nothing is limited but the depth.
    """
    nodes = classes = 0
    lengths = set()
    waiting = [(value, 0, None, owner)]
    while waiting:
        value, level, key, owner = waiting.pop()
        nodes += 1
        if level > depth:
            refuse(f"more than {depth} levels")
        if nodes > MOST_NODES:
            refuse(f"more than {MOST_NODES:,} values")
        if isinstance(value, dict):
            if any(name in value for name in TOGETHER):
                classes += 1
                if classes > MOST_CLASSES:
                    refuse(f"more than {MOST_CLASSES:,} classes")
                # A tuple or a tensor is of the class that it stands in.
                if kind := (yield value):
                    owner = kind, value.get("class_name")
                _check_class(value, owner, refuse)
            for name, item in value.items():
                _check_text(name, "a key", refuse)
                waiting.append((item, level + 1, name, owner))
        elif isinstance(value, (list, tuple)):
            if owner[0] != "own":
                _check_list(value, key, owner, refuse)
            waiting += [(item, level + 1, key, owner) for item in value]
        elif isinstance(value, str):
            if owner[0] != "own":
                _check_text(value, key, refuse)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            if owner[0] != "own":
                _check_number(value, key, owner, refuse)
            if key in _LENGTHS:
                lengths.add(value)
    if len(lengths) > MOST_LENGTHS:
        refuse(f"layers of {len(lengths):,} different lengths, of at most {MOST_LENGTHS}")


TOGETHER = ("class_name", "module", "registered_name")


def _check_text(value, key, refuse):
    if len(value) > MOST_TEXT:
        refuse(f"a text of {len(value):,} characters for {str(key)[:80]!r}")
    # Errors show it, on a terminal.
    if not value.isprintable():
        refuse(f"the text {value[:80]!r} for {str(key)[:80]!r}, which is not printable")


def _check_number(value, key, owner, refuse):
    if isinstance(value, float):
        if not math.isfinite(value):
            refuse(f"{key}={value!r}")
        return
    kind, name = owner
    if key in _SEEDS:
        limit = 2**64
    elif kind == "ours":
        limit = _MOST_OF_CLASS.get(name, {}).get(key, _MOST_OF.get(key, _MOST_OF_OURS))
    else:
        limit = _MOST_OF_KERAS.get(key, _MOST_INTEGER) if kind else _MOST_INTEGER
    if abs(value) > limit:
        shown = repr(value) if abs(value) < 10**40 else f"{str(value)[:20]}..."
        refuse(f"{key}={shown}, of at most {limit:,}")


def _check_list(value, key, owner, refuse):
    numbers = all(isinstance(item, (int, float)) for item in value)
    most = _MOST_NUMBERS if numbers else _MOST_ITEMS
    if numbers and owner[0] == "ours":
        most = _MOST_UNITS
    if key == "layers":
        most = MOST_LAYERS
    if len(value) > most:
        refuse(f"a list of {len(value):,} for {str(key)[:80]!r}, of at most {most:,}")
    if key in _SHAPES and _size(value) > _MOST_INPUT:
        refuse(f"{key}={_shown(value)}, of at most {_MOST_INPUT:,} numbers")


def _size(shape):
    return math.prod(n for n in shape if isinstance(n, int) and n > 0)


def _shown(shape):
    return str(shape)[:80]


def _check_class(value, owner, refuse):
    """Checks what a class was built for, its patterns, and the calls of its layers."""
    name, config = value.get("class_name"), value.get("config")
    if owner[0] == "own":
        return
    most = _MOST_KEPT if name == "Normalization" else _MOST_BUILT
    waiting = [(value.get("build_config"), 0)]
    while waiting:
        item, level = waiting.pop()
        if level > 6:
            refuse("a build configuration of more than 6 levels")
        if isinstance(item, dict):
            waiting += [(part, level + 1) for part in item.values()]
        elif isinstance(item, list):
            if len(item) > 256:
                refuse(f"a build configuration of a list of {len(item):,}")
            if _size(item) > most:
                refuse(f"{name} that was built for {_shown(item)}, of at most {most:,} numbers")
            waiting += [(part, level + 1) for part in item]
    if not isinstance(config, dict):
        return
    if name == "DTypePolicyMap":
        patterns = config.get("policy_map")
        if not isinstance(patterns, dict) or len(patterns) > _MOST_UNITS:
            refuse(f"a map of types that is no dict of at most {_MOST_UNITS} patterns")
        for pattern in patterns:
            if not _PATTERN.fullmatch(pattern):
                refuse(f"the pattern {pattern[:80]!r} in a map of types, which is no name")
    if isinstance(config.get("layers"), list):
        _check_order(config["layers"], refuse)


def _check_order(layers, refuse):
    """Follows how Keras calls the layers of a network, pass after pass, up to a bound."""
    if len(layers) > MOST_LAYERS:
        refuse(f"{len(layers):,} layers, of at most {MOST_LAYERS:,}")
    made, nodes = {}, {}
    for layer in layers:
        if not isinstance(layer, dict) or not isinstance(layer.get("name"), str):
            # A `Sequential` calls its layers in their order.
            return
        name, calls = layer["name"], layer.get("inbound_nodes")
        # A network has a node of its own, and an input is one.
        if name in made:
            refuse(f"two layers of the name {name[:80]!r}")
        # A network has a node of its own, and an input is one.
        made[name] = int(layer.get("class_name") in ("InputLayer", "Functional", "Sequential"))
        if isinstance(calls, list) and calls:
            if any(isinstance(call, list) and call for call in calls):
                refuse(f"calls of {name[:80]!r} in a format that Keras no longer writes")
            nodes[name] = [_needs(call) for call in calls]
    tries, done = 0, True
    while nodes and done:
        done = False
        for name in list(nodes):
            waiting = nodes[name]
            while waiting:
                tries += 1
                if any(made.get(source, 0) <= index for source, index in waiting[0]):
                    break
                made[name] += 1
                waiting.pop(0)
                done = True
            if not waiting:
                del nodes[name]
        if tries > MOST_TRIES:
            refuse(f"layers in an order that takes more than {MOST_TRIES:,} tries to call them")


def _needs(call):
    """Pairs of a layer and the number of its call, which must precede a call."""
    found, waiting, seen = [], [call], 0
    while waiting:
        item = waiting.pop()
        seen += 1
        if isinstance(item, dict):
            config = item.get("config")
            history = config.get("keras_history") if isinstance(config, dict) else None
            if isinstance(history, list) and len(history) == 3 and isinstance(history[1], int):
                found.append((str(history[0]), history[1]))
            else:
                waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return found


def check_calls(value, refuse):
    """Counts the calls of layers that building a configuration makes, along the nesting."""
    made, called = _made(value)
    calls = made + called
    if calls > MOST_CALLS:
        shown = f"{calls:,}" if calls < 10**12 else "more than 10^12"
        refuse(f"{shown} calls of layers along the nesting, of at most {MOST_CALLS:,}")


def _made(value):
    """Calls of layers when a part is made, and when it is called afterwards."""
    if isinstance(value, list):
        pairs = [_made(item) for item in value]
        return sum(p[0] for p in pairs), sum(p[1] for p in pairs)
    if not isinstance(value, dict):
        return 0, 0
    config = value.get("config")
    if isinstance(config, dict) and isinstance(config.get("layers"), list):
        made = called = 0
        for layer in config["layers"]:
            first, each = _made(layer)
            nodes = layer.get("inbound_nodes") if isinstance(layer, dict) else None
            times = len(nodes) if isinstance(nodes, list) else 1
            made, called = made + first, called + times * each
        # A network is made by calling its layers once.
        return made + called, called
    pairs = [_made(item) for item in value.values()]
    made, called = sum(p[0] for p in pairs), sum(p[1] for p in pairs)
    if "class_name" in value and value.get("class_name") != "__keras_tensor__":
        called = 1 + called * (2 if value["class_name"] == "Bidirectional" else 1)
    return made, called
