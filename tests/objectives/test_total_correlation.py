"""Total correlation and DIP against NumPy."""

import numpy as np
import pytest

from keras_vae import models as m
from keras_vae import objectives
from tests.support import array, reference
from tests.support.objectives import evidence, losses, scored

pytestmark = pytest.mark.turns


def mixture_terms(z, mean, log_var, weights):
    """MI, TC and dimension-wise KL of Chen et al., loop by loop."""
    n, d = mean.shape
    rows = []
    for i in range(n):
        each = reference.normal_log_prob(z[i], mean, log_var)
        log_qz = np.log((weights[i] * np.exp(each.sum(1))).sum())
        log_marginals = np.log((weights[i][:, None] * np.exp(each)).sum(0)).sum()
        log_qzx = each[i].sum()
        log_pz = reference.normal_log_prob(z[i], 0.0, 0.0).sum()
        rows.append((log_qzx - log_qz, log_qz - log_marginals, log_marginals - log_pz))
    return np.array(rows).T


def stratified(n, dataset_size):
    """The weights of Chen et al., appendix C.2, entry by entry."""
    size, rest = dataset_size, n - 1
    weights = np.full((n, n), 1 / max(rest, 1))
    for i in range(n):
        weights[i, (i + 1) % n] = (size - rest) / (size * rest)
        weights[i, i] = 1 / size
    return weights


class TestTotalCorrelation:
    @pytest.mark.parametrize("n, size", [(2, 2), (2, 100), (5, 5), (8, 60_000)])
    def test_stratified_rows_sum_to_one_and_own_weights_lie_on_the_diagonal(self, n, size):
        """A column in place of the diagonal makes a row that sums to 1.31."""
        weights = np.exp(array(objectives.stratified_log_weights(n, size)))
        np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-5)
        np.testing.assert_allclose(np.diag(weights), 1 / size, rtol=1e-5)
        np.testing.assert_allclose(weights, stratified(n, size), rtol=1e-5)

    def test_a_batch_larger_than_the_data_set_counts_as_it(self):
        weights = np.exp(array(objectives.stratified_log_weights(4, 2)))
        np.testing.assert_allclose(weights, stratified(4, 4), rtol=1e-5)
        np.testing.assert_allclose(array(objectives.stratified_log_weights(1, 9)), [[0.0]])

    @pytest.mark.parametrize("sampling", ["weighted", "stratified"])
    def test_every_term_is_the_numpy_reference(self, sampling, rng):
        found, mean, log_var, z, log_px = evidence(rng)
        weights = stratified(6, 50) if sampling == "stratified" else np.full((6, 6), 1 / 6)
        expected = mixture_terms(z[0], mean, log_var, weights)
        size = 50 if sampling == "stratified" else None
        objective = objectives.TotalCorrelation(1.5, 6.0, 0.5, sampling, size)
        loss, terms = scored(objective, found)
        for name, value in zip(("mi_loss", "tc_loss", "dimension_kl_loss"), expected):
            np.testing.assert_allclose(terms[name], value, rtol=1e-4, atol=1e-5)
        information, correlation, dimensions = expected
        total = -log_px[0] + 1.5 * information + 6.0 * correlation + 0.5 * dimensions
        np.testing.assert_allclose(loss, total, rtol=1e-5)

    def test_the_terms_sum_to_the_kl_in_expectation(self, rng):
        found, mean, log_var, *_ = evidence(rng, samples=5000)
        _, terms = scored(objectives.TotalCorrelation(), found)
        total = terms["mi_loss"] + terms["tc_loss"] + terms["dimension_kl_loss"]
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)
        np.testing.assert_allclose(terms["kl_loss"], kl, rtol=1e-5)
        np.testing.assert_allclose(total, kl, atol=0.2)
        assert total.mean() == pytest.approx(kl.mean(), abs=0.08)

    @pytest.mark.parametrize("options", [{}, {"sampling": "stratified", "dataset_size": 60_000}])
    def test_independent_dimensions_have_none(self, options, rng):
        """Not ±(d - 1) log N, which is 29 nats and more for ten dimensions."""
        zeros = np.zeros((16, 10))
        found, *_ = evidence(rng, 16, 10, mean=zeros, log_var=zeros)
        _, terms = scored(objectives.TotalCorrelation(**options), found)
        for name in ("mi_loss", "tc_loss", "dimension_kl_loss"):
            np.testing.assert_allclose(terms[name], 0.0, atol=1e-3)

    def test_tied_dimensions_have_some(self, rng):
        """z_2 = z_1 up to σ: TC is the mutual information of a correlated normal."""
        n, correlation = 1000, 0.9
        one = rng.standard_normal((n, 1))
        mean = correlation**0.5 * np.repeat(one, 2, axis=1)
        log_var = np.full((n, 2), np.log(1 - correlation))
        found, *_ = evidence(rng, n, 2, mean=mean, log_var=log_var)
        _, terms = scored(objectives.TotalCorrelation(), found)
        expected = -0.5 * np.log(1 - correlation**2)
        assert terms["tc_loss"].mean() == pytest.approx(expected, abs=0.12)
        assert terms["dimension_kl_loss"].mean() == pytest.approx(0.0, abs=0.1)

    def test_weights_of_one_are_the_plain_vae(self, rng):
        found, *_, log_px = evidence(rng, samples=3)
        loss, _ = scored(objectives.TotalCorrelation(1.0, 1.0, 1.0), found)
        expected = -(log_px - array(found.log_ratio)).mean(0)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)

    def test_a_batch_of_one_is_finite(self, rng):
        for options in ({}, {"sampling": "stratified", "dataset_size": 10}):
            found, *_ = evidence(rng, n=1)
            loss, terms = scored(objectives.TotalCorrelation(**options), found)
            assert np.isfinite(loss).all()
            np.testing.assert_allclose(terms["tc_loss"], 0.0, atol=1e-5)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="dataset_size=None"):
            objectives.TotalCorrelation(sampling="stratified")
        with pytest.raises(ValueError, match="sampling='all'"):
            objectives.TotalCorrelation(sampling="all")
        with pytest.raises(ValueError, match="beta=-6"):
            objectives.TotalCorrelation(beta=-6)


class TestDIP:
    @pytest.mark.parametrize("kind", ["i", "ii"])
    def test_it_is_the_numpy_reference(self, kind, rng):
        found, mean, log_var, _, log_px = evidence(rng, n=40)
        covariance = np.cov(mean.T, bias=True)
        if kind == "ii":
            covariance = covariance + np.diag(np.exp(log_var).mean(0))
        off = covariance - np.diag(np.diag(covariance))
        expected = 3.0 * (off**2).sum() + 2.0 * ((np.diag(covariance) - 1) ** 2).sum()
        loss, terms = scored(objectives.DIP(kind, 3.0, 2.0), found)
        np.testing.assert_allclose(terms["dip_loss"], expected, rtol=1e-4)
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)
        np.testing.assert_allclose(loss, -log_px[0] + kl + expected, rtol=1e-5)

    def test_white_codes_cost_nothing_whatever_their_number(self, rng):
        """A sum over the batch in place of its mean reads millions here."""
        white = rng.standard_normal((4000, 5))
        white -= white.mean(0)
        white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white.T, bias=True))).T
        found, *_ = evidence(rng, 4000, 5, mean=white)
        _, terms = scored(objectives.DIP("i"), found)
        np.testing.assert_allclose(terms["dip_loss"], 0.0, atol=1e-3)

    def test_defaults_and_the_limit(self):
        assert objectives.DIP("i").diagonal == 100.0 and objectives.DIP("ii").diagonal == 10.0
        plain, limit = losses(m.vae), losses(m.dip_vae, off_diagonal=0.0, diagonal=0.0)
        np.testing.assert_allclose(limit[0], plain[0], rtol=1e-6)
        with pytest.raises(ValueError, match="kind='iii'"):
            objectives.DIP("iii")
