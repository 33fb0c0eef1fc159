"""Neighbours, AUROC, kernel distance, bits and information: against brute force."""

import numpy as np
import pytest

from keras_vae import metrics
from keras_vae.metrics import information, neighbours

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns

once = pytest.mark.once


@once
class TestNearestLabels:
    def test_it_is_the_vote_of_the_nearest(self, rng):
        codes, queries = rng.normal(size=(60, 3)), rng.normal(size=(40, 3))
        labels = rng.integers(4, size=60)
        for k in (1, 5):
            expected = []
            for q in queries:
                near = labels[np.argsort(np.square(codes - q).sum(1))[:k]]
                votes = np.bincount(near, minlength=4)
                # The first in order of distance among those with most votes.
                expected.append(next(c for c in near if votes[c] == votes.max()))
            found = neighbours.nearest_labels(codes, labels, queries, k)
            np.testing.assert_array_equal(found, expected)

    def test_chunks_change_nothing(self, rng, monkeypatch):
        codes, queries = rng.normal(size=(50, 2)), rng.normal(size=(23, 2))
        labels = rng.integers(3, size=50)
        whole = neighbours.nearest_labels(codes, labels, queries)
        monkeypatch.setattr(neighbours, "_ROWS", 7)
        np.testing.assert_array_equal(neighbours.nearest_labels(codes, labels, queries), whole)

    def test_bad_input_is_said(self):
        codes, labels = np.zeros((3, 2)), np.zeros(3, int)
        with pytest.raises(ValueError, match=r"Received: shapes \(3, 2\) and \(1, 3\)"):
            neighbours.nearest_labels(codes, labels, np.zeros((1, 3)))
        with pytest.raises(ValueError, match=r"3 integers.*Received: shape \(2,\)"):
            neighbours.nearest_labels(codes, labels[:2], codes)
        with pytest.raises(ValueError, match="3 codes to be near. Received: k=4"):
            neighbours.nearest_labels(codes, labels, codes, k=4)


@once
class TestPrecisionRecall:
    def test_it_is_the_definition(self, rng):
        real, generated = rng.normal(size=(40, 2)), rng.normal(size=(30, 2)) + 1.0

        def share(members, points, k):
            near = []
            for p in points:
                inside = False
                for i, m in enumerate(members):
                    others = np.sort(np.linalg.norm(np.delete(members, i, 0) - m, axis=1))
                    inside |= np.linalg.norm(p - m) <= others[k - 1]
                near.append(inside)
            return np.mean(near)

        for k in (1, 3):
            found = neighbours.precision_recall(real, generated, k=k)
            assert found == pytest.approx((share(real, generated, k), share(generated, real, k)))

    def test_samples_of_one_place_are_precise_and_recall_little(self, rng):
        real = rng.normal(size=(400, 2))
        narrow = real[:1] + 1e-3 * rng.normal(size=(400, 2))
        precision, recall = neighbours.precision_recall(real, narrow)
        assert precision == 1.0 and recall < 0.02
        far = neighbours.precision_recall(real, rng.normal(size=(400, 2)) + 100)
        assert far == (0.0, 0.0)

    def test_features_and_chunks(self, rng, monkeypatch):
        real, generated = rng.random((2, 30, 4, 4, 1))
        flat = [a.reshape(30, -1) for a in (real, generated)]
        expected = neighbours.precision_recall(*flat)
        monkeypatch.setattr(neighbours, "_ROWS", 7)
        found = neighbours.precision_recall(
            real, generated, lambda batch: batch.reshape(len(batch), -1), batch_size=11
        )
        assert found == expected

    def test_too_few_are_refused(self, rng):
        with pytest.raises(ValueError, match="more than k = 3 examples. Received: 3 and 9"):
            neighbours.precision_recall(rng.normal(size=(3, 2)), rng.normal(size=(9, 2)))


@once
class TestAUROC:
    def test_it_counts_pairs(self, rng):
        scores = rng.integers(6, size=50).astype(float)
        positive = rng.random(50) < 0.4
        pairs = scores[positive][:, None] - scores[~positive]
        expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
        assert neighbours.auroc(scores, positive) == pytest.approx(expected)
        assert neighbours.auroc(-scores, positive) == pytest.approx(1 - expected)

    def test_what_tells_all_and_nothing(self):
        positive = np.array([False, False, True])
        assert neighbours.auroc([0.0, 1.0, 2.0], positive) == 1.0
        assert neighbours.auroc([3.0, 3.0, 3.0], positive) == 0.5

    def test_bad_input_is_said(self):
        with pytest.raises(ValueError, match="Received: 2 of 2"):
            neighbours.auroc([1.0, 2.0], [True, True])
        with pytest.raises(ValueError, match="without NaN"):
            neighbours.auroc([1.0, np.nan], [True, False])


@once
class TestKernelDistance:
    def test_it_is_the_definition(self, rng):
        x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 3)) + 0.5

        def kernel(a, b):
            return (np.dot(a, b) / 3 + 1) ** 3

        def mean(a, b, own):
            values = [kernel(p, q) for i, p in enumerate(a) for j, q in enumerate(b)
                      if not own or i != j]  # fmt: skip
            return np.mean(values)

        expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
        found = metrics.kernel_distance(x, y, subsets=3)
        assert found.mean == pytest.approx(expected, rel=1e-10)
        assert found.deviation == pytest.approx(0.0, abs=1e-10)
        assert found[2:] == (3, 12)

    def test_of_one_distribution_it_is_0_in_the_mean(self, rng):
        x, y = rng.normal(size=(2, 2000, 4))
        found = metrics.kernel_distance(x, y, subsets=50, subset_size=100)
        assert abs(found.mean) < 3 * found.deviation / 50**0.5 + 0.01
        shifted = metrics.kernel_distance(x, y + 1, subsets=50, subset_size=100)
        assert shifted.mean > 10 * found.deviation
        again = metrics.kernel_distance(x, y, subsets=50, subset_size=100)
        assert again == found

    def test_features_and_errors(self, rng):
        x, y = rng.random((2, 20, 2, 2, 1))
        flat = [a.reshape(20, -1) for a in (x, y)]
        found = metrics.kernel_distance(x, y, lambda b: b.reshape(len(b), -1), batch_size=7)
        assert found == pytest.approx(metrics.kernel_distance(*flat))
        with pytest.raises(ValueError, match="same features. Received: 4 and 3"):
            metrics.kernel_distance(flat[0], flat[1][:, :3])
        with pytest.raises(ValueError, match="two examples of each set.*Received: 1 and 20"):
            metrics.kernel_distance(flat[0][:1], flat[1])
        with pytest.raises(ValueError, match="`y` must hold at least one example"):
            metrics.kernel_distance(flat[0], flat[1][:0])


@once
class TestBits:
    def test_a_fair_coin_is_a_bit(self):
        assert information.bits_per_dimension(10 * np.log(0.5), 10) == pytest.approx(1.0)

    def test_a_uniform_density_is_as_many_bits_as_levels_have(self):
        bits = information.bits_per_dimension(np.zeros(3), 12, levels=256)
        np.testing.assert_allclose(bits, [8.0, 8.0, 8.0])
        with pytest.raises(ValueError, match="Received: dimensions=0"):
            information.bits_per_dimension(0.0, 0)


class TestInformation:
    """q(z|x) = N(x, s²) of codes far apart, near and equal: known by hand or by quadrature."""

    def model(self, scale):
        from test_metrics import with_posterior

        from keras_vae import likelihoods, models

        likelihood = likelihoods.Normal(1.0, data_range=None)
        model = models.vae((1,), 1, units=(), likelihood=likelihood, seed=0)
        return with_posterior(model, np.ones((1, 1)), 0.0, 2 * np.log(scale))

    def test_codes_far_apart_say_which_example_it_was(self):
        x = 100.0 * np.arange(8, dtype="float32")[:, None]
        found = information.mutual_information(self.model(1.0), x, samples=3)
        assert found.mean == pytest.approx(np.log(8), rel=1e-5)
        assert (found.n, found.samples) == (8, 3)

    def test_equal_codes_say_nothing(self):
        x = np.ones((8, 1), "float32")
        found = information.mutual_information(self.model(1.0), x)
        assert found.mean == pytest.approx(0.0, abs=1e-5)

    def test_in_between_it_is_that_of_the_mixture(self):
        x = np.array([[0.0], [1.0]], "float32")
        z = np.linspace(-6, 7, 4001)
        each = np.exp(-0.5 * (z - x) ** 2) / np.sqrt(2 * np.pi)
        log_ratio = np.log(each) - np.log(each.mean(0))
        expected = (each * log_ratio).sum(1).mean() * (z[1] - z[0])
        found = information.mutual_information(self.model(1.0), x, samples=4000)
        assert found.mean == pytest.approx(expected, abs=0.01)

    def test_full_covariances_and_what_has_no_density(self, images):
        from conftest import SHAPE

        from keras_vae import models

        full = models.full_covariance_vae(SHAPE, 3, units=(8,), seed=0)
        plain = models.vae(SHAPE, 3, units=(8,), seed=0)
        for model in (full, plain):
            found = information.mutual_information(model, images[:20], samples=20)
            # Never more than the mean KL, of which it is a part.
            kl = np.mean(np.asarray(model.posterior(images[:20]).kl(model.prior)))
            assert 0 < found.mean < kl
        for model in (
            models.autoencoder(SHAPE, 3, units=(8,), seed=0),
            models.flow_vae(SHAPE, 3, units=(8,), flows=1, seed=0),
        ):
            with pytest.raises(ValueError, match="another example's.*Received: "):
                information.mutual_information(model, images[:4])
