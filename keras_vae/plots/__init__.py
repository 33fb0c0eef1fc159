"""Figures that show what a variational autoencoder has learned.

Each function returns a `matplotlib.figure.Figure` and, given `path`, also saves it as
PNG, PDF or SVG by suffix. Figures do not use pyplot: no window opens, no backend is
selected and nothing stays in memory, in a script, on a server or in a notebook.

Each function raises `ImportError` without matplotlib, and `ValueError` for another
suffix, a wrong shape, an empty array or values that are not finite.
"""

from keras_vae.plots.charts import latent_kl, latent_scatter, training_curves
from keras_vae.plots.editing import attributes, edits, strengths
from keras_vae.plots.pictures import (
    code_maps,
    image_grid,
    interpolation,
    manifold,
    reconstructions,
    samples,
    traversal,
)

__all__ = [
    "attributes",
    "code_maps",
    "edits",
    "image_grid",
    "interpolation",
    "latent_kl",
    "latent_scatter",
    "manifold",
    "reconstructions",
    "samples",
    "strengths",
    "training_curves",
    "traversal",
]
