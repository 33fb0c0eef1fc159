"""Measures of presets whose latent space has a structure: clusters, few labels, factors."""

import numpy as np

from keras_vae import datasets, learned_priors, metrics, models


def measured(model, recipe, x, split, entry):
    """What `evaluate` finds of a structured latent space; nothing of other models.

    Args:
        model: a loaded preset.
        recipe: its recipe.
        x: examples of the split.
        split: name of the split, whose labels are read here and nowhere else.
        entry: makes an entry of the metadata; see `evaluate.evaluate`.

    Returns:
        List of entries.
    """
    found = []
    if isinstance(model.prior, learned_priors.LearnedMixture):
        found += _clusters(model, _labels(recipe, split, len(x)), x, entry)
    if isinstance(model, models.AuxiliaryVAE) and model.classifier is not None:
        wrong = model.classify(x).argmax(-1) != _labels(recipe, split, len(x))
        error = 100 * wrong.std() / len(x) ** 0.5
        count = recipe["training"]["labels"]["number"]
        title = f"error of the classifier, {count} labels"
        found.append(entry(title, 100 * wrong.mean(), error, "%", digits=2))
    if recipe["model"]["function"] in ("factor_vae", "beta_tc_vae"):
        q = model.posterior(x)
        total = metrics.normal_total_correlation(q.mean, q.variance)
        how = "of a normal with the covariance of the codes, "
        found.append(entry("total correlation", total, how=how, digits=3))
    return found


def _labels(recipe, split, n):
    _, y = datasets.load(recipe["data"], split, limit=n)
    return np.asarray(y, "int64")


def _clusters(model, labels, x, entry):
    clusters = metrics.cluster_probabilities(model, x).argmax(-1)
    used = len(np.unique(clusters))
    accuracy = 100 * metrics.clustering_accuracy(clusters, labels)
    how = f"{used} of {model.prior.components} components, each matched with one label, "
    return [entry("clustering accuracy", accuracy, unit="%", digits=1, how=how)]
