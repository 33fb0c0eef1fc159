"""Metrics of pictures against NumPy."""

import numpy as np
import pytest

from keras_vae import metrics


@pytest.mark.once
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


@pytest.mark.turns
class TestPSNR:
    def test_it_is_the_closed_form(self, rng):
        x = rng.random((3, 5, 4, 2))
        offset = np.array([0.1, 0.01, 0.5])[:, None, None, None]
        np.testing.assert_allclose(metrics.psnr(x, x + offset), [20, 40, -20 * np.log10(0.5)])
        np.testing.assert_allclose(
            metrics.psnr(255 * x, 255 * (x + offset), max_value=255.0),
            metrics.psnr(x, x + offset),
        )

    def test_equal_pictures_are_infinitely_alike(self, rng):
        x = rng.random((1, 4, 4, 1))
        assert metrics.psnr(x, x).tolist() == [np.inf]

    def test_what_is_no_pair_is_refused(self, rng):
        x = rng.random((2, 4, 4, 1))
        with pytest.raises(ValueError, match=r"\(2, 4, 4, 1\) and \(1, 4, 4, 1\)"):
            metrics.psnr(x, x[:1])
        with pytest.raises(ValueError, match="height, width, channels"):
            metrics.psnr(x[..., 0], x[..., 0])
        with pytest.raises(ValueError, match="finite"):
            metrics.psnr(x * np.nan, x)


@pytest.mark.turns
class TestFrechet:
    def test_it_is_the_closed_form_between_normals(self, rng):
        """Sets with exactly the means and covariances that are asked for."""
        d = 6
        means = rng.normal(size=(2, d))
        covariances = [a @ a.T for a in rng.normal(size=(2, d, d))]
        white = rng.normal(size=(200, d))
        white -= white.mean(0)
        white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white.T))).T
        sets = [white @ np.linalg.cholesky(c).T + m for c, m in zip(covariances, means)]
        values, vectors = np.linalg.eig(covariances[0] @ covariances[1])
        expected = np.square(means[0] - means[1]).sum() + np.trace(sum(covariances))
        expected -= 2 * np.sqrt(values.real).sum()
        found = metrics.frechet_distance(*sets, batch_size=7)
        assert found == pytest.approx(expected, rel=1e-8)
        assert metrics.frechet_distance(*sets[::-1]) == pytest.approx(expected, rel=1e-8)

    def test_of_a_shift_it_is_the_squared_length_and_of_a_scale_known(self, rng):
        x = rng.normal(size=(300, 4))
        assert metrics.frechet_distance(x, x + 2.0) == pytest.approx(16.0, rel=1e-8)
        # tr(C + 9C - 6C) = 4 tr C, and the means differ by 2 mean.
        expected = 4 * np.trace(np.cov(x.T)) + 4 * np.square(x.mean(0)).sum()
        assert metrics.frechet_distance(x, 3 * x) == pytest.approx(expected, rel=1e-8)

    def test_equal_sets_are_at_zero_though_their_covariance_is_singular(self, rng):
        x = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 8))
        assert metrics.frechet_distance(x, x) == pytest.approx(0.0, abs=1e-5)

    def test_far_from_the_origin_nothing_is_lost(self, rng):
        x, y = rng.normal(size=(2, 500, 3)) * [[[1.0]], [[2.0]]]
        near = metrics.frechet_distance(x, y)
        assert metrics.frechet_distance(x + 1e6, y + 1e6) == pytest.approx(near, rel=1e-5)

    def test_features_of_a_model_or_a_function(self, rng):
        import keras

        x, y = rng.random((2, 60, 4, 4, 1)).astype("float32")
        model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
        model.add(keras.layers.Dense(3))
        kernel, bias = model.layers[-1].get_weights()

        def function(batch):
            assert len(batch) <= 25
            return batch.reshape(len(batch), -1) @ kernel + bias

        expected = metrics.frechet_distance(*(a.reshape(60, -1) @ kernel + bias for a in (x, y)))
        assert expected > 1e-3
        for features in (model, function):
            found = metrics.frechet_distance(x, y, features, batch_size=25)
            assert found == pytest.approx(expected, rel=1e-4)

    def test_too_few_examples_are_refused_and_few_are_told(self, rng):
        x = rng.normal(size=(100, 8))
        with pytest.raises(ValueError, match="more than 8 examples. Received: 8 in `y`"):
            metrics.frechet_distance(x, x[:8])
        with pytest.warns(UserWarning, match="20 examples for 8 features"):
            metrics.frechet_distance(x, x[:20])
        with pytest.raises(ValueError, match="more than 1 examples. Received: 1 in `x`"):
            metrics.frechet_distance(x[:1, :1], x[:, :1])

    def test_features_that_are_none_are_refused(self, rng):
        x = rng.normal(size=(30, 2))
        with pytest.raises(ValueError, match="same features. Received: 2 and 1"):
            metrics.frechet_distance(x, x[:, :1])
        with pytest.raises(ValueError, match=r"shape \(n, f\).*\(30, 2, 1\)"):
            metrics.frechet_distance(x, x, lambda batch: batch[..., None])
        with pytest.raises(ValueError, match="finite"):
            metrics.frechet_distance(x, np.full_like(x, np.nan))
