"""litert-quantizer: kinds that the TFLite converter lacks. Imported in the child process only.

It takes the float file, so that everything before that is as in a float export.
"""

import re

from litert_quantizer import algorithm_manager, calibrator, qtyping, quantizer, recipe_manager
from litert_quantizer.utils import qsv_utils

from keras_vae.export import _layers

_EVERY = qtyping.TFLOperationName.ALL_SUPPORTED
_ENDS = (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT)
_NOTHING = algorithm_manager.AlgorithmName.NO_QUANTIZE
# Bits of activations, for kinds that calibrate them.
ACTIVATIONS = {"int8": 8, "int8x16": 16}


class UnknownLayer(ValueError):
    """`exclude` names a layer that the file does not have."""


def quantized(content, kind, names, exclude, searching, calibration):
    """A quantized TFLite file.

    Args:
        content: bytes of the float file.
        kind: "dynamic", "int8", "int4" or "int8x16".
        names: of the layers of the Keras model.
        exclude: paths of layers that stay float32.
        searching: name of the layer whose search for the nearest code stays float32, or None.
        calibration: iterable of `(signature, arrays by name)`.

    Returns:
        The file's bytes.

    Raises:
        UnknownLayer: see there.
    """
    found = _layers.operators(content, names)
    known = sorted({op.layer for op in found if op.layer}, key=_layers.natural)
    unknown = [p for p in exclude if not any(_layers.within(layer, [p]) for layer in known)]
    if unknown:
        with_weights = [n for layers in _layers.weights(found).values() for n in layers]
        raise UnknownLayer(
            "`exclude` must name layers of the file, or models that contain them. Layers with "
            f"weights: {', '.join(with_weights)}. Received: {', '.join(unknown)}"
        )
    kept = [
        op
        for op in found
        if _layers.within(op.layer, exclude)
        or (op.kind in _layers.SEARCHING and _layers.within(op.layer, [searching]))
        # Nothing calibrates an output that nobody reads.
        or not op.complete
        # Integers on the left have no kernel: a matrix times noise, as a fitted prior samples.
        or (op.kind == "BATCH_MATMUL" and op.constant_first)
    ]
    work = quantizer.Quantizer(content, _recipe(kind, kept))
    statistics = _statistics(content, calibration) if kind in ACTIVATIONS else None
    result = work.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _recipe(kind, kept):
    recipe = recipe_manager.RecipeManager()
    # Of two expressions that match, the later one applies, where its kind exists for an operator.
    if kind in ACTIVATIONS:
        recipe.add_static_config(".*", _EVERY, ACTIVATIONS[kind], 8)
        for end in _ENDS:
            recipe.add_quantization_config(".+", end, algorithm_key=_NOTHING)
    else:
        recipe.add_dynamic_config(".*", _EVERY, 8)
    if kind == "int4":
        recipe.add_dynamic_config(".+", _EVERY, 4)
    if kept:
        scopes = "|".join(re.escape("".join(f"{name};" for name in op.outputs)) for op in kept)
        recipe.add_quantization_config(f"^(?:{scopes})$", _EVERY, algorithm_key=_NOTHING)
    return recipe.get_quantization_recipe()


def _statistics(content, calibration):
    """The smallest and the largest value of each tensor.

    The default of litert-quantizer is a moving average of them, which cuts off what the last
    examples do not reach: codes of faces were wrong by a third, in 16 bits too.
    """
    mode = calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED
    work = calibrator.Calibrator(
        content, num_threads=1, mode=mode, qsv_update_func=qsv_utils.min_max_update
    )
    examples = {}
    for name, arrays in calibration:
        examples.setdefault(name, []).append(arrays)
    work.calibrate(examples, recipe_manager.RecipeManager())
    return work.get_model_qsvs()
