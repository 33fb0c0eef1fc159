"""What each term of the loss does alone: reconstruction only, KL only, both."""

from keras_vae import metrics, models, objectives

from . import parts

EPOCHS = 8
# Weights of the reconstruction and of the KL.
WEIGHTS = {"reconstruction": (1.0, 0.0), "kl": (0.0, 1.0), "both": (1.0, 1.0)}
TITLES = {"reconstruction": "reconstruction only", "kl": "KL only", "both": "both: the VAE"}
PICTURE = "jpg"
CLAIMS = (
    ("kl_nats_kl", "<", 0.05),
    ("kl_nats_both", "<", "kl_nats_reconstruction"),
    ("mse_both", "<", "mse_kl"),
    ("mse_reconstruction", "<", "mse_kl"),
    ("near_kl", "<", 20),
    ("near_both", ">", 40),
)


class Weighted(objectives.Objective):
    """a · -log p(x|z) + b · KL(q(z|x) || p(z))."""

    terms = ("reconstruction_loss", "kl_loss")

    def __init__(self, a, b):
        self.a, self.b = a, b

    def __call__(self, evidence):
        terms = {"reconstruction_loss": evidence.reconstruction, "kl_loss": evidence.kl}
        return self.a * terms["reconstruction_loss"] + self.b * terms["kl_loss"], terms


def draw(path, n=3000, epochs=EPOCHS, examples=parts.EXAMPLES, seed=0):
    """Draws the figure; returns the lesson's numbers."""
    x, y = parts.mnist("train", examples)
    held_out, labels = parts.mnist("test", n)
    figure, axes = parts.figure(2, 3, 10.5, 5.2, height_ratios=(3.2, 1))
    numbers = {}
    for column, (name, weights) in enumerate(WEIGHTS.items()):
        objective = Weighted(*weights)
        model = models.vae((28, 28, 1), 2, units=(256,), objective=objective, seed=seed)
        parts.train(model, x, epochs, f"with {TITLES[name]}", seed)
        # Codes with their noise: those that the decoder is given in training.
        codes, seen = (model.posterior(a).sample(1, seed=seed)[0] for a in (held_out, x))
        near = metrics.nearest_labels(seen, y, codes) == labels
        numbers |= {
            f"mse_{name}": parts.mse(model, held_out),
            f"kl_nats_{name}": round(float(metrics.kl_per_dimension(model, held_out).sum()), 2),
            f"near_{name}": parts.percent(near),
        }
        drawn = parts.scatter(axes[0, column], codes, labels, TITLES[name])
        pair = [held_out[:7], model.reconstruct(held_out[:7])]
        parts.tiles(axes[1, column], [*pair[0], *pair[1]], 7, rows=["data", "model"])
    parts.colours(figure, drawn, axes[0, 2])
    parts.save(figure, path)
    return numbers
