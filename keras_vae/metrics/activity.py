"""How sparse codes are, and how much they move with the data."""

import numpy as np

from keras_vae import _checks
from keras_vae._types import Array, Condition, Floats, Model


def active_share(
    model: Model, x: Array, condition: Condition = None, threshold: float = 0.1
) -> Floats:
    """The share of the code's units that are active, for each example.

    A unit is active for an example where |z_j| is more than `threshold` times the
    largest |z| of that example's code, so that the scale of codes does not matter.

    Args:
        model: a `VAE`.
        x: data `(n, ...)`.
        condition: conditions of a conditional model.
        threshold: from 0 (every unit that is not 0 counts) to 1.

    Returns:
        `(n,)` float64, from 0 to 1.

    Raises:
        ValueError: a threshold out of range, or what `encode` refuses.
    """
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"`threshold` must be from 0 to 1. Received: threshold={threshold!r}")
    sizes = np.abs(model.encode(x, condition))
    return (sizes > threshold * sizes.max(axis=-1, keepdims=True)).mean(axis=-1)


def squared_jacobian(
    model: Model, x: Array, condition: Condition = None, batch_size: int = 32
) -> Floats:
    """‖∂code/∂x‖²_F of each example, exact: how much a code moves with the data.

    Scaling the code scales it too: divide by the codes' variance to compare models.

    Args:
        model: a `VAE`.
        x: data `(n, ...)`.
        condition: conditions of a conditional model, held fixed.
        batch_size: rows a compiled call; each is encoded once for each latent dimension.

    Returns:
        `(n,)` float64.

    Raises:
        ValueError: what `encode` refuses; codes that are integers.
    """
    if model.codes_are_integers:
        raise ValueError(
            "Codes that are integers have no derivative. "
            f"Received: a {type(model).__name__} of {model.num_codes} codes"
        )
    x = _checks.data(model, x)
    condition = _checks.condition(model, condition, len(x))
    return model._batched("contract", batch_size, x, condition).astype("float64")
