"""Outliers in tables: `anomaly.Detector` beside detectors of scikit-learn and PyOD.

Small data that scikit-learn ships, so that nothing is downloaded.
"""

import keras
import numpy as np

from keras_vae import anomaly, likelihoods, metrics, models

RUNS = 10
# Outliers per row that is none.
SHARE = 0.1


def outliers(split, limit, seed, folder, epochs=100):
    """The area under the ROC curve of detectors that were fitted to data without labels.

    Breast cancer: 30 measures of cells; malignant ones are the outliers, a tenth as many as
    benign ones, and training has its share of them. Digits: 8 × 8 pixels; one digit is the
    outlier, each in turn, and training has none of it. Of ten runs, each with other rows: 60 %
    to train on, 20 % to choose by (`--split validation`), 20 % to test. Columns are standardised
    by what is trained on.
    """
    found = []
    for title, runs, pure in (
        ("breast cancer", _breast_cancer, False),
        ("a digit that training never saw", _digits, True),
    ):
        areas = {}
        for run, (x, outlier) in enumerate(runs(seed, limit)):
            train, held_out = divided(len(x), split, seed + run)
            train = train[~outlier[train]] if pure else train
            loc, scale = x[train].mean(axis=0), x[train].std(axis=0)
            x = ((x - loc) / np.where(scale > 0.0, scale, 1.0)).astype("float32")
            for name, detector in detectors(x.shape[1:], epochs, seed + run).items():
                keras.utils.set_random_seed(seed + run)
                scores = detector(x[train], x[held_out])
                area = metrics.auroc(scores, outlier[held_out])
                areas.setdefault(name, []).append(area)
            last = ", ".join(f"{name} {values[-1]:.3f}" for name, values in areas.items())
            print(f"{title}, run {run + 1} of {RUNS}: {last}", flush=True)
        many = (
            f"{run + 1} runs, {len(train)} rows trained on and {len(held_out)} scored in the last"
        )
        for name, values in areas.items():
            error = np.std(values, ddof=1) / len(values) ** 0.5
            options = {"digits": 3, "error": error, "how": f"{many}, "}
            found.append((f"AUROC of {name}, {title}", np.mean(values), options))
    return found


def detectors(shape, epochs, seed):
    """Functions from training data and other data to scores of the latter, by name."""
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor

    def ours(score):
        def scores(x, held_out):
            model = build(shape, seed)
            detector = anomaly.Detector(model, score, epochs=epochs, batch_size=32)
            return detector.fit(x).decision_function(held_out)

        return scores

    def isolation(x, held_out):
        return -IsolationForest(random_state=seed).fit(x).score_samples(held_out)

    def local(x, held_out):
        return -LocalOutlierFactor(novelty=True).fit(x).score_samples(held_out)

    known = {f"Detector, {score.replace('_', ' ')}": ours(score) for score in anomaly.SCORES}
    known |= {"IsolationForest": isolation, "LocalOutlierFactor": local}
    try:
        from pyod.models.ecod import ECOD
        from pyod.models.knn import KNN
        from pyod.models.vae import VAE
    except ImportError:
        return known

    def theirs(detector, **options):
        # Its defaults, but for the seed.
        return lambda x, held_out: detector(**options).fit(x).decision_function(held_out)

    known |= {"PyOD's ECOD": theirs(ECOD), "PyOD's KNN": theirs(KNN)}
    # 30 epochs, layers of 128, 64 and 32, 2 dimensions.
    return {**known, "PyOD's VAE": theirs(VAE, random_state=seed, verbose=0)}


def build(shape, seed):
    """A small VAE of standardised columns, the same for all data."""
    return models.vae(
        shape, 8, units=(64, 32), likelihood=likelihoods.Normal(data_range=None), seed=seed
    )


def _breast_cancer(seed, limit):
    from sklearn.datasets import load_breast_cancer

    x, benign = load_breast_cancer(return_X_y=True)
    for run in range(RUNS):
        yield _impure(x, benign == 0, seed + run, limit)


def _digits(seed, limit):
    from sklearn.datasets import load_digits

    x, digit = load_digits(return_X_y=True)
    for run in range(RUNS):
        yield _impure(x, digit == run, seed + run, limit)


def _impure(x, outlier, seed, limit):
    """All rows that are no outliers, and a tenth as many that are, in random order."""
    rng = np.random.default_rng(seed)
    normal, strange = (rng.permutation(np.flatnonzero(o)) for o in (~outlier, outlier))
    normal = normal[:limit]
    chosen = rng.permutation(np.r_[normal, strange[: round(SHARE * len(normal))]])
    return x[chosen], outlier[chosen]


def divided(n, split, seed):
    """Rows to train on, and rows of the split."""
    rows = np.random.default_rng(seed).permutation(n)
    parts = {"validation": rows[int(0.6 * n) : int(0.8 * n)], "test": rows[int(0.8 * n) :]}
    return rows[: int(0.6 * n)], parts[split]
