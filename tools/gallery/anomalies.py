"""A digit that training never saw stands out; unless it is simpler than all it saw."""

import numpy as np

from keras_vae import metrics, models

from ..applications import uses
from . import parts

LEFT_OUT = (0, 1)
EPOCHS = 8
PICTURE = "png"
CLAIMS = (("auroc_0", ">", 0.8), ("auroc_1", "<", 0.5))


def draw(path, n=3000, left_out=LEFT_OUT, epochs=EPOCHS, examples=parts.EXAMPLES, seed=0):
    """Draws the figure; returns the lesson's numbers."""
    x, y = parts.mnist("train", examples)
    held_out, labels = parts.mnist("test", n)
    figure, axes = parts.figure(2, len(left_out), 9, 4.6, height_ratios=(2.4, 1))
    numbers = {}
    for digit, column in zip(left_out, axes.T, strict=True):
        model = models.vae(x.shape[1:], 16, units=(256,), likelihood="dynamic_bernoulli", seed=seed)
        parts.train(model, x[y != digit], epochs, f"without digit {digit}", seed)
        error, bound = uses.anomaly_scores(model, held_out, seed)
        strange = labels == digit
        numbers[f"auroc_{digit}"] = round(float(metrics.auroc(bound, strange)), 3)
        numbers[f"error_auroc_{digit}"] = round(float(metrics.auroc(error, strange)), 3)
        bins = np.linspace(*np.percentile(bound, (0.2, 99.8)), 50)
        for kind, label, colour in (
            (~strange, "digits it was trained on", "#1f77b4"),
            (strange, f"digit {digit}, never seen", "#ff7f0e"),
        ):
            column[0].hist(bound[kind], bins, alpha=0.6, color=colour, label=label, density=True)
        column[0].legend(frameon=False, fontsize=9)
        title = f"without {digit}: AUROC {numbers[f'auroc_{digit}']:.3f}"
        parts.finish(column[0], "anomaly score: -ELBO (nats)", "density", title)
        top = held_out[np.argsort(-bound)[:10]]
        parts.tiles(column[1], top, 10, "the ten strangest of the test digits")
    parts.save(figure, path)
    return numbers
