"""β from 0.1 to 50: what the code says, against how well it rebuilds."""

import numpy as np

from keras_vae import metrics, models

from . import parts

BETAS = (0.1, 0.5, 1, 2, 5, 10, 20, 50)
EPOCHS = 6
PICTURE = "png"


def name(beta):
    """How a β is written in the names of numbers."""
    return f"{beta:g}".replace(".", "_")


CLAIMS = (
    *((f"kl_{name(b)}", "<", f"kl_{name(a)}") for a, b in zip(BETAS, BETAS[1:], strict=False)),
    ("mse_50", ">", "mse_0_1"),
    ("active_50", "<", "active_0_1"),
    ("sure_2", ">", "sure_0_1"),
    ("sure_2", ">", "sure_50"),
)


def draw(path, n=2000, betas=BETAS, epochs=EPOCHS, examples=parts.EXAMPLES, seed=0):
    """Draws the figure; returns the lesson's numbers."""
    x, _ = parts.mnist("train", examples)
    held_out, _ = parts.mnist("test", n)
    found = {key: [] for key in ("kl", "mse", "active", "sure")}
    rebuilt = [held_out[:8]]
    for beta in betas:
        model = models.beta_vae((28, 28, 1), 10, units=(256,), beta=float(beta), seed=seed)
        parts.train(model, x, epochs, f"with β = {beta:g}", seed)
        found["kl"].append(round(float(metrics.kl_per_dimension(model, held_out).sum()), 2))
        found["mse"].append(parts.mse(model, held_out))
        found["active"].append(int(metrics.active_units(model, held_out).sum()))
        found["sure"].append(parts.sure(model.sample(1000, seed=seed)))
        rebuilt.append(model.reconstruct(held_out[:8]))

    figure, axes = parts.figure(1, 3, 11, 4.2, width_ratios=(1, 1, 0.95))
    curve, quality, shown = axes[0]
    curve.plot(found["kl"], found["mse"], "o-", color="#1f77b4")
    for beta, place in zip(betas, zip(found["kl"], found["mse"], strict=True), strict=True):
        curve.annotate(f"{beta:g}", place, (4, 5), textcoords="offset points", fontsize=10)
    curve.set_xlim(-2, 1.12 * max(found["kl"]))
    said = "KL: what the code says (nats)"
    parts.finish(curve, said, "squared error of a pixel", "each point a β")
    quality.plot(betas, found["sure"], "o-", color="#ff7f0e")
    quality.set(xscale="log", ylim=(0, None))
    quality.set_xticks(betas, [f"{b:g}" for b in betas])
    quality.minorticks_off()
    parts.finish(quality, "β", "% of samples the judge is sure of", "samples from the prior")
    labels = ["data", *(f"β = {beta:g}" for beta in betas)]
    parts.tiles(shown, np.concatenate(rebuilt), 8, "reconstructions", labels)
    parts.save(figure, path)
    return {
        f"{key}_{name(beta)}": value
        for key, values in found.items()
        for beta, value in zip(betas, values, strict=True)
    }
