"""Random codes, decoded: by an autoencoder, by one with a fitted prior, by a VAE."""

import numpy as np

from keras_vae import zoo

from . import parts

PICTURE = "jpg"
CLAIMS = (("vae_sure", ">", "ae_sure"), ("ae_mixture_sure", ">", "ae_sure"))


def draw(path, n=1000, seed=0):
    """Draws the figure; returns the lesson's numbers."""
    ae, vae = zoo.load("mnist_ae"), zoo.load("mnist_vae")
    noise = np.random.default_rng(seed).standard_normal((n, ae.latent_dim), "float32")
    drawn = {
        "ae_sure": ("AE, codes from N(0, I)", ae.decode(noise)),
        "ae_mixture_sure": ("AE, codes from a fitted mixture", ae.sample(n, seed=seed)),
        "vae_sure": ("VAE, codes from its prior N(0, I)", vae.sample(n, seed=seed)),
    }
    figure, axes = parts.figure(1, 3, 10.5, 3.8)
    numbers = {}
    for panel, (name, (title, pictures)) in zip(axes[0], drawn.items(), strict=True):
        numbers[name] = parts.sure(pictures)
        parts.tiles(panel, pictures[:49], 7, title)
    parts.save(figure, path)
    return numbers
