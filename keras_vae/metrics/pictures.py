"""Metrics of pairs of pictures (PSNR) and of sets (Fréchet and kernel distance)."""

import warnings
from typing import NamedTuple

import numpy as np

from keras_vae import similarity
from keras_vae._types import Array, Features, Floats


def psnr(x: Array, y: Array, max_value: float = 1.0) -> Floats:
    """Peak signal-to-noise ratio, 10 log10(max² / mean squared error).

    Args:
        x, y: pictures `(n, height, width, channels)` in [0, max_value].
        max_value: the largest value that a pixel can have.

    Returns:
        `(n,)` float64, dB; infinite for equal pictures.

    Raises:
        ValueError: different shapes, not pictures, or not finite.
    """
    x, y = similarity.pairs(x, y)
    error = np.square(x - y).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * np.log10(max_value**2 / error)


def frechet_distance(x: Array, y: Array, features: Features = None, batch_size: int = 250) -> float:
    """Fréchet distance between normals fitted to the features of two sets.

    ‖μ_x - μ_y‖² + tr(C_x + C_y - 2 (C_x C_y)^{1/2}), Heusel et al. 2017 (FID, when the
    features are InceptionV3's). Compare it only for the same features and numbers of
    examples: few examples bias it upwards.

    Args:
        x, y: data `(n, ...)` and `(m, ...)`, or features `(n, f)` and `(m, f)`.
        features: a Keras model or a function from a batch to features `(batch, f)`;
            None if x and y are features already.
        batch_size: examples per call.

    Returns:
        float, at least 0.

    Raises:
        ValueError: not more examples than features (a singular covariance); features of
            another shape, or not finite.
    """
    (mean_x, cov_x), (mean_y, cov_y) = (
        _moments(data, features, batch_size, name) for data, name in ((x, "x"), (y, "y"))
    )
    if mean_x.shape != mean_y.shape:
        raise ValueError(
            "Both sets must have the same features. "
            f"Received: {len(mean_x)} and {len(mean_y)} features"
        )
    # (C_x C_y)^½ has the trace of the symmetric (R C_y R)^½ with R = C_x^½, whose
    # eigenvalues are real and at least 0 up to rounding.
    root = _root(cov_x)
    values = np.linalg.eigvalsh(root @ cov_y @ root)
    cross = np.sqrt(np.maximum(values, 0.0)).sum()
    squared = np.square(mean_x - mean_y).sum()
    return float(max(0.0, squared + np.trace(cov_x) + np.trace(cov_y) - 2 * cross))


def _root(covariance):
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


class KernelDistance(NamedTuple):
    """Result of `kernel_distance`.

    Attributes:
        mean: mean over subsets.
        deviation: standard deviation over subsets.
        subsets: number of subsets.
        subset_size: examples per subset.
    """

    mean: float
    deviation: float
    subsets: int
    subset_size: int


def kernel_distance(
    x: Array,
    y: Array,
    features: Features = None,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
    batch_size: int = 250,
) -> KernelDistance:
    """Unbiased squared maximum mean discrepancy of the features of two sets.

    Bińkowski et al., "Demystifying MMD GANs", 2018 (KID, when the features are
    InceptionV3's): the kernel is (aᵀb / f + 1)³ for f features, the estimate is the mean
    over random subsets, drawn without replacement. Unlike the Fréchet distance it has no
    bias for few examples, and it may be slightly negative.

    Args:
        x, y: data `(n, ...)` and `(m, ...)`, or features `(n, f)` and `(m, f)`.
        features: as in `frechet_distance`.
        subsets: number of subsets.
        subset_size: examples per subset, at most the size of the smaller set.
        seed: int, of the subsets.
        batch_size: examples per call.

    Returns:
        `KernelDistance`.

    Raises:
        ValueError: fewer than two examples or no subset; different numbers of features,
            features of another shape, or not finite.
    """
    x, y = both_features(x, y, features, batch_size)
    size = min(subset_size, len(x), len(y))
    if size < 2 or subsets < 1:
        raise ValueError(
            "A subset needs two examples of each set, and there must be one. "
            f"Received: {len(x)} and {len(y)} examples, subset_size={subset_size}, "
            f"subsets={subsets}"
        )
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        a, b = (z[rng.choice(len(z), size, replace=False)] for z in (x, y))
        within = [
            (k.sum() - np.trace(k)) / (size * (size - 1)) for k in (_cubic(a, a), _cubic(b, b))
        ]
        values.append(sum(within) - 2 * _cubic(a, b).mean())
    return KernelDistance(float(np.mean(values)), float(np.std(values)), subsets, size)


def _cubic(a, b):
    return (a @ b.T / a.shape[1] + 1.0) ** 3


def _moments(data, features, batch_size, name):
    """Mean `(f,)` and covariance `(f, f)` of the features of data, streamed."""
    count, shift, total, outer = 0, None, 0.0, 0.0
    for batch in _feature_batches(data, features, batch_size, name):
        # Relative to a value near the mean, for an accurate variance.
        shift = batch.mean(axis=0) if shift is None else shift
        batch = batch - shift
        count += len(batch)
        total = total + batch.sum(axis=0)
        outer = outer + batch.T @ batch
    size = 0 if shift is None else len(shift)
    if count <= size or count < 2:
        raise ValueError(
            f"A covariance of {size} features needs more than {size} examples. "
            f"Received: {count} in `{name}`"
        )
    if count < 10 * size:
        warnings.warn(
            f"{count} examples for {size} features: the Fréchet distance is biased upwards. "
            "Compare it only with those of equally many.",
            stacklevel=3,
        )
    mean = total / count
    covariance = (outer - count * np.outer(mean, mean)) / (count - 1)
    return mean + shift, covariance


def both_features(x, y, features, batch_size):
    """Features `(n, f)` and `(m, f)` of two sets, or a ValueError."""
    values = []
    for data, name in ((x, "x"), (y, "y")):
        batches = list(_feature_batches(data, features, batch_size, name))
        if not batches:
            raise ValueError(f"`{name}` must hold at least one example. Received: none")
        values.append(np.concatenate(batches))
    x, y = values
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            "Both sets must have the same features. "
            f"Received: {x.shape[1]} and {y.shape[1]} features"
        )
    return x, y


def _feature_batches(data, features, batch_size, name):
    """Checked features of data, float64, a batch at a time."""
    data = np.asarray(data)
    if data.ndim < 2:
        raise ValueError(f"`{name}` must have a batch axis. Received: shape {data.shape}")
    for start in range(0, len(data), batch_size):
        batch = _features_of(data[start : start + batch_size], features)
        if batch.ndim != 2 or not np.isfinite(batch).all():
            raise ValueError(
                "Features must be finite numbers of shape (n, f): one vector for each "
                f"example. Received: shape {batch.shape} for `{name}`"
            )
        yield batch


def _features_of(batch, features):
    if features is None:
        return np.asarray(batch, "float64")
    if hasattr(features, "predict_on_batch"):
        return np.asarray(features.predict_on_batch(batch), "float64")
    return np.asarray(features(batch), "float64")
