"""What codes of a VQ-VAE take, and files of the same quality."""

import numpy as np
import pytest

from keras_vae import metrics, models
from tools.presets import codes

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def model():
    return models.vq_vae(
        (16, 16, 3), 3, units=(2, 2), num_codes=5, prior_channels=2, prior_depth=1, seed=0
    )


def entries(model, x):
    def entry(title, value, error=None, unit="nats", how="", digits=2):
        return title, value, how

    return {title: (value, how) for title, value, how in codes.compared(model, x, None, entry)}


def test_bytes_are_those_of_the_codes_and_of_files(model, rng):
    x = rng.random((6, 16, 16, 3), dtype="float32")
    found = entries(model, x)
    # 16 positions of one of 5 codes: 37.2 bits.
    assert found["bytes of the codes"][0] == 5
    bits = -model.code_log_prob(model.encode(x)).mean() / np.log(2)
    assert found["bytes of the codes under the prior"][0] == pytest.approx(bits / 8, rel=1e-5)
    # Noise is rebuilt worse than by any JPEG: then its smallest file is named.
    ratio = metrics.psnr(x, model.reconstruct(x)).mean()
    size, how = found["bytes of the smallest JPEG file"]
    smallest = [codes.file(picture, "JPEG", 1) for picture in x]
    assert size == pytest.approx(np.mean([s for s, _ in smallest]))
    worst = np.mean(
        [metrics.psnr(p[None], r[None])[0] for p, (_, r) in zip(x, smallest, strict=True)]
    )
    assert ratio < worst and f"{worst:.1f} dB" in how


def test_a_file_of_high_quality_is_the_picture(rng):
    low = rng.random((2, 2, 3), dtype="float32")
    picture = np.kron(low, np.ones((8, 8, 1), "float32"))
    for kind in ("JPEG", "WEBP"):
        sizes = []
        for quality in (5, 95):
            size, read = codes.file(picture, kind, quality)
            assert read.shape == picture.shape and 0 <= read.min() and read.max() <= 1
            sizes.append((size, np.abs(read - picture).mean()))
        assert sizes[0][0] < sizes[1][0] and sizes[1][1] < min(0.05, sizes[0][1])
    size, read = codes.file(picture[..., :1], "JPEG", 95)
    assert read.shape == (16, 16, 1) and np.abs(read - picture[..., :1]).mean() < 0.02
