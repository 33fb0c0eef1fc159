"""ONNX: one file per signature, run by ONNX Runtime. Imported in the child process only."""

import collections

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from tf2onnx.handler import tf_op

OPSET = 18


@tf_op("Erfc")
class Erfc:
    """1 - erf(x), a part of `gelu` for which the converter has no rule."""

    @classmethod
    def version_9(cls, graph, node, **_):
        graph.remove_node(node.name)
        one = graph.make_const(tf2onnx.utils.make_name("one"), np.ones((), "float32"))
        erf = graph.make_node("Erf", node.input[:1])
        inputs = [one.output[0], erf.output[0]]
        graph.make_node("Sub", inputs, outputs=node.output, name=node.name)


def convert(path, functions):
    """Writes `<name>.onnx` for each signature into the folder `path`.

    Names in an ONNX graph are unique: an output with the name of an input gets the suffix
    "_out".

    Args:
        functions: dict of name to `tf.function` with an input signature.

    Returns:
        `(runners, operators)`: functions from arrays by name to arrays by name,
        and per signature a dict of operator to count.
    """
    path.mkdir()
    runners, operators = {}, {}
    for name, function in functions.items():
        file = path / f"{name}.onnx"
        taken = {spec.name for spec in function.input_signature}
        outputs = {
            output: f"{output}_out" if output in taken else output
            for output in function.get_concrete_function().structured_outputs
        }
        model, _ = tf2onnx.convert.from_function(
            _hidden(function), input_signature=function.input_signature, opset=OPSET
        )
        _name_outputs(model, outputs)
        onnx.save(model, str(file))
        runners[name] = _runner(file, outputs)
        counted = collections.Counter(node.op_type for node in model.graph.node)
        operators[name] = dict(sorted(counted.items()))
    return runners, operators


def _hidden(function):
    """The function with output names that no input has."""

    def call(*tensors):
        return {f"hidden_{key}": value for key, value in function(*tensors).items()}

    return tf.function(call, input_signature=function.input_signature)


def _name_outputs(model, names):
    # TensorFlow flattens dicts in the order of their keys.
    for output, key in zip(model.graph.output, sorted(names), strict=True):
        node = onnx.helper.make_node("Identity", [output.name], [names[key]])
        model.graph.node.append(node)
        output.name = names[key]


def _runner(file, names):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(**arrays):
        return dict(zip(names, session.run(list(names.values()), arrays), strict=True))

    return run
