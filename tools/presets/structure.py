"""Measures of presets whose latent space has a structure: clusters, few labels, factors."""

import numpy as np

from keras_vae import datasets, metrics, posteriors, priors
from keras_vae.metrics.disentanglement import scikit_learn

from . import recipes

TOTAL_CORRELATION = "total correlation"
# Training examples whose codes a mixture is fitted to.
FITTED = 10_000


def measured(model, recipe, x, split, entry):
    """What `evaluate` finds of a structured latent space; nothing of other models.

    Args:
        model: a loaded preset.
        recipe: its recipe; with `clusters` in its `evaluation` a mixture of so many
            normals is fitted to the codes of training examples, and the total
            correlation of codes is measured where it is its `headline`.
        x: examples of the split.
        split: name of the split, whose labels are read here and nowhere else.
        entry: makes an entry of the metadata; see `evaluate.evaluate`.

    Returns:
        List of entries.
    """
    settings, found = recipe["evaluation"], []
    if isinstance(model.prior, priors.LearnedMixture):
        clusters = metrics.cluster_probabilities(model, x).argmax(-1)
        number = model.prior.components
        found += _clusters(clusters, number, recipe, split, entry, "components of the prior")
    symbol = _symbol(model, x)
    if symbol is not None:
        chosen, number = symbol.argmax(-1), symbol.shape[-1]
        found += _clusters(chosen, number, recipe, split, entry, "values of the symbol")
    if settings.get("headline") == "clustering accuracy":
        found += _pixel_clusters(x, recipe, split, entry)
    if settings.get("clusters"):
        found += _fitted_clusters(model, settings["clusters"], x, recipe, split, entry)
    if model.classifies:
        found += _few_labels(model, recipe, x, split, entry)
    if settings.get("headline") == TOTAL_CORRELATION:
        q = model.posterior(x)
        total = metrics.normal_total_correlation(q.mean, q.variance)
        how = "of a normal with the covariance of the codes, "
        found.append(entry(TOTAL_CORRELATION, total, how=how, digits=3))
    return found


def _labels(recipe, split, n):
    _, y = datasets.load(recipe["data"], split, limit=n)
    return np.asarray(y, "int64")


def _clusters(clusters, number, recipe, split, entry, what):
    labels = _labels(recipe, split, len(clusters))
    accuracy = 100 * metrics.clustering_accuracy(clusters, labels)
    used = len(np.unique(clusters))
    how = f"{used} of {number} {what}, each matched with one label, "
    return [entry("clustering accuracy", accuracy, unit="%", digits=1, how=how)]


def _symbol(model, x):
    """Probabilities of the values of a model's one symbol; None where it has not one."""
    start = 0
    for part in getattr(model.posterior_layer, "parts", ()):
        if isinstance(part, posteriors.Categorical) and part.num_variables == 1:
            return model.encode(x)[:, start : start + part.latent_dim]
        start += part.latent_dim
    return None


def _fitted_clusters(model, number, x, recipe, split, entry):
    """What clusters there are in codes of a model that was not made to have any."""
    train, _ = datasets.load(recipe["data"], "train", limit=FITTED)
    mixture = priors.fit(model.encode(train), number, seed=0)
    clusters = priors.responsibilities(model.encode(x), mixture).argmax(-1)
    what = f"normals fitted to the codes of {len(train)} training examples"
    return _clusters(clusters, number, recipe, split, entry, what)


def _pixel_clusters(x, recipe, split, entry):
    """What clusters there are without any training: those of the pixels."""
    cluster = scikit_learn("cluster", "k-means of the pixels")
    train, y = datasets.load(recipe["data"], "train", limit=FITTED)
    number = len(np.unique(y))
    means = cluster.KMeans(number, n_init=10, random_state=0).fit(train.reshape(len(train), -1))
    clusters = means.predict(x.reshape(len(x), -1))
    what = f"means of the pixels of {len(train)} training examples"
    (metric,) = _clusters(clusters, number, recipe, split, entry, what)
    return [{**metric, "title": "clustering accuracy of pixels"}]


def _few_labels(model, recipe, x, split, entry):
    """The error of a classifier that was told few labels, and of the nearest of those."""
    labels = _labels(recipe, split, len(x))
    train, y = datasets.load(recipe["data"], "train")
    settings = recipe["training"]["labels"]
    _, told = recipes.few_labels(train, y, **settings)
    known = np.flatnonzero(told[: len(y)] >= 0)
    examples, pixels = (a.reshape(len(a), -1) for a in (train[known], x))
    # Squared distances, but for what is the same for all examples.
    distances = np.square(examples).sum(-1) - 2 * pixels @ examples.T
    found = []
    for who, read in (
        ("the classifier", model.classify(x).argmax(-1)),
        ("the nearest of those examples", y[known][distances.argmin(-1)]),
    ):
        wrong = 100.0 * (read != labels)
        title = f"error of {who}, {settings['number']} labels"
        found.append(entry(title, wrong.mean(), wrong.std() / len(x) ** 0.5, "%", digits=2))
    return found
