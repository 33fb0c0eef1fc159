"""Which optimizers are Adam and nothing more, which a backend does in one pass of its own."""

import keras

# Keras makes about ten passes over all weights, each with memory of its own; what it can
# add to Adam is not in the one pass.
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
        _is_adam(type(optimizer))
        and optimizer.built
        and not any(getattr(optimizer, name) for name in _EXTRAS)
        and all(v.constraint is None and v.dtype == "float32" for v in variables)
    )


def _is_adam(kind):
    """Whether a class is Keras' Adam, of which PyTorch has one of its own, and not one's own."""
    name = (kind.__module__.split(".")[0], kind.__name__)
    return issubclass(kind, keras.optimizers.Adam) and name == ("keras", "Adam")


def slots(optimizer, variables):
    """Adam's moments of the variables: `(first, second)`, lists."""
    places = [optimizer._get_variable_index(v) for v in variables]
    return (
        [optimizer._momentums[i] for i in places],
        [optimizer._velocities[i] for i in places],
    )
