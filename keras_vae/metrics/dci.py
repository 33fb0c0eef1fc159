"""Disentanglement, completeness and informativeness; and all scores at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_vae._types import Array
from keras_vae.metrics import disentanglement as scores
from keras_vae.metrics.disentanglement import Sampler


class DCI(NamedTuple):
    """Result of `dci`.

    Attributes:
        disentanglement: 1 if each dimension predicts one factor only.
        completeness: 1 if each factor is predicted by one dimension only.
        informativeness: accuracy of the forests, mean over factors. Guessing the most
            frequent value scores above 0.
        importance: `(d, k)` importance of each dimension for each factor; a column sums to
            1, or to 0 without any importance.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: np.ndarray


def dci(
    codes: Array,
    factors: Array,
    trees: int = 20,
    examples: tuple[int, int] = (5_000, 5_000),
    seed: int = 0,
) -> DCI:
    """Disentanglement, completeness, informativeness: Eastwood & Williams 2018.

    For each factor k a random forest predicts its value from the code (scikit-learn's; each
    split is chosen among all dimensions; trees grow until leaves are pure); R_jk is the
    decrease of impurity by dimension j. D is 1 minus the entropy of row j's shares, with the
    logarithm to the base k, averaged with the rows' sums as weights; C is 1 minus that of
    column k's shares, to the base d, averaged. Locatello et al. use boosted trees instead,
    whose numbers differ a little.

    Args:
        codes: `(n, d)`.
        factors: `(n, k)`.
        trees: number of trees per forest.
        examples: largest numbers of examples for training and for scoring. With fewer rows
            than their sum, rows are divided in the same ratio.
        seed: int, of the split and of the forests.

    Returns:
        `DCI`.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: as `mutual_information_matrix`; fewer than ten examples.
    """
    ensemble = scores.scikit_learn("ensemble", "DCI")
    codes, factors = scores.checked(codes, factors)
    if len(codes) < 10:
        raise ValueError(f"A split needs ten examples or more. Received: {len(codes)}")
    learned, scored = _split(len(codes), examples, seed)
    importance, accuracy = [], []
    for values in factors.T:
        forest = ensemble.RandomForestClassifier(trees, max_features=None, random_state=seed)
        forest.fit(codes[learned], values[learned])
        importance.append(forest.feature_importances_)
        accuracy.append(forest.score(codes[scored], values[scored]))
    matrix = np.array(importance).T
    disentanglement, completeness = _entropies(matrix)
    return DCI(disentanglement, completeness, float(np.mean(accuracy)), matrix)


def _split(n, examples, seed):
    order = np.random.default_rng(seed).permutation(n)
    learn, score = examples
    if n < learn + score:
        learn = max(1, round(n * learn / (learn + score)))
    return order[:learn], order[learn : learn + score]


def _entropies(importance):
    """Disentanglement and completeness of a matrix `(d, k)`, which must not be negative."""
    total = importance.sum()
    if total <= 0:
        return 0.0, 0.0
    rows = 1.0 - _entropy(importance, axis=1)
    columns = 1.0 - _entropy(importance, axis=0)
    # A factor that nothing tells has no completeness.
    columns[importance.sum(axis=0) == 0] = 0.0
    return float(rows @ importance.sum(axis=1) / total), float(columns.mean())


def _entropy(values, axis):
    """Entropy of the shares along an axis, to the base of their number."""
    total = values.sum(axis=axis, keepdims=True)
    shares = values / np.where(total > 0, total, 1.0)
    nats = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=axis)
    return nats / np.log(values.shape[axis]) if values.shape[axis] > 1 else nats


def disentanglement_scores(
    codes: Array,
    factors: Array,
    categorical: Sequence[int] = (),
    active: Array | None = None,
    sampler: Sampler | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """All disentanglement scores of codes, each with its defaults.

    Args:
        codes: `(n, d)`.
        factors: `(n, k)`, of at least two factors.
        categorical: see `sap`.
        active: `(d,)` bool, dimensions to keep in all scores; all by default.
        sampler: see `factor_vae_score`; `active` applies to its codes too.
        seed: int.

    Returns:
        dict of floats: `mig`, `sap`, `modularity`, `disentanglement`, `completeness`,
        `informativeness`, `factor_vae` and `beta_vae`.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: see each score; no dimension is active.
    """
    scores.checked(codes, factors)
    codes = np.asarray(codes)
    if active is not None:
        active = np.asarray(active, bool)
        if active.shape != codes.shape[1:] or not active.any():
            raise ValueError(
                f"`active` must say of each of {codes.shape[1]} dimensions whether it counts, "
                f"and one must. Received: shape {active.shape}, {int(active.sum())} of them"
            )
        codes = codes[:, active]
    inner = sampler
    if sampler is not None and active is not None:

        def inner(*arguments):
            return sampler(*arguments)[:, :, active]

    parts = dci(codes, factors, seed=seed)
    return {
        "mig": scores.mig(codes, factors),
        "sap": scores.sap(codes, factors, categorical, seed),
        "modularity": scores.modularity(codes, factors),
        "disentanglement": parts.disentanglement,
        "completeness": parts.completeness,
        "informativeness": parts.informativeness,
        "factor_vae": scores.factor_vae_score(codes, factors, inner, seed=seed),
        "beta_vae": scores.beta_vae_score(codes, factors, inner, seed=seed),
    }
