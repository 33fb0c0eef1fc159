"""Attributes of faces, switched one at a time by a conditional VAE."""

import numpy as np

from keras_vae import zoo

from ..presets import faces
from . import parts

SHOWN = ("Smiling", "Eyeglasses", "Blond_Hair", "Bangs")
PICTURE = "jpg"
CLAIMS = (("smile_up", ">", 80), ("smile_shift", ">", "bangs_shift"))


def draw(path, n=200, seed=0):
    """Draws the figure; returns the lesson's numbers."""
    model, judge = zoo.load("celeba_cvae"), zoo.load("celeba_vae")
    y = faces.attributes(n)
    y[:, [model.condition.index(name) for name in SHOWN]] = 0.0
    x = model.sample(n, condition=y, seed=seed)
    numbers = {"faces": n}
    # The judge was never told of attributes: a direction in its own codes reads them.
    smile = judge.directions.vector("Smiling")
    plain = judge.encode(x)

    def shift(name):
        moved = judge.encode(model.edit(x, y, **{name: 1})) - plain
        return moved @ smile / (smile @ smile)

    smiled = shift("Smiling")
    numbers["smile_up"] = parts.percent(smiled > 0)
    numbers["smile_shift"] = round(float(smiled.mean()), 2)
    numbers["bangs_shift"] = round(float(shift("Bangs").mean()), 2)

    few, condition = x[:4], y[:4]
    columns = [model.reconstruct(few, condition=condition)]
    columns += [model.edit(few, condition, **{name: 1}) for name in SHOWN]
    figure, axes = parts.figure(1, 1, 6.6, 5.6)
    pictures = np.stack(columns, axis=1).reshape(-1, *x.shape[1:])
    parts.tiles(axes[0, 0], pictures, len(columns))
    titles = ["as drawn", *("+ " + name.replace("_", " ") for name in SHOWN)]
    parts.heads(axes[0, 0], titles, x.shape[2])
    parts.save(figure, path)
    return numbers
