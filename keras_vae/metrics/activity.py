"""How sparse codes are, and how much they move with the data."""

import numpy as np

from keras_vae import _checks
from keras_vae._types import Array, Condition, Floats, Model


def active_share(
    model: Model, x: Array, condition: Condition = None, threshold: float = 0.1
) -> Floats:
    """The share of active units of the code, per example.

    Unit j is active for an example if |z_j| is more than `threshold` times the largest |z|
    of its code, so that the scale of codes does not matter.

    Args:
        model: a `VAE`.
        x: data `(n, ...)`.
        condition: conditions of a conditional model.
        threshold: from 0 (all units that are not 0 are active) to 1.

    Returns:
        `(n,)` float64, from 0 to 1.

    Raises:
        ValueError: a threshold out of range, integer codes, or data that `encode` does not accept.
    """
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"`threshold` must be from 0 to 1. Received: threshold={threshold!r}")
    if model.codes_are_integers:
        raise ValueError(
            "Codes that are integers are all active: see `metrics.codebook_usage(model.encode(x), "
            f"model.num_codes)`. Received: a {type(model).__name__} of {model.num_codes} codes"
        )
    codes = model.encode(x, condition)
    sizes = np.abs(codes).reshape(len(codes), -1)
    return (sizes > threshold * sizes.max(axis=-1, keepdims=True)).mean(axis=-1)


def squared_jacobian(
    model: Model, x: Array, condition: Condition = None, batch_size: int = 32
) -> Floats:
    """‖∂code/∂x‖²_F of each example, exact: the sensitivity of the code to the data.

    It depends on the scale of the code: divide by the variance of the codes to compare
    models.

    Args:
        model: a `VAE`.
        x: data `(n, ...)`.
        condition: conditions of a conditional model, held fixed.
        batch_size: rows per compiled call; each is encoded once per number of its code.

    Returns:
        `(n,)` float64.

    Raises:
        ValueError: data that `encode` does not accept; integer codes.
    """
    if model.codes_are_integers:
        raise ValueError(
            "Codes that are integers have no derivative. "
            f"Received: a {type(model).__name__} of {model.num_codes} codes"
        )
    x = _checks.data(model, x)
    condition = _checks.condition(model, condition, len(x))
    return model._batched("contract", batch_size, x, condition).astype("float64")
