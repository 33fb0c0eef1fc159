"""MS-SSIM of arrays and tensors."""

import numpy as np
import pytest

from keras_vae import metrics, similarity
from tests.support import make_images

pytestmark = pytest.mark.turns


def noisy(rng, n, shape, scale=0.1):
    x = make_images(rng, n, shape)
    return x, np.clip(x + scale * rng.standard_normal(x.shape), 0, 1).astype("float32")


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
