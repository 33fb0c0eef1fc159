"""Data of an export: what int8 is calibrated on, and what the file is compared on."""

import numpy as np

from keras_vae import _checks
from keras_vae.export import report as reports
from keras_vae.models import sources

# Kinds with integers between the layers.
CALIBRATED = ("int8", "int8x16")
_SAMPLES = 64
# Of all samples together, at most, unless one has more.
_NUMBERS = 2**22


def _pair(data):
    return data if isinstance(data, (tuple, list)) and len(data) == 2 else (data, None)


def _checked(model, data, name):
    x, condition = sources.arrays(model, *_pair(data), name=name)
    x = _checks.data(model, x, name)
    if model.codes_are_integers and condition is None:
        # Only its prior depends on the condition: any will do, where the prior is exported.
        if model.condition is None or not getattr(model.prior, "from_noise", False):
            return x, None
        condition = some_conditions(model.condition, len(x))
    return x, _checks.condition(model, condition, len(x), f"{name}[1]")


def calibration(model, wanted, quantize, representative):
    """Inputs of each signature for the calibration; none for kinds without one."""
    if quantize not in CALIBRATED:
        return {}
    if representative is None:
        raise ValueError(
            f'quantize="{quantize}" needs `representative`: a hundred or more real training '
            "examples, x or (x, condition), that the ranges of the activations are taken from. "
            "Received: representative=None"
        )
    x, condition = _checked(model, representative, "representative")
    return reports.inputs(model, wanted, x, condition, seed=1)


def compared(model, data, representative, source):
    """Data for the comparison, and its source in words."""
    if data is not None:
        return *_checked(model, data, "data"), source or "the caller's"
    if representative is not None:
        checked = _checked(model, representative, "representative")
        return *checked, "those that it was calibrated on"
    condition = None
    if model.condition is not None:
        condition = some_conditions(model.condition, _SAMPLES)
    if not model.can_sample and len(model.code_shape) > 1:
        raise ValueError(
            "The model has no prior to draw data from for the comparison: give `data=`, some real "
            f"pictures (n, {_checks.listed(model.data_shape)}). Received: data=None"
        )
    pixels = np.prod(model.data_shape)
    number = max(1, min(_SAMPLES, int(_NUMBERS // pixels)))
    if condition is not None:
        condition = condition[:number]
    # Means of counts are no counts.
    noise = model.likelihood.counts
    x = model.likelihood.encode(model.sample(number, condition=condition, seed=0, noise=noise))
    low, high = model.likelihood.data_range or (-np.inf, np.inf)
    condition = _checks.condition(model, condition, len(x))
    return np.clip(x, low, high), condition, "samples of the model itself"


def some_conditions(condition, n):
    """Plausible conditions for n examples: each label as often, or random attributes."""
    if type(condition).__name__ == "Labels":
        return np.arange(n) % condition.dim
    return np.random.default_rng(0).integers(0, 2, (n, condition.dim)).astype("float32")
