"""Posterior collapse: provoked by the weight of the KL, and detected without a picture."""

import numpy as np

from keras_vae import metrics, models

from . import parts

BETAS = {"healthy": 1.0, "partial": 15.0, "collapsed": 100.0}
EPOCHS = 8
DIMENSIONS = 10
PICTURE = "png"
CLAIMS = (
    ("active_collapsed", "<", 1),
    ("active_partial", "<", "active_healthy"),
    ("active_partial", ">", "active_collapsed"),
    ("used_collapsed", "<", 0.1),
    ("used_healthy", ">", "used_partial"),
)


def draw(path, n=2000, epochs=EPOCHS, examples=parts.EXAMPLES, seed=0):
    """Draws the figure; returns the lesson's numbers."""
    x, _ = parts.mnist("train", examples)
    held_out, _ = parts.mnist("test", n)
    figure, axes = parts.figure(2, len(BETAS), 10.5, 4.6, height_ratios=(2.2, 1))
    numbers, panels = {}, []
    for (name, beta), column in zip(BETAS.items(), axes.T, strict=True):
        model = models.vae((28, 28, 1), DIMENSIONS, units=(256,), beta=beta, seed=seed)
        parts.train(model, x, epochs, f"with β = {beta:g}", seed)
        report = metrics.collapse_report(model, held_out)
        print(report)
        active = int(report.active.sum())
        numbers |= {
            f"active_{name}": active,
            f"kl_{name}": round(report.total_kl, 2),
            f"used_{name}": round(report.used, 2),
        }
        order = np.argsort(-report.kl)
        colours = ["#1f77b4" if on else "#c4c4c4" for on in report.active[order]]
        column[0].bar(range(DIMENSIONS), report.kl[order], color=colours)
        column[0].set_xticks(range(DIMENSIONS), order)
        title = f"β = {beta:g}: {active} of {DIMENSIONS} active, “{report.verdict}”"
        parts.finish(column[0], "latent dimension", "KL (nats)", title)
        panels.append(column[0])
        pair = [*held_out[:8], *model.reconstruct(held_out[:8])]
        parts.tiles(column[1], pair, 8, rows=["data", "model"])
    for panel in panels:
        panel.set_ylim(0, max(p.get_ylim()[1] for p in panels))
    parts.save(figure, path)
    return numbers
