"""Operators of graphs, and the layers that they come from."""

import collections
import re

from keras_vae.training import keras_private

_RANDOM = re.compile(r"Random|Multinomial|TruncatedNormal")
# How the converter's messages name an operator that it has no builtin for.
_REFUSED = re.compile(r"'tf\.(\w+)' op|Flex(\w+)|^\s*tf\.(\w+) ?\(", re.MULTILINE)


def _nodes(concrete):
    """(name, type) of each operator, including those of inner functions."""
    graph = concrete.graph.as_graph_def()
    for node in graph.node:
        yield node.name, node.op
    for function in graph.library.function:
        for node in function.node_def:
            yield node.name, node.op


def count(concrete):
    """Operators of a TensorFlow graph: dict of type to count."""
    return dict(sorted(collections.Counter(kind for _, kind in _nodes(concrete)).items()))


def random_operators(concrete):
    """Dict of name to type of the operators that draw random numbers."""
    return {name: kind for name, kind in _nodes(concrete) if _RANDOM.search(kind)}


def layers_of(model, names):
    """The layers of operators with these names, in words.

    Keras opens a name scope per layer, with a numeric suffix from the second call on.
    """
    layers = {layer.name: layer for layer in keras_private.all_layers(model)}
    descriptions = {}
    for name in names:
        for scope in reversed(name.split("/")[:-1]):
            layer = layers.get(scope) or layers.get(re.sub(r"_\d+$", "", scope))
            if layer is not None:
                descriptions[layer.name] = f"the layer '{layer.name}' ({type(layer).__name__})"
                break
    text = " and ".join(descriptions.values()) or "the model"
    return text[0].upper() + text[1:]


def explain(error, model, functions):
    """A short error text for that of the converter: operators, their layers, advice."""
    text = str(error)
    refused = {part for match in _REFUSED.findall(text) for part in match if part}
    names = [
        name
        for function in functions.values()
        for name, kind in _nodes(function.get_concrete_function())
        if kind in refused
    ]
    if not refused:
        first = next((line for line in text.splitlines() if line.strip()), repr(error))
        return (
            "The TFLite converter failed. Try `quantize=None`, or `export.saved_model`. "
            f"Received: {type(error).__name__}: {first[:300]}"
        )
    return (
        f"{layers_of(model, names)} uses operators that TFLite has no builtin for. Use other "
        "layers (dense layers, 2-D convolutions, reshapes and the usual activations convert), "
        "or `export.saved_model`, which takes every operator of TensorFlow. "
        f"Received: operators {', '.join(sorted(refused))}"
    )


def tflite_operators(content):
    """Operators of all subgraphs of a TFLite file.

    The listing of the interpreter has the first subgraph only.

    Args:
        content: the file's bytes.

    Returns:
        Dict of signature, or subgraph, to a dict of operator name to count;
        operators that are not builtin have the name "CUSTOM:..."
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    builtin = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    codes = [
        f"CUSTOM:{code.customCode.decode()}"
        if code.customCode
        # The deprecated field ends at 127.
        else builtin[max(code.builtinCode, code.deprecatedBuiltinCode)]
        for code in model.operatorCodes
    ]
    # A file of one signature calls its only subgraph "main".
    names = {s.subgraphIndex: s.signatureKey.decode() for s in model.signatureDefs or ()}
    return {
        names.get(i, f"subgraph {i}"): dict(
            sorted(collections.Counter(codes[op.opcodeIndex] for op in graph.operators).items())
        )
        for i, graph in enumerate(model.subgraphs)
    }
