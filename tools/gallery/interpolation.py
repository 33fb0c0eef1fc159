"""The way from one picture to another, in an autoencoder and in a VAE."""

import numpy as np

from keras_vae import zoo

from . import parts

STEPS = 7
PICTURE = "jpg"
CLAIMS = (
    ("vae_sure", ">", "ae_sure"),
    ("vae_ends_sure", ">", "vae_sure"),
    ("ae_ends_sure", ">", "ae_sure"),
)


def draw(path, n=1000, steps=STEPS, seed=0):
    """Draws the figure; returns the lesson's numbers."""
    x, y = parts.mnist("test", 2 * n)
    # Pairs of unlike digits: every picture with the next one of another class.
    order = np.random.default_rng(seed).permutation(len(x))
    a, b = order[: len(x) // 2], order[len(x) // 2 :]
    unlike = y[a[: len(b)]] != y[b[: len(a)]]
    a, b = x[a[: len(b)][unlike]], x[b[: len(a)][unlike]]
    figure, axes = parts.figure(2, 2, 10, 5.6, height_ratios=(1.3, 1))
    numbers = {"pairs": len(a)}
    vae_faces = zoo.load("celeba_vae")
    # Faces that the VAE drew: no photograph is shown.
    faces = vae_faces.sample(6, seed=seed + 2)
    models = {
        "ae": ("autoencoder", zoo.load("mnist_ae"), zoo.load("celeba_ae")),
        "vae": ("VAE", zoo.load("mnist_vae"), vae_faces),
    }
    for column, (name, (title, model, twin)) in zip(axes.T, models.items(), strict=True):
        middle = 0.5 * (model.encode(a) + model.encode(b))
        numbers[f"{name}_sure"] = parts.sure(model.decode(middle))
        numbers[f"{name}_ends_sure"] = parts.sure(model.reconstruct(a))
        rows = model.interpolate(a[:5], b[:5], steps)
        parts.tiles(column[0], np.concatenate(rows), steps, f"{title}: between two test digits")
        rows = twin.interpolate(faces[:3], faces[3:], steps)
        parts.tiles(column[1], np.concatenate(rows), steps, f"{title}: between generated faces")
    parts.save(figure, path)
    return numbers
