"""The variables that a training step may change, and their values."""

import keras
import numpy as np


def variables(model):
    """All variables that a training step may change."""
    # Models with a second optimizer list its slots under `non_trainable_variables`.
    several = (*model.variables, *model.non_trainable_variables, *model.optimizer.variables)
    return list({id(v): v for v in several}.values())


def seeds(model):
    """States of layers' random generators, as of `Dropout`, which weights files leave out."""
    others = {id(v) for v in (*model.weights, *model.metrics_variables)}
    return [v for v in model.variables if "int" in v.dtype and id(v) not in others]


def values(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def finite(value):
    value = np.asarray(keras.ops.convert_to_numpy(value))
    if value.dtype.kind in "biu":
        return True
    return bool(np.isfinite(value.astype("float32", copy=False)).all())


def build_optimizer(model):
    """Creates the variables of a model's optimizer, where the model's own are."""
    if not model.optimizer.built:
        with model.variable_scope():
            model.optimizer.build(model.trainable_variables)
