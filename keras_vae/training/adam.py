"""Which optimizers are Adam and nothing more, which a backend does in one pass of its own."""

import keras

# Keras makes about ten passes over all weights, each with memory of its own.
_ADAM = type(keras.optimizers.Adam())
_EXTRAS = (
    "amsgrad",
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "gradient_accumulation_steps",
    "loss_scale_factor",
)


def is_plain(optimizer, variables):
    """Whether it is Adam on float32 weights, with none of what Keras can add to it."""
    return (
        type(optimizer) is _ADAM
        and optimizer.built
        and not any(getattr(optimizer, name) for name in _EXTRAS)
        and all(v.constraint is None and v.dtype == "float32" for v in variables)
    )


def slots(optimizer, variables):
    """Adam's moments of the variables: `(first, second)`, lists."""
    places = [optimizer._get_variable_index(v) for v in variables]
    return (
        [optimizer._momentums[i] for i in places],
        [optimizer._velocities[i] for i in places],
    )
