"""Functions of log Γ, as differences that float32 can hold.

log Γ of a count of 10,000 is 80,000, of which float32 keeps 1/128: log-masses that are sums of
such numbers lose their digits. Loader, "Fast and Accurate Computation of Binomial
Probabilities", 2000, splits each into Stirling's formula, which cancels on paper, and small rests.
"""

from keras import ops

from keras_vae._types import Tensor

# Coefficients of 1/a, 1/a³, ... in Stirling's series.
_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
# From a = 4 on the six terms are exact to 1e-10.
_SHIFT = 4


def stirling_error(a: Tensor) -> Tensor:
    """log Γ(a) - ((a - ½) log a - a + ½ log 2π), what Stirling's formula leaves out.

    Args:
        a: above 0.

    Returns:
        Tensor of the same shape, exact to 1e-10 in float64 and to 1e-6 in float32.
    """
    steps = sum((a + j + 0.5) * ops.log1p(1.0 / (a + j)) - 1.0 for j in range(_SHIFT))
    b = 1.0 / (a + _SHIFT)
    square, total = b * b, 0.0
    for coefficient in reversed(_SERIES):
        total = coefficient + square * total
    return steps + b * total


def deviance(x: Tensor, mean: Tensor, difference: Tensor) -> Tensor:
    """x log(x / mean) - (x - mean), exact where both are large and close to each other.

    Args:
        x, mean: above 0.
        difference: x - mean, which may be known more exactly than as a difference.
    """
    close = ops.abs(difference) < 0.1 * (x + mean)
    v = ops.where(close, difference / (x + mean), 0.0)
    square = v * v
    series = 1 / 3 + square * (1 / 5 + square * (1 / 7 + square * (1 / 9 + square / 11)))
    near = difference * v + 2.0 * x * v * square * series
    return ops.where(close, near, x * ops.log(x / mean) - difference)


def log_gamma_step(a: Tensor) -> Tensor:
    """log Γ(a + ½) - log Γ(a).

    Args:
        a: above 0.
    """
    stirling = a * ops.log1p(0.5 / a) + 0.5 * ops.log(a) - 0.5
    return stirling + stirling_error(a + 0.5) - stirling_error(a)
