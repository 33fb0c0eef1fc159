"""Clusters against labels: the matching, by brute force."""

import itertools

import numpy as np
import pytest

from keras_vae import metrics, models, priors
from keras_vae.metrics import clusters
from tests.support import SHAPE

pytestmark = pytest.mark.once


def test_the_assignment_is_the_best_of_all(rng):
    for n in (1, 2, 3, 5, 6):
        for _ in range(20):
            costs = rng.normal(size=(n, n)) * 10
            found = clusters.assignment(costs)
            assert sorted(found) == list(range(n))
            best = min(
                sum(costs[i, p[i]] for i in range(n)) for p in itertools.permutations(range(n))
            )
            assert costs[np.arange(n), found].sum() == pytest.approx(best)


def test_equal_costs_and_many_rows(rng):
    counts = rng.integers(0, 3, (40, 40))
    found = clusters.assignment(-counts)
    assert sorted(found) == list(range(40))


def test_accuracy_does_not_depend_on_the_names_of_clusters(rng):
    labels = rng.integers(0, 5, 200)
    renamed = np.array([3, 0, 4, 1, 2])[labels]
    assert metrics.clustering_accuracy(renamed, labels) == 1.0
    wrong = renamed.copy()
    wrong[:30] = (wrong[:30] + 1) % 5
    assert metrics.clustering_accuracy(wrong, labels) == pytest.approx(0.85)


def test_one_cluster_is_as_good_as_its_most_frequent_label():
    """A matching one to one: not every cluster may take the same label."""
    labels = np.array([0, 0, 0, 1, 1, 2])
    assert metrics.clustering_accuracy(np.zeros(6, int), labels) == 0.5
    assert metrics.clustering_accuracy(np.array([0, 0, 1, 2, 2, 3]), labels) == pytest.approx(5 / 6)


def test_bad_arguments(rng):
    for pair in (([0, 1], [0]), ([0.5], [0]), ([-1], [0]), ([], [])):
        with pytest.raises(ValueError, match="equally many integers.*Received"):
            metrics.clustering_accuracy(*pair)
    model = models.vae(SHAPE, 2, units=(4,))
    with pytest.raises(ValueError, match="mixture prior.*Received: prior=StandardNormal"):
        metrics.cluster_probabilities(model, rng.random((3, *SHAPE)).astype("float32"))


def test_a_conditional_model_has_clusters_too(images):
    prior = priors.LearnedMixture(2, 3, seed=0)
    model = models.cvae(SHAPE, 2, units=(8,), num_classes=2, prior=prior, seed=0)
    y = np.arange(64) % 2
    found = metrics.cluster_probabilities(model, images, y)
    assert found.shape == (64, 3)
    assert np.abs(found - metrics.cluster_probabilities(model, images, 1 - y)).max() > 1e-4
    with pytest.raises(ValueError, match="conditional"):
        metrics.cluster_probabilities(model, images)


def test_probabilities_are_those_of_the_kl(images):
    model = models.mixture_vae(SHAPE, 2, units=(8,), components=3, seed=0)
    q, (_, means, _) = model.posterior(images), model.prior.get_weights()
    squared = np.square(q.mean[:, None] - means)
    kl = 0.5 * (np.exp(q.log_var)[:, None] + squared - 1 - q.log_var[:, None]).sum(-1)
    expected = np.exp(-kl) / np.exp(-kl).sum(-1, keepdims=True)
    np.testing.assert_allclose(metrics.cluster_probabilities(model, images), expected, rtol=1e-4)


def test_total_correlation_of_a_normal(rng):
    rho = 0.8
    factor = np.linalg.cholesky([[1.0, rho], [rho, 1.0]])
    z = rng.normal(size=(200_000, 2)) @ factor.T * [1.0, 7.0] + [3.0, -1.0]
    expected = -0.5 * np.log(1 - rho**2)
    assert metrics.normal_total_correlation(z) == pytest.approx(expected, abs=0.01)
    # The posteriors' own noise makes codes less correlated.
    noisy = metrics.normal_total_correlation(z / [1.0, 7.0], np.ones_like(z))
    assert noisy == pytest.approx(-0.5 * np.log(1 - (rho / 2) ** 2), abs=0.01)
    apart = rng.normal(size=(200_000, 3))
    assert metrics.normal_total_correlation(apart) == pytest.approx(0.0, abs=1e-3)
    assert metrics.normal_total_correlation(apart[:, :1]) == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match=r"Received: shape \(2, 3\)"):
        metrics.normal_total_correlation(apart[:2])
    with pytest.raises(ValueError, match="Received: 1 of 3 that do not"):
        metrics.normal_total_correlation(apart * [1, 0, 1])
