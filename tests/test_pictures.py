"""Picture metrics against closed forms, a plain NumPy reference and TensorFlow's own."""

import numpy as np
import pytest
from conftest import make_images

from keras_vae import metrics, similarity

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns


def noisy(rng, n, shape, scale=0.1):
    x = make_images(rng, n, shape)
    return x, np.clip(x + scale * rng.standard_normal(x.shape), 0, 1).astype("float32")


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


def plain_ssim(x, y):
    """Means of l·cs and of cs over one grey picture, window by window."""
    offsets = np.arange(11) - 5
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    both, alone = [], []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            ma, mb = (kernel * a).sum(), (kernel * b).sum()
            va, vb = (kernel * (a - ma) ** 2).sum(), (kernel * (b - mb) ** 2).sum()
            cab = (kernel * (a - ma) * (b - mb)).sum()
            luminance = (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2)
            structure = (2 * cab + 0.03**2) / (va + vb + 0.03**2)
            both.append(luminance * structure)
            alone.append(structure)
    return np.mean(both), np.mean(alone)


class TestMSSSIM:
    @pytest.mark.parametrize("size, scales", [(28, 2), (32, 2), (64, 3), (176, 5), (11, 1)])
    def test_how_many_scales_fit(self, size, scales):
        assert similarity.scales_of(size, size) == scales
        assert similarity.scales_of(size, 500) == scales

    def test_equal_pictures_give_one(self, rng):
        x = make_images(rng, 3, (28, 28, 3))
        np.testing.assert_allclose(metrics.ms_ssim(x, x), 1.0, rtol=1e-12)

    def test_it_is_the_numpy_reference(self, rng):
        x, y = (a.astype("float64") for a in noisy(rng, 2, (28, 26, 2)))
        expected = np.ones((2, 2))
        weights = np.array([0.0448, 0.2856]) / (0.0448 + 0.2856)
        for i in range(2):
            for c in range(2):
                a, b = x[i, ..., c], y[i, ..., c]
                expected[i, c] = plain_ssim(a, b)[1] ** weights[0]
                a, b = (p.reshape(14, 2, 13, 2).mean((1, 3)) for p in (a, b))
                expected[i, c] *= plain_ssim(a, b)[0] ** weights[1]
        np.testing.assert_allclose(metrics.ms_ssim(x, y), expected.mean(1), rtol=1e-8)

    def test_five_scales_are_what_tensorflow_computes(self, rng):
        tf = pytest.importorskip("tensorflow")
        x, y = noisy(rng, 2, (176, 352, 3), scale=0.2)
        # In float32, whose variances are differences of larger numbers.
        expected = tf.image.ssim_multiscale(x, y, 1.0).numpy()
        np.testing.assert_allclose(metrics.ms_ssim(x, y), expected, rtol=5e-4)
        one = tf.image.ssim(x, y, 1.0).numpy()
        np.testing.assert_allclose(metrics.ms_ssim(x, y, scales=1), one, rtol=1e-4)

    def test_it_is_symmetric_and_falls_with_noise(self, rng):
        x, y = noisy(rng, 4, (28, 28, 1))
        np.testing.assert_allclose(metrics.ms_ssim(x, y), metrics.ms_ssim(y, x))
        worse = noisy(np.random.default_rng(0), 4, (28, 28, 1), scale=0.4)[1]
        assert (metrics.ms_ssim(x, worse) < metrics.ms_ssim(x, y)).all()

    def test_negative_structure_counts_as_zero(self, rng):
        x = rng.random((1, 28, 28, 1))
        assert metrics.ms_ssim(x, 1 - x)[0] == 0.0

    def test_pictures_too_small_are_refused(self, rng):
        x = rng.random((1, 28, 28, 1))
        with pytest.raises(ValueError, match="28 × 28 pixels have 2 scales.*Received: scales=3"):
            metrics.ms_ssim(x, x, scales=3)
        with pytest.raises(ValueError, match="8 × 28 pixels have 0 scales"):
            metrics.ms_ssim(x[:, :8], x[:, :8])


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


class TestCodebookUsage:
    def test_uniform_use_has_the_perplexity_of_its_size(self):
        usage = metrics.codebook_usage(np.arange(32).reshape(2, 4, 4), 32)
        assert usage.used == 1.0 and usage.perplexity == pytest.approx(32)
        assert usage.counts.tolist() == [1] * 32

    def test_unused_codes(self):
        usage = metrics.codebook_usage(np.array([[0, 0, 3, 3]]), 8)
        assert usage.used == 0.25 and usage.perplexity == pytest.approx(2.0)
        assert str(usage) == "25.0 % of 8 codes are used, perplexity 2.0"
        single = metrics.codebook_usage(np.zeros((1, 1, 1), "int32"), 8)
        assert single.perplexity == 1.0

    def test_what_are_no_codes_is_refused(self):
        with pytest.raises(TypeError, match="float64"):
            metrics.codebook_usage(np.zeros(3), 8)
        for codes in ([8], [-1]):
            with pytest.raises(ValueError, match="from 0 to 7"):
                metrics.codebook_usage(np.array(codes), 8)
        with pytest.raises(ValueError, match="no codes"):
            metrics.codebook_usage(np.zeros((0, 2), "int32"), 8)
