"""Clusters: the components of a mixture prior, and their agreement with labels."""

import numpy as np
from keras import ops

from keras_vae import distributions
from keras_vae._types import Array, Condition, Floats, Model


def cluster_probabilities(
    model: Model, x: Array, condition: Condition = None, batch_size: int = 256
) -> Floats:
    """Probabilities of the components of a mixture prior for each example.

    q(k|x) ∝ w_k exp(-KL(q(z|x) || component k)): among the distributions of k that do not
    depend on z, q(z|x) q(k|x) has the smallest KL to p(z, k). Deterministic.

    Args:
        model: a `VAE` whose prior is a mixture (`mixture_vae`, `vamp_vae`,
            `structured_vae`) and whose posterior is a diagonal normal.
        x: data `(n, ...)`.
        condition: conditions of a conditional model.
        batch_size: rows per compiled call.

    Returns:
        `(n, K)` float32, rows that sum to 1.

    Raises:
        ValueError: another prior or posterior, or data that `encode` does not accept.
    """
    if not model.prior.is_mixture or not model.posterior_layer.is_diagonal_normal:
        raise ValueError(
            "Clusters are the components of a mixture prior: use `models.mixture_vae` or "
            f"`models.structured_vae`. Received: prior={type(model.prior).__name__}, "
            f"posterior={type(model.posterior_layer).__name__}"
        )
    q, p = model.posterior(x, condition, batch_size), model.prior_of(condition, len(x))
    q = distributions.Normal(*(ops.convert_to_tensor(v) for v in (q.mean, q.log_var)))
    return ops.convert_to_numpy(p.responsibilities(q))


def clustering_accuracy(clusters: Array, labels: Array) -> float:
    """The share of examples whose cluster matches their label.

    Clusters and labels are matched one to one so that the share is largest (Yang et al.,
    "Image Clustering Using Local Discriminant Models and Global Integration", 2010). With
    more clusters than labels, the remaining clusters match no label.

    Args:
        clusters, labels: integers of at least 0, `(n,)` each.

    Returns:
        A number from 0 to 1.

    Raises:
        ValueError: other arrays than two of equally many such integers.
    """
    clusters, labels = np.asarray(clusters), np.asarray(labels)
    for values in (clusters, labels):
        bad = values.ndim != 1 or values.dtype.kind not in "iu" or not len(values)
        if bad or values.min() < 0 or len(clusters) != len(labels):
            raise ValueError(
                "`clusters` and `labels` must be equally many integers of at least 0. "
                f"Received: shapes {clusters.shape} and {labels.shape}, "
                f"dtypes {clusters.dtype} and {labels.dtype}"
            )
    size = int(max(clusters.max(), labels.max())) + 1
    counts = np.zeros((size, size), int)
    np.add.at(counts, (clusters, labels), 1)
    return float(counts[np.arange(size), assignment(-counts)].sum() / len(labels))


def assignment(costs):
    """The assignment of columns to rows with the smallest sum of costs.

    The Hungarian method with shortest augmenting paths, Jonker & Volgenant 1987.

    Args:
        costs: array `(n, n)`.

    Returns:
        Integers `(n,)`: the column of each row.
    """
    costs = np.asarray(costs, "float64")
    n = len(costs)
    # Column n is a placeholder for the row that is being assigned.
    row_of = np.full(n + 1, -1)
    of_row, of_column = np.zeros(n), np.zeros(n + 1)
    for row in range(n):
        row_of[n], column = row, n
        distance, before = np.full(n, np.inf), np.full(n, n)
        visited = np.zeros(n + 1, bool)
        while row_of[column] >= 0:
            visited[column] = True
            here = row_of[column]
            open_ = ~visited[:n]
            reduced = costs[here] - of_row[here] - of_column[:n]
            better = open_ & (reduced < distance)
            distance[better], before[better] = reduced[better], column
            following = int(np.argmin(np.where(open_, distance, np.inf)))
            step = distance[following]
            of_row[row_of[visited]] += step
            of_column[visited] -= step
            distance[open_] -= step
            column = following
        while column != n:
            row_of[column] = row_of[before[column]]
            column = before[column]
    columns = np.empty(n, int)
    columns[row_of[:n]] = np.arange(n)
    return columns


def normal_total_correlation(mean: Array, variance: Array | None = None) -> float:
    """Total correlation of a normal with the covariance of the codes, in nats.

    ½ (Σ_j log C_jj - log det C), C = Cov[mean] + E[diag(variance)] of q(z) = E_x q(z|x).
    0 for uncorrelated dimensions; it does not detect nonlinear dependence.

    Args:
        mean: posterior means `(n, d)`, more examples than dimensions.
        variance: posterior variances `(n, d)`; None for codes that are points.

    Returns:
        A number, at least 0.

    Raises:
        ValueError: too few codes, or a dimension that does not vary.
    """
    mean = np.asarray(mean, "float64")
    if mean.ndim != 2 or len(mean) <= mean.shape[1]:
        raise ValueError(
            "`mean` must be codes (n, d) of more examples than dimensions. "
            f"Received: shape {mean.shape}"
        )
    covariance = np.atleast_2d(np.cov(mean.T, bias=True))
    if variance is not None:
        covariance = covariance + np.diag(np.mean(np.asarray(variance, "float64"), axis=0))
    own = np.diag(covariance)
    if not (own > 0).all():
        raise ValueError(
            "Every dimension must vary. Received: "
            f"{int((own <= 0).sum())} of {len(own)} that do not"
        )
    scale = np.sqrt(own)
    sign, log_det = np.linalg.slogdet(covariance / np.outer(scale, scale))
    return float(max(-0.5 * log_det, 0.0)) if sign > 0 else float("inf")
