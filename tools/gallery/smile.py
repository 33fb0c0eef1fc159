"""How smiles lie along their latent direction, in an autoencoder and in a VAE."""

import numpy as np

from keras_vae import datasets, metrics, zoo

from . import parts

ATTRIBUTE = "Smiling"
PICTURE = "png"
NEEDS = "celeb_a_64"
CLAIMS = (("ae_auroc", ">", 0.8), ("vae_auroc", ">", 0.8))


def draw(path, n=3000, seed=0):
    """Draws the figure; returns the lesson's numbers.

    Raises:
        FileNotFoundError: the faces' data set is not prepared.
    """
    x, y = datasets.load(NEEDS, "test", limit=n, download=False)
    smiles = y[:, datasets.CELEBA_ATTRIBUTES.index(ATTRIBUTE)] > 0.5
    figure, axes = parts.figure(1, 2, 9, 3.6, sharey=True)
    numbers = {"faces": len(x), "smiling": int(smiles.sum())}
    for panel, name in zip(axes[0], ("ae", "vae"), strict=True):
        model = zoo.load(f"celeba_{name}")
        direction = model.directions.vector(ATTRIBUTE)
        codes = model.encode(x)
        along = codes @ direction / np.linalg.norm(direction)
        along = (along - along.mean()) / along.std()
        numbers[f"{name}_auroc"] = round(float(metrics.auroc(along, smiles)), 3)
        gap = along[smiles].mean() - along[~smiles].mean()
        numbers[f"{name}_gap"] = round(float(gap), 2)
        bins = np.linspace(-4, 4, 41)
        for kind, label, colour in ((smiles, "smiling", "#ff7f0e"), (~smiles, "not", "#1f77b4")):
            panel.hist(along[kind], bins, alpha=0.6, color=colour, label=label, density=True)
        panel.legend(frameon=False, fontsize=9)
        title = f"celeba_{name}: AUROC {numbers[f'{name}_auroc']:.3f}"
        parts.finish(panel, "along the smile's direction (deviations)", "density", title)
    parts.save(figure, path)
    return numbers
