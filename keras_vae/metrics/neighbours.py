"""Nearest neighbours: labels, precision and recall of samples; AUROC."""

import numpy as np

from keras_vae import _checks
from keras_vae._types import Array, Features
from keras_vae.metrics.pictures import both_features

_ROWS = 500


def nearest_labels(codes: Array, labels: Array, queries: Array, k: int = 5) -> Array:
    """The most frequent label among the k nearest codes, by Euclidean distance.

    Ties are resolved by the nearest code.

    Args:
        codes: `(n, d)` with known labels, such as those of the training split.
        labels: their labels `(n,)`, integers of at least 0.
        queries: codes `(m, d)`.
        k: neighbours.

    Returns:
        `(m,)` integers.

    Raises:
        ValueError: wrong shapes or labels; more neighbours than codes.
    """
    codes, queries, labels = np.asarray(codes), np.asarray(queries), np.asarray(labels)
    if codes.ndim != 2 or queries.ndim != 2 or codes.shape[1] != queries.shape[1]:
        raise ValueError(
            "Codes and queries must be (n, d) and (m, d). "
            f"Received: shapes {codes.shape} and {queries.shape}"
        )
    if labels.shape != (len(codes),) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(
            f"`labels` must be {len(codes)} integers of at least 0. "
            f"Received: shape {labels.shape}, dtype {labels.dtype}"
        )
    if _checks.count(k, "k") > len(codes):
        raise ValueError(f"There are {len(codes)} codes to be near. Received: k={k}")
    nearest = []
    for start in range(0, len(queries), _ROWS):
        distances = _squared_distances(queries[start : start + _ROWS], codes)
        near = np.argpartition(distances, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distances, near, axis=1), axis=1, kind="stable")
        voters = labels[np.take_along_axis(near, order, axis=1)]
        rows = np.arange(len(voters))[:, None]
        votes = np.zeros((len(voters), labels.max() + 1))
        np.add.at(votes, (rows, voters), 1.0)
        # Less than one vote, so that it only resolves ties.
        nearness = np.zeros_like(votes)
        np.maximum.at(nearness, (rows, voters), np.arange(k, 0, -1.0) / (k + 1))
        nearest.append((votes + nearness).argmax(axis=1))
    return np.concatenate(nearest)


def precision_recall(
    real: Array,
    generated: Array,
    features: Features = None,
    k: int = 3,
    batch_size: int = 250,
) -> tuple[float, float]:
    """Precision and recall of samples: the shares of samples near data, of data near samples.

    Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative
    Models", 2019. A point is near a set if its distance to some member is at most the
    distance of this member to its k-th nearest member. Precision is the share of samples
    near the data, recall the share of data near the samples. Compare them only for the
    same features, k and numbers of examples.

    Args:
        real, generated: data `(n, ...)` and `(m, ...)`, or features `(n, f)`, `(m, f)`.
        features: as in `frechet_distance`.
        k: neighbours.
        batch_size: examples per call of `features`.

    Returns:
        `(precision, recall)`, floats from 0 to 1.

    Raises:
        ValueError: at most k examples; different numbers of features, features of another
            shape, or not finite.
    """
    real, generated = both_features(real, generated, features, batch_size)
    if min(len(real), len(generated)) <= _checks.count(k, "k"):
        raise ValueError(
            f"Each set needs more than k = {k} examples. Received: {len(real)} and {len(generated)}"
        )
    return _share_near(real, generated, k), _share_near(generated, real, k)


def _share_near(members, points, k):
    """The share of points that are near `members`, see `precision_recall`."""
    near = np.zeros(len(points), bool)
    for start in range(0, len(members), _ROWS):
        part = members[start : start + _ROWS]
        fellows = _squared_distances(part, members)
        fellows[np.arange(len(part)), start + np.arange(len(part))] = np.inf
        radii = np.partition(fellows, k - 1, axis=1)[:, k - 1 : k]
        near |= (_squared_distances(part, points) <= radii).any(axis=0)
    return float(near.mean())


def _squared_distances(a, b):
    """`(n, m)`, in the precision of a and b."""
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.maximum(squares - 2 * (a @ b.T), 0)


def auroc(scores: Array, positive: Array) -> float:
    """Area under the receiver operating characteristic.

    The probability that a positive example has a larger score than a negative one, where
    equal scores count half: 0.5 for uninformative scores.

    Args:
        scores: `(n,)`.
        positive: `(n,)` bool.

    Returns:
        float from 0 to 1.

    Raises:
        ValueError: different shapes, NaN, or only positive or only negative examples.
    """
    scores, positive = np.asarray(scores, "float64"), np.asarray(positive, bool)
    if scores.ndim != 1 or scores.shape != positive.shape or np.isnan(scores).any():
        raise ValueError(
            "`scores` and `positive` must be (n,) each, without NaN. "
            f"Received: shapes {scores.shape} and {positive.shape}"
        )
    n = int(positive.sum())
    if not 0 < n < len(scores):
        raise ValueError(
            f"There must be positive and negative examples. Received: {n} of {len(scores)}"
        )
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # Equal scores share the mean of their ranks.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))
