"""Disentanglement scores: does each dimension of a code correspond to one factor?

Each score takes codes `(n, d)`, such as `model.encode(x)`, and the true factors of the
same examples, `(n, k)`. Values of factors are classes: only their equality matters, unless
a score says otherwise. A constant dimension does not lower a score. Use thousands of
examples, and compare scores only for the same number of examples, bins, splits and seeds.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from keras_vae import _checks
from keras_vae._types import Array, Floats

# From `(rng, factor, groups, size)` to codes `(groups, size, d)`.
Sampler: TypeAlias = Callable[[np.random.Generator, int, int, int], Array]


def mutual_information_matrix(codes: Array, factors: Array, bins: int = 20) -> Floats:
    """I(z_j; v_k) of each dimension and factor, from counts.

    Each dimension is divided into bins of equal width between its smallest and largest
    value, as in Locatello et al. ("Challenging Common Assumptions in the Unsupervised
    Learning of Disentangled Representations", 2019). The estimate is biased upwards by
    about (bins - 1)(values - 1) / 2n nats, which matters for few examples.

    Args:
        codes: `(n, d)`.
        factors: `(n, k)`.
        bins: number of bins per dimension.

    Returns:
        `(d, k)` float64, nats.

    Raises:
        ValueError: different numbers of rows, codes that are not finite, or a factor with
            a single value.
    """
    codes, factors = checked(codes, factors)
    _checks.count(bins, "bins")
    return np.array([[_mutual_information(z, v) for v in factors.T] for z in _binned(codes, bins)])


def _binned(codes, bins):
    """Bin of each value, `(d, n)`; a constant dimension has one bin."""
    low, high = codes.min(axis=0), codes.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return np.minimum((codes - low) / width * bins, bins - 1).astype("int64").T


def _mutual_information(a, b):
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1.0 / len(a))
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    seen = joint > 0
    return max(0.0, float((joint[seen] * np.log(joint[seen] / independent[seen])).sum()))


def mig(codes: Array, factors: Array, bins: int = 20) -> float:
    """Mutual information gap, Chen et al. 2018.

    The mean over factors of (I(z_a; v) - I(z_b; v)) / H(v), where a and b are the two
    dimensions with the largest information about v.

    Args and Raises: as `mutual_information_matrix`.

    Returns:
        float: 1 if each factor is in one dimension of its own; near 0 for noise.
    """
    information = mutual_information_matrix(codes, factors, bins)
    entropy = [_mutual_information(v, v) for v in checked(codes, factors)[1].T]
    return float((_gaps(information) / entropy).mean())


def _gaps(scores):
    """The largest minus the second largest of each column; 0 is second in a single row."""
    ordered = np.sort(np.concatenate([scores, np.zeros((1, scores.shape[1]))]), axis=0)
    return ordered[-1] - ordered[-2]


def modularity(codes: Array, factors: Array, bins: int = 20) -> float:
    """Modularity: does each dimension depend on one factor only? Ridgeway & Mozer 2018.

    The mean over dimensions of 1 - Σ_{k≠a} I(z_j; v_k)² / (I(z_j; v_a)² (K - 1)), where a
    is the factor with the largest information. Dimensions without significant information
    are left out: those whose G statistic, 2n I, is for no factor more than four standard
    deviations above its mean under independence.

    Args and Raises: as `mutual_information_matrix`; there must be two factors.

    Returns:
        float: 1 if each dimension depends on one factor, 0 if all depend on all factors
        equally or none depends on any.
    """
    information = mutual_information_matrix(codes, factors, bins)
    codes, factors = checked(codes, factors)
    if factors.shape[1] < 2:
        raise ValueError(
            "One factor cannot be mixed with another: give two or more. "
            f"Received: factors of shape {factors.shape}"
        )
    cells = np.array([len(np.unique(z)) - 1 for z in _binned(codes, bins)])
    freedom = cells[:, None] * factors.max(axis=0)
    informative = 2 * len(codes) * information > freedom + 4 * np.sqrt(2 * freedom)
    # A single bin has no information, up to rounding.
    informative &= freedom > 0
    squares = np.square(information[informative.any(axis=1)])
    if not len(squares):
        return 0.0
    most = squares.max(axis=1)
    others = squares.sum(axis=1) - most
    return float((1.0 - others / (most * (factors.shape[1] - 1))).mean())


def sap(codes: Array, factors: Array, categorical: Sequence[int] = (), seed: int = 0) -> float:
    """Separated attribute predictability, Kumar et al. 2018.

    Each factor is predicted from each dimension alone; the score is the mean over factors
    of the difference between the best dimension and the second best. An ordered factor's
    values must be numbers: a line predicts it, and the score is R², the squared
    correlation. A categorical factor is predicted as the class with the nearest mean; the
    score is the balanced accuracy on the other half of the examples, scaled so that
    guessing scores 0 and perfect prediction 1 (in the paper guessing scores 1 / classes).

    Args:
        codes: `(n, d)`.
        factors: `(n, k)`.
        categorical: indices of the factors without an order, such as a shape.
        seed: int, of the split.

    Returns:
        float from 0 to 1.

    Raises:
        ValueError: as `mutual_information_matrix`; an index that is not one of a factor.
    """
    codes, classes = checked(codes, factors)
    if not set(categorical) <= set(range(classes.shape[1])):
        raise ValueError(
            f"`categorical` must be indices from 0 to {classes.shape[1] - 1}. "
            f"Received: categorical={tuple(categorical)}"
        )
    order = np.random.default_rng(seed).permutation(len(codes))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    columns = []
    for k, labels in enumerate(classes.T):
        if k in categorical:
            columns.append([_by_nearest_mean(z, labels, *halves) for z in codes.T])
        else:
            values = np.asarray(factors)[:, k].astype("float64")
            columns.append([_squared_correlation(z, values) for z in codes.T])
    return float(_gaps(np.array(columns).T).mean())


def _squared_correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    variances = np.square(a).mean() * np.square(b).mean()
    return float((a * b).mean() ** 2 / variances) if variances > 0 else 0.0


def _by_nearest_mean(z, labels, learned, held_out):
    present_classes = np.unique(labels[learned])
    means = np.array([z[learned][labels[learned] == c].mean() for c in present_classes])
    guessed = present_classes[np.abs(z[held_out, None] - means).argmin(axis=1)]
    right = guessed == labels[held_out]
    present = np.unique(labels[held_out])
    if len(present) < 2:
        raise ValueError(
            "A factor has one value only in half of the examples: give more of them. "
            f"Received: {len(z)} examples"
        )
    accuracy = np.mean([right[labels[held_out] == c].mean() for c in present])
    return max(0.0, float((accuracy - 1 / len(present)) / (1 - 1 / len(present))))


def row_sampler(codes: Array, factors: Array) -> Sampler:
    """A sampler of groups of rows that share the value of one factor.

    For data that is encoded once: the value is that of a random example, and the rows are
    random ones with that value.

    Args:
        codes: `(n, d)`.
        factors: `(n, k)`.

    Returns:
        Function from `(rng, factor, groups, size)` to codes `(groups, size, d)`.
    """
    codes, factors = checked(codes, factors)
    orders = np.argsort(factors, axis=0, kind="stable").T
    counts = [np.bincount(v) for v in factors.T]

    def sample(rng, factor, groups, size):
        of_value = counts[factor]
        values = factors[rng.integers(len(codes), size=groups), factor]
        first = (np.cumsum(of_value) - of_value)[values]
        chosen = (rng.random((groups, size)) * of_value[values, None]).astype("int64")
        return codes[orders[factor][first[:, None] + chosen]]

    return sample


def grid_sampler(sizes: Sequence[int], encode: Callable[[Array], Array]) -> Sampler:
    """A sampler of groups of new examples with random factors, one of which is fixed.

    The method of the papers, for data that can be generated from factors.

    Args:
        sizes: number of values of each factor.
        encode: function from factors `(m, k)`, integers from 0, to codes `(m, d)`.

    Returns:
        Function from `(rng, factor, groups, size)` to codes `(groups, size, d)`.
    """

    def sample(rng, factor, groups, size):
        drawn = rng.integers(sizes, size=(groups, size, len(sizes)))
        drawn[:, :, factor] = drawn[:, :1, factor]
        codes = encode(drawn.reshape(-1, len(sizes)))
        return np.reshape(codes, (groups, size, -1))

    return sample


def factor_vae_score(
    codes: Array,
    factors: Array,
    sampler: Sampler | None = None,
    active: Array | None = None,
    groups: tuple[int, int] = (10_000, 5_000),
    size: int = 64,
    seed: int = 0,
) -> float:
    """FactorVAE's score, Kim & Mnih 2018.

    In a group of examples that share one factor, one dimension has the smallest variance
    relative to that over the data. The score is the accuracy of a majority vote that
    predicts the factor from this dimension. Guessing scores 1 / k.

    Args:
        codes: `(n, d)`; dimensions are divided by their standard deviations.
        factors: `(n, k)`.
        sampler: draws the groups; `row_sampler(codes, factors)` by default, which needs many
            examples of each value; see also `grid_sampler`.
        active: `(d,)` bool, dimensions to use, such as `metrics.active_units`; by default
            those that vary. A collapsed dimension would have the smallest variance by
            chance.
        groups: numbers of groups for the vote and for the score.
        size: examples per group, at least 2.
        seed: int.

    Returns:
        float from 0 to 1; 0 if no dimension is active.

    Raises:
        ValueError: as `mutual_information_matrix`; a size that is too small.
    """
    codes, factors = checked(codes, factors)
    _at_least_two(size)
    sampler = sampler or row_sampler(codes, factors)
    scale = codes.std(axis=0)
    used = scale > 0
    if active is not None:
        used &= np.asarray(active, bool)
    if not used.any():
        return 0.0
    rng, k = np.random.default_rng(seed), factors.shape[1]

    def counted(n):
        """How often a dimension varied least while a factor was fixed: `(d, k)`."""
        least = np.zeros((codes.shape[1], k), "int64")
        for factor, m in enumerate(rng.multinomial(n, np.full(k, 1 / k))):
            for part in _parts(m, size):
                variances = np.var(sampler(rng, factor, part, size), axis=1, dtype="float64")
                relative = np.full_like(variances, np.inf)
                relative[:, used] = variances[:, used] / np.square(scale[used])
                least[:, factor] += np.bincount(relative.argmin(axis=1), minlength=len(least))
        return least

    votes, scored = (counted(n) for n in groups)
    return float(scored[np.arange(len(votes)), votes.argmax(axis=1)].sum() / scored.sum())


def beta_vae_score(
    codes: Array,
    factors: Array,
    sampler: Sampler | None = None,
    groups: tuple[int, int] = (10_000, 5_000),
    size: int = 64,
    seed: int = 0,
) -> float:
    """β-VAE's score, Higgins et al. 2017.

    Pairs of examples share one factor. From the mean of |z - z'| over `size` such pairs,
    each dimension divided by its standard deviation over the data, a linear classifier
    (scikit-learn's logistic regression, C = 1) tells which; the score is its accuracy.
    Guessing scores 1 / k.

    Args:
        codes: `(n, d)`; dimensions are divided by their standard deviations.
        factors: `(n, k)`.
        sampler: as of `factor_vae_score`.
        groups: how many means the classifier learns from, and on how many it is scored.
        size: pairs of each mean.
        seed: int.

    Returns:
        float from 0 to 1.

    Raises:
        ImportError: scikit-learn is not there.
        ValueError: as `mutual_information_matrix`.
    """
    linear_model = scikit_learn("linear_model", "The β-VAE score")
    codes, factors = checked(codes, factors)
    _checks.count(size, "size")
    sampler = sampler or row_sampler(codes, factors)
    scale = np.where(codes.std(axis=0) > 0, codes.std(axis=0), 1.0)
    rng, k = np.random.default_rng(seed), factors.shape[1]

    def drawn(n):
        labels, means = np.repeat(np.arange(k), rng.multinomial(n, np.full(k, 1 / k))), []
        for factor in range(k):
            for part in _parts((labels == factor).sum(), 2 * size):
                pairs = sampler(rng, factor, part * size, 2)
                gaps = np.abs(pairs[:, 0] - pairs[:, 1]) / scale
                means.append(gaps.reshape(part, size, -1).mean(axis=1))
        return np.concatenate(means), labels

    x, y = drawn(groups[0])
    classifier = linear_model.LogisticRegression(max_iter=2000).fit(x, y)
    return float(classifier.score(*drawn(groups[1])))


def _parts(n, size, rows=65536):
    """Numbers of groups that sum to n, none of many more examples than `rows`."""
    step = max(1, rows // size)
    return [min(step, n - i) for i in range(0, n, step)]


def _at_least_two(size):
    if _checks.count(size, "size") < 2:
        raise ValueError(f"A group that varies needs two examples. Received: size={size}")


def checked(codes, factors):
    """Codes `(n, d)` as float64, and factors `(n, k)` as classes counted from 0."""
    codes, factors = np.asarray(codes), np.asarray(factors)
    fits = codes.ndim == 2 and factors.ndim == 2 and len(codes) == len(factors) > 0
    if not fits or not factors.shape[1] or not codes.shape[1]:
        raise ValueError(
            "`codes` must be (n, d) and `factors` (n, k), of the same n examples. "
            f"Received: shapes {codes.shape} and {factors.shape}"
        )
    codes = codes.astype("float64")
    if not np.isfinite(codes).all():
        raise ValueError("`codes` must be finite. Received: NaN or infinite values")
    classes = np.stack([np.unique(v, return_inverse=True)[1] for v in factors.T], axis=1)
    single = np.flatnonzero(classes.max(axis=0) == 0)
    if len(single):
        raise ValueError(
            "Every factor must have two values or more. "
            f"Received: factor {single[0]} with one value in {len(codes)} examples"
        )
    return codes, classes


def scikit_learn(module, what):
    """A module of scikit-learn, or an error that says how to get it."""
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise ImportError(
            f"{what} needs scikit-learn: pip install 'keras-vae[metrics]'. Received: {error}"
        ) from error
