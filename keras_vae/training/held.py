"""A pass through layers that changes nothing: what moves in it is forgotten."""

import keras
from keras import ops


def held(variables, function=ops.convert_to_tensor):
    """A context in which variables have the values that a function makes of their own.

    What is assigned to them, seeds that are drawn, and losses that layers add are forgotten at
    its end. Name every variable that is read: on JAX another has the value before the step.
    """
    variables = {id(v): v for v in variables}.values()
    return keras.StatelessScope([(v, function(v.value)) for v in variables], collect_losses=True)
