"""Disentanglement scores of codes whose true score is known."""

import sys

import numpy as np
import pytest

from keras_vae import metrics
from keras_vae.metrics import disentanglement
from keras_vae.metrics.dci import _entropies

pytestmark = pytest.mark.once

SIZES = (3, 4, 5, 6)
NAMES = ("mig", "sap", "modularity", "disentanglement", "completeness", "factor_vae", "beta_vae")


def drawn(n=2000):
    return np.random.default_rng(1).integers(SIZES, size=(n, len(SIZES)))


def perfect(factors):
    """Each factor alone in a dimension, in another order and of other scales."""
    return factors[:, [2, 0, 3, 1]] * [0.1, -5.0, 1.0, 30.0] + [3.0, 0.0, -1.0, 0.0]


def noise(n, d=4):
    return np.random.default_rng(2).normal(size=(n, d))


def turned(factors, degrees):
    """Each factor mixed with one other."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.kron(np.eye(2), [[c, s], [-s, c]])
    return ((factors - factors.mean(0)) / factors.std(0)) @ turn


@pytest.fixture(scope="module")
def found():
    pytest.importorskip("sklearn")
    factors = drawn()
    kinds = {
        "perfect": perfect(factors),
        "dead": np.concatenate([perfect(factors), np.full((len(factors), 3), 7.0)], axis=1),
        "noise": noise(len(factors)),
        "turned": turned(factors, 30),
        "halfway": turned(factors, 45),
    }
    return {
        name: metrics.disentanglement_scores(codes, factors, categorical=(0,))
        for name, codes in kinds.items()
    }


@pytest.mark.parametrize("name", (*NAMES, "informativeness"))
def test_a_perfect_code_scores_1(found, name):
    assert found["perfect"][name] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", (*NAMES, "informativeness"))
def test_dead_dimensions_are_harmless(found, name):
    assert found["dead"][name] == pytest.approx(found["perfect"][name], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_noise_scores_what_guessing_does(found, name):
    guessing = 0.25 if name.endswith("_vae") else 0.0
    assert found["noise"][name] == pytest.approx(guessing, abs=0.03)


def test_noise_informs_as_well_as_guessing(found):
    chance = np.mean([1 / n for n in SIZES])
    assert found["noise"]["informativeness"] == pytest.approx(chance, abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_a_rotated_code_lies_in_between(found, name):
    # Both scores of fixed factors see which dimension varies least, up to 45 degrees.
    code = "halfway" if name.endswith("_vae") else "turned"
    low, high = found["noise"][name] + 0.05, found["perfect"][name] - 0.02
    assert low < found[code][name] < high


def test_information_of_independent_classes_is_exact():
    # Each of 3 × 4 combinations equally often, and a dimension that is both at once.
    factors = np.stack(np.meshgrid(range(3), range(4)), -1).reshape(-1, 2).repeat(5, axis=0)
    codes = np.stack([factors[:, 0], factors[:, 0] * 4 + factors[:, 1], np.ones(60)], axis=1)
    expected = [[np.log(3), 0.0], [np.log(3), np.log(4)], [0.0, 0.0]]
    matrix = disentanglement.mutual_information_matrix(codes, factors)
    np.testing.assert_allclose(matrix, expected, atol=1e-12)
    # MIG: the first two tell the first factor equally well, one alone the second.
    assert disentanglement.mig(codes, factors) == pytest.approx(0.5)
    # Modularity: the first is pure; of the second, log² 3 stands against log² 4.
    mixed = 1 - np.log(3) ** 2 / np.log(4) ** 2
    assert disentanglement.modularity(codes, factors) == pytest.approx((1 + mixed) / 2)


def test_bins_are_of_equal_width():
    z = np.array([0.0, 0.1, 0.49, 0.51, 0.9, 1.0])[:, None]
    labels = np.array([0, 0, 0, 1, 1, 1])[:, None]
    matrix = disentanglement.mutual_information_matrix(z, labels, bins=2)
    assert matrix[0, 0] == pytest.approx(np.log(2))


class TestSAP:
    def test_of_ordered_factors_it_is_the_gap_of_squared_correlations(self, rng):
        codes, factors = rng.normal(size=(500, 3)), rng.integers(5, size=(500, 2))
        codes[:, 0] += factors[:, 0]
        squares = np.square(np.corrcoef(codes.T, factors.T)[:3, 3:])
        ordered = np.sort(squares, axis=0)
        expected = (ordered[-1] - ordered[-2]).mean()
        assert disentanglement.sap(codes, factors) == pytest.approx(expected)

    def test_a_class_in_the_middle_of_others_is_told(self):
        # A line cannot: class 1 lies at both ends.
        factors = np.repeat([0, 1, 2], 40)[:, None]
        codes = np.array([0.0, 5.0, 2.0])[factors]
        assert disentanglement.sap(codes, factors, categorical=(0,)) == pytest.approx(1.0)
        assert disentanglement.sap(codes, factors) < 0.5

    def test_an_unknown_factor_is_refused(self):
        with pytest.raises(ValueError, match=r"from 0 to 3. Received: categorical=\(4,\)"):
            disentanglement.sap(noise(10), drawn(10), categorical=(4,))


class TestSamplers:
    def test_rows_share_the_value_of_the_factor_and_no_other(self, rng):
        factors = drawn(300)
        sample = disentanglement.row_sampler(factors.astype("float32"), factors)
        groups = sample(rng, 2, 200, 30)
        assert groups.shape == (200, 30, 4)
        assert (groups[:, :, 2] == groups[:, :1, 2]).all()
        assert all((groups[:, :, k] != groups[:, :1, k]).any(axis=1).all() for k in (0, 1, 3))
        # Values come as often as in the data.
        shares = np.bincount(groups[:, 0, 2].astype(int)) / 200
        np.testing.assert_allclose(shares, np.bincount(factors[:, 2]) / 300, atol=0.12)
        assert {tuple(row) for row in groups.reshape(-1, 4)} <= {tuple(row) for row in factors}

    def test_the_grid_is_drawn_anew(self, rng):
        sample = disentanglement.grid_sampler(SIZES, lambda factors: factors * 2.0)
        groups = sample(rng, 1, 50, 40)
        assert groups.shape == (50, 40, 4)
        assert (groups[:, :, 1] == groups[:, :1, 1]).all()
        for k, size in enumerate(SIZES):
            assert set(np.unique(groups[:, :, k])) == {2.0 * v for v in range(size)}

    def test_scores_take_a_sampler(self):
        factors = drawn(200)
        sampler = disentanglement.grid_sampler(SIZES, perfect)
        options = {"sampler": sampler, "groups": (200, 200), "size": 8}
        score = disentanglement.factor_vae_score(perfect(factors), factors, **options)
        assert score == pytest.approx(1.0, abs=0.01)


def test_a_dimension_that_is_not_active_gets_no_vote():
    """A collapsed dimension, whose code is rounding noise, would vary least at random."""
    factors = drawn(1000)
    codes = np.concatenate([perfect(factors), 1e-6 * noise(1000, 1)], axis=1)
    options = {"groups": (500, 500), "size": 32}
    active = np.array([True] * 4 + [False])
    with_it = disentanglement.factor_vae_score(codes, factors, **options)
    without = disentanglement.factor_vae_score(codes, factors, active=active, **options)
    alone = disentanglement.factor_vae_score(codes[:, :4], factors, **options)
    assert without == alone == pytest.approx(1.0, abs=0.01)
    assert with_it <= without
    nothing = disentanglement.factor_vae_score(codes, factors, active=np.zeros(5), **options)
    assert nothing == 0.0


def test_entropies_of_a_matrix_that_is_known():
    # One dimension serves two factors equally, one serves the third, one nothing.
    matrix = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    d, c = _entropies(matrix)
    assert c == pytest.approx(1.0)
    assert d == pytest.approx(0.5 * (1 - np.log(2) / np.log(3)) + 0.5)
    assert _entropies(np.zeros((2, 2))) == (0.0, 0.0)


def test_equal_seeds_give_equal_scores():
    pytest.importorskip("sklearn")
    factors = drawn(300)
    codes = turned(factors, 20)
    once, again = (metrics.dci(codes, factors, trees=3, seed=4) for _ in range(2))
    assert once[:3] == again[:3]
    np.testing.assert_array_equal(once.importance, again.importance)


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ImportError, match=r"DCI needs scikit-learn: .*keras-vae\[metrics\]"):
        metrics.dci(noise(20), drawn(20))


@pytest.mark.parametrize(
    "codes, factors, message",
    [
        (noise(10), drawn(9), r"Received: shapes \(10, 4\) and \(9, 4\)"),
        (noise(10)[0], drawn(10), r"Received: shapes \(4,\) and \(10, 4\)"),
        (noise(10) * np.nan, drawn(10), "finite. Received: NaN"),
        (noise(10), np.zeros((10, 1)), "factor 0 with one value in 10 examples"),
    ],
)
def test_bad_input_is_said(codes, factors, message):
    with pytest.raises(ValueError, match=message):
        disentanglement.mig(codes, factors)


def test_one_factor_has_no_modularity():
    with pytest.raises(ValueError, match=r"two or more. Received: factors of shape \(10, 1\)"):
        disentanglement.modularity(noise(10), drawn(10)[:, :1])


def test_all_scores_want_an_active_dimension():
    with pytest.raises(ValueError, match=r"Received: shape \(4,\), 0 of them"):
        metrics.disentanglement_scores(noise(20), drawn(20), active=np.zeros(4, bool))
