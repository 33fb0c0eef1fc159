"""Metrics of nearest neighbours."""

import numpy as np
import pytest

from keras_vae.metrics import neighbours

pytestmark = pytest.mark.turns


@pytest.mark.once
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


@pytest.mark.once
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


@pytest.mark.once
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
