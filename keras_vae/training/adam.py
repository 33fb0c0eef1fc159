"""Which optimizers are plain Adam, which a backend computes in one pass of its own."""

import keras

# Keras makes about ten passes over all weights, and each allocates memory. The one pass has
# none of the options that Keras adds to Adam.
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
    """Whether it is Adam on float32 weights, with none of the options that Keras adds."""
    return (
        _is_adam(type(optimizer))
        and optimizer.built
        and not any(getattr(optimizer, name) for name in _EXTRAS)
        and all(v.constraint is None and v.dtype == "float32" for v in variables)
    )


def _is_adam(kind):
    """Whether a class is Keras' Adam (PyTorch's backend has a subclass), not a user's subclass."""
    name = (kind.__module__.split(".")[0], kind.__name__)
    return issubclass(kind, keras.optimizers.Adam) and name == ("keras", "Adam")
