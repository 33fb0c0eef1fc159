"""Layers of a TFLite file: which operators belong to them, and the type of their weights."""

import dataclasses
import re

# Operators with weights, and the input that holds them.
_WEIGHTS = {
    "BATCH_MATMUL": 1,
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "EMBEDDING_LOOKUP": 1,
    "FULLY_CONNECTED": 1,
    "TRANSPOSE_CONV": 1,
}
# Operators of the search for the nearest code, which stay float32. Of 512 codes many differ by
# less than a step of int8, and a wrong code is a wrong patch of the picture.
SEARCHING = ("FULLY_CONNECTED", "BATCH_MATMUL", "SUB")


@dataclasses.dataclass(frozen=True)
class Operator:
    """One operator of a TFLite file.

    Attributes:
        kind: name of the builtin, such as "CONV_2D".
        outputs: names of its output tensors.
        layer: path of the Keras layer, such as "decoder/conv2d_4", or None outside of layers.
        weights: the type of its weights, such as "int8", or None without any.
        complete: whether each of its outputs is used.
        constant_first: whether its first input is a constant.
    """

    kind: str
    outputs: tuple
    layer: str | None
    weights: str | None
    complete: bool
    constant_first: bool


def operators(content, names):
    """All operators of all subgraphs of a TFLite file.

    Args:
        content: the file's bytes.
        names: of the layers of the Keras model.

    Returns:
        List of `Operator`.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    kinds = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    types = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    found = []
    for graph in model.subgraphs:
        made = {int(t): op for op in graph.operators for t in op.outputs}
        used = {int(t) for op in graph.operators for t in op.inputs} | {*map(int, graph.outputs)}

        def kind(op):
            code = model.operatorCodes[op.opcodeIndex]
            # The deprecated field ends at 127.
            return kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]

        def constant(tensor, graph=graph, made=made):
            """A constant tensor, also one that is dequantized first; None for any other."""
            op = made.get(tensor)
            if op is not None:
                return constant(int(op.inputs[0])) if kind(op) == "DEQUANTIZE" else None
            buffer = model.buffers[graph.tensors[tensor].buffer]
            # litert-quantizer puts large ones behind the flatbuffer.
            return None if buffer.data is None and not buffer.offset else graph.tensors[tensor]

        for op in graph.operators:
            place = _WEIGHTS.get(kind(op))
            weights = None if place is None else constant(int(op.inputs[place]))
            outputs = tuple(graph.tensors[t].name.decode() for t in op.outputs)
            # The output of the last operator has the name of the signature's output.
            candidates = [weights.name.decode()] if weights is not None else []
            paths = (path(name, names) for name in (*candidates, *outputs))
            found.append(
                Operator(
                    kind(op),
                    outputs,
                    next(filter(None, paths), None),
                    None if weights is None else types[weights.type],
                    all(int(t) in used for t in op.outputs),
                    len(op.inputs) > 0 and constant(int(op.inputs[0])) is not None,
                )
            )
    return found


def path(name, names):
    """The path of the layer that a tensor's name speaks of, or None.

    A fused operator has the names of all its parts; TensorFlow appends a number to a scope that
    is opened once more: "decoder_1/dense_2_1/MatMul;decoder_1/dense_2_1/BiasAdd" is
    "decoder/dense_2".
    """
    for part in name.split(";"):
        scopes = part.split("/")
        # If the outermost scope has such a number, all have.
        again = scopes[0] not in names
        layers = [layer for scope in scopes if (layer := _layer(scope, names, again))]
        if layers:
            return "/".join(layers)
    return None


def _layer(scope, names, again):
    short = re.sub(r"_\d+$", "", scope)
    for name in (short, scope) if again else (scope, short):
        if name in names:
            return name
    return None


def within(layer, paths):
    """Whether a layer is one of `paths`, or a part of one."""
    return layer is not None and any(layer == p or layer.startswith(f"{p}/") for p in paths)


def weights(found):
    """Dict of type, such as "int8", to the sorted paths of the layers with such weights."""
    types = {}
    for op in found:
        if op.weights is not None:
            types.setdefault(op.weights, set()).add(op.layer or op.outputs[0].split(";")[0])
    return {kind: sorted(layers, key=natural) for kind, layers in sorted(types.items())}


def natural(name):
    """Digits in the order of numbers: conv2d_2 before conv2d_10."""
    return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]
