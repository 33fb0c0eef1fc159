"""Noise taken off digits by an autoencoder that was trained to."""

import numpy as np

from keras_vae import metrics, zoo

from ..applications import uses
from . import parts

PRESET = "mnist_denoising"
STDDEV = 0.5
PICTURE = "jpg"
CLAIMS = (("model_psnr", ">", "filter_psnr"), ("filter_psnr", ">", "noisy_psnr"))


def draw(path, n=2000, stddev=STDDEV, seed=0):
    """Draws the figure; returns the lesson's numbers."""
    model = zoo.load(PRESET)
    rng = np.random.default_rng(seed)

    def pair(split):
        x, _ = parts.mnist(split, n)
        return x, x + rng.normal(0, stddev, x.shape).astype("float32")

    def ratio(x, cleaned):
        return round(float(metrics.psnr(x, cleaned).mean()), 2)

    # The filter is chosen on validation digits, and measured on test ones.
    x, noisy = pair("validation")
    seen = np.clip(noisy, 0, 1)
    chosen = max(uses.FILTERS, key=lambda name: ratio(x, uses.FILTERS[name](seen)))
    x, noisy = pair("test")
    seen = np.clip(noisy, 0, 1)
    rows = {
        "data": x,
        "noisy": seen,
        f"filter:\n{chosen}": uses.FILTERS[chosen](seen),
        "model": model.denoise(noisy),
    }
    names = ("noisy_psnr", "filter_psnr", "model_psnr")
    numbers = {k: ratio(x, v) for k, v in zip(names, [*rows.values()][1:], strict=True)}
    figure, axes = parts.figure(1, 1, 7.2, 3.3)
    parts.tiles(axes[0, 0], np.concatenate([r[:8] for r in rows.values()]), 8, "", [*rows])
    parts.save(figure, path)
    return numbers
