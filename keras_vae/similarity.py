"""MS-SSIM of arrays and of tensors."""

import numpy as np
from keras import ops

from keras_vae._types import Array, Floats

# Weights of five scales, from the finest: Wang, Simoncelli & Bovik 2003.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5


def scales_of(height, width):
    """Number of scales, of five, on which an 11 × 11 window fits into the pictures."""
    side = min(height, width)
    return next((k for k in range(len(WEIGHTS), 0, -1) if side // 2 ** (k - 1) >= WINDOW), 0)


def ms_ssim(x: Array, y: Array, max_value: float = 1.0, scales: int | None = None) -> Floats:
    """Multi-scale structural similarity, Wang, Simoncelli & Bovik 2003.

    Π_j cs_j^{w_j} over the finer scales, times (mean of l · cs)^{w_M} at the coarsest,
    where l compares luminance and cs contrast and structure in an 11 × 11 Gaussian
    window (σ 1.5), and each scale averages 2 × 2 pixels of the one before. The
    mean of cs over a picture counts as 0 where it is negative. Channels are compared
    apart and averaged.

    Small pictures have fewer scales than the paper's five: those that the window fits
    in (28 × 28: two; 64 × 64: three), their weights divided by the sum.

    Args:
        x, y: pictures `(n, height, width, channels)` in [0, max_value].
        max_value: the largest value that a pixel can have.
        scales: 1 to 5; as many as fit by default.

    Returns:
        `(n,)` float64, 1 for equal pictures.

    Raises:
        ValueError: different shapes, not pictures, not finite, or too small for the scales.
    """
    x, y = pairs(x, y)
    weights = scale_weights(x.shape[1], x.shape[2], scales)
    # In chunks, because ten maps of the size of the pictures are in memory.
    return np.concatenate(
        [
            _ms_ssim(x[i : i + 256], y[i : i + 256], max_value, weights)
            for i in range(0, len(x), 256)
        ]
    )


def scale_weights(height, width, scales=None):
    """Weights of the scales of `ms_ssim`, which sum to 1; raises `ValueError`."""
    fit = scales_of(height, width)
    scales = fit if scales is None else scales
    if not 1 <= scales <= fit:
        raise ValueError(
            f"Pictures of {height} × {width} pixels have {fit} scales on which an "
            f"{WINDOW} × {WINDOW} window fits; ask for 1 to {fit}. Received: scales={scales}"
        )
    return np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])


def ms_ssim_tensors(x, y, max_value=1.0, scales=None, floor=1e-4):
    """`ms_ssim` for losses: tensors in and out, float32, differentiable.

    Args: as `ms_ssim`, and
        floor: what the mean of a scale counts as at least, above 0, where the slope of
            its power is finite.

    Returns:
        Tensor `(n,)`.
    """
    weights = [float(w) for w in scale_weights(*x.shape[1:3], scales)]
    return _ms_ssim(x, y, max_value, weights, ops, floor)


def _ms_ssim(x, y, max_value, weights, xp=np, floor=0.0):
    """`ms_ssim` of NumPy arrays, or of tensors where `xp` is `keras.ops`.

    In a loss the floor of each scale must be above 0, where the power's slope is
    infinite.
    """
    c1, c2 = (0.01 * max_value) ** 2, (0.03 * max_value) ** 2
    result = 1.0
    for i, weight in enumerate(weights):
        if i:
            x, y = _halved(x, xp), _halved(y, xp)
        mean_x, mean_y = _blurred(x), _blurred(y)
        var_x = _blurred(x * x) - mean_x**2
        var_y = _blurred(y * y) - mean_y**2
        covariance = _blurred(x * y) - mean_x * mean_y
        values = (2 * covariance + c2) / (var_x + var_y + c2)
        if i == len(weights) - 1:
            values = values * (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        result = result * xp.maximum(xp.mean(values, axis=(1, 2)), floor) ** weight
    return xp.mean(result, axis=-1)


def _halved(x, xp):
    _, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2]
    return xp.mean(xp.reshape(x, (-1, h // 2, 2, w // 2, 2, c)), axis=(2, 4))


def _blurred(x):
    """Gaussian averages where the window fits."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    kernel = np.exp(-(offsets**2) / (2 * SIGMA**2))
    kernel /= kernel.sum()
    for axis in (1, 2):
        size = x.shape[axis] - WINDOW + 1
        cut = (slice(None),) * axis
        x = sum(float(k) * x[(*cut, slice(i, i + size))] for i, k in enumerate(kernel))
    return x


def pairs(x, y):
    x, y = np.asarray(x, "float64"), np.asarray(y, "float64")
    if x.shape != y.shape or x.ndim != 4 or x.size == 0:
        raise ValueError(
            "Pictures must come in pairs, both (n, height, width, channels). "
            f"Received: shapes {x.shape} and {y.shape}"
        )
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise ValueError("Pictures must be finite. Received: NaN or infinite values")
    return x, y
