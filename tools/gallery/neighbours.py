"""Codes that are near give faces that are alike, and the further the less."""

import numpy as np

from keras_vae import zoo

from . import parts

STEPS = (0.1, 0.25, 0.5, 0.75, 1.0)
PICTURE = "jpg"
CLAIMS = (("near", "<", "half"), ("half", "<", "strangers"))


def draw(path, n=256, steps=STEPS, seed=0):
    """Draws the figure; returns the lesson's numbers."""
    model = zoo.load("celeba_vae")
    rng = np.random.default_rng(seed)
    codes = model.prior.sample(n, rng)
    faces = model.decode(codes)
    # Some of another face's code, so that the spread of all codes stays what it was.
    middle, other = codes.mean(axis=0), np.roll(codes, 1, axis=0)
    moved = [
        model.decode(middle + np.sqrt(1 - s * s) * (codes - middle) + s * (other - middle))
        for s in map(np.float32, steps)
    ]
    change = [_difference(m, faces) for m in moved]
    strangers = _difference(np.roll(faces, 1, axis=0), faces)
    numbers = {
        "faces": n,
        "near": round(float(np.mean(change[0])), 3),
        "half": round(float(np.mean(change[len(change) // 2])), 3),
        "strangers": round(float(strangers.mean()), 3),
    }

    figure, axes = parts.figure(1, 2, 9.4, 3.9, width_ratios=(1.45, 1))
    shown = np.stack([faces[:4], *(m[:4] for m in moved)], axis=1).reshape(-1, *faces.shape[1:])
    parts.tiles(axes[0, 0], shown, 1 + len(steps))
    titles = ["a face", *(f"{step:g}" for step in steps)]
    parts.heads(axes[0, 0], titles, faces.shape[2])
    curve = axes[0, 1]
    means = [0, *(np.mean(c) for c in change)]
    curve.plot([0, *steps], means, "o-", color="#1f77b4", label="a face and its neighbour")
    curve.axhline(strangers.mean(), color="0.5", linestyle="--", label="two faces drawn at random")
    curve.legend(frameon=False, fontsize=9, loc="lower right")
    curve.set_ylim(0)
    parts.finish(curve, "share of another face's code", "difference of a pixel")
    parts.save(figure, path)
    return numbers


def _difference(a, b):
    """Root mean square difference of pictures, `(n,)`."""
    return np.sqrt(np.square(a - b).mean(axis=(1, 2, 3)))
