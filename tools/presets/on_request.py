"""Measures that `evaluate` takes on request: `--metric`."""

import numpy as np

from keras_vae import datasets, metrics

from ..judges import frechet
from ..papers import reproduce

# Examples whose pairs are compared: time and memory grow with their square.
PAIRS = 5_000


def bits(case):
    """The bound in bits for each number of an example."""
    bound = metrics.log_likelihood(case.model, case.x, case.y, case.samples, case.seed)
    dimensions = int(np.prod(case.model.data_shape))
    value = metrics.bits_per_dimension(bound.mean, dimensions)
    error = -metrics.bits_per_dimension(bound.standard_error, dimensions)
    how = f"K = {case.samples}, "
    return [case.entry("bits per dimension", value, error, "bits", how, digits=4)]


def psnr(case):
    """The peak signal-to-noise ratio of reconstructions, a mean over examples."""
    ratios = metrics.psnr(case.x, case.model.reconstruct(case.x, case.y))
    error = ratios.std() / len(ratios) ** 0.5
    return [case.entry("PSNR", ratios.mean(), error, "dB")]


def information(case):
    """I(x; z) under the encoder."""
    x, y = case.x[:PAIRS], None if case.y is None else case.y[:PAIRS]
    found = metrics.mutual_information(case.model, x, y, seed=case.seed)
    how = f"of the first {len(x)}, at most {np.log(len(x)):.2f}; "
    return [case.entry("mutual information", found.mean, found.standard_error, how=how)]


def samples(case):
    """Samples, as many as there are examples; None of a model that has no prior."""
    if not case.model.can_sample:
        return None
    asked = None if case.model.condition is None or case.model.condition.optional else case.y
    return case.model.sample(len(case.x), condition=asked, seed=case.seed)


def kernel(case):
    """The kernel distance of samples."""
    drawn = samples(case)
    if drawn is None:
        return []
    features, what = frechet.features_of(case.recipe["data"])
    found = metrics.kernel_distance(drawn, case.x, features, seed=case.seed)
    how = (
        f"{found.subsets} subsets of {found.subset_size}, standard deviation over them "
        f"{found.deviation:.5f}, {what}"
    )
    return [case.entry("kernel distance of samples", found.mean, unit="", how=how, digits=5)]


def precision(case):
    """How many samples look like data, and how much of the data samples look like."""
    drawn = samples(case)
    if drawn is None:
        return []
    features, what = frechet.features_of(case.recipe["data"])
    n = min(PAIRS, len(case.x))
    shares = metrics.precision_recall(case.x[:n], drawn[:n], features)
    how = f"{n} of each, 3 neighbours, {what}"
    return [
        case.entry(f"{name} of samples", 100 * share, unit="%", how=how, digits=1)
        for name, share in zip(("precision", "recall"), shares, strict=True)
    ]


def disentanglement(case):
    """All scores of codes of data whose factors are known."""
    if not getattr(datasets.info(case.recipe["data"]), "factors", ()):
        return []
    found = reproduce.disentanglement(case.model, case.recipe, case.split, len(case.x), case.seed)
    return [
        case.entry(title, figure["value"], unit="", digits=figure["digits"])
        for title, figure in found.items()
    ]
