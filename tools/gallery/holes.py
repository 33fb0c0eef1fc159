"""The latent plane of an autoencoder, which has holes, and of a VAE, which has none."""

import numpy as np

from keras_vae import models, zoo

from . import parts

EPOCHS = 12
SIDE = 10
PICTURE = "jpg"
CLAIMS = (
    ("vae_two", "<", "ae_box_two"),
    ("vae_sure", ">", "ae_normal_sure"),
    ("ae_reach", ">", "vae_reach"),
)


def draw(path, n=1000, epochs=EPOCHS, examples=parts.EXAMPLES, seed=0):
    """Draws the figure; returns the lesson's numbers."""
    x, _ = parts.mnist("train", examples)
    shown, labels = parts.mnist("test", 2000)
    vae = zoo.load("mnist_2d")
    # The same networks as those of mnist_2d, without noise and without a prior.
    ae = models.autoencoder((28, 28, 1), 2, units=(320, 160), activation="gelu", seed=seed)
    parts.train(ae, x, epochs, "an autoencoder of two latent dimensions", seed)

    codes = ae.encode(x)
    low, high = codes.min(axis=0), codes.max(axis=0)
    rng = np.random.default_rng(seed)
    anywhere = rng.uniform(low, high, (n, 2)).astype("float32")
    normal = rng.multivariate_normal(codes.mean(axis=0), np.cov(codes.T), n).astype("float32")
    boxed = ae.decode(anywhere)
    numbers = {
        "ae_box_sure": parts.sure(boxed),
        "ae_box_two": round(sum(parts.digit_shares(boxed)[:2]), 1),
        "vae_two": round(sum(parts.digit_shares(vae.sample(n, seed=seed))[:2]), 1),
        "ae_normal_sure": parts.sure(ae.decode(normal)),
        "vae_sure": parts.sure(vae.sample(n, seed=seed)),
        "ae_reach": round(float(np.abs(codes).max()), 1),
        "vae_reach": round(float(np.abs(vae.encode(x)).max()), 1),
    }

    figure, axes = parts.figure(2, 2, 8, 7.4)
    parts.scatter(axes[0, 0], ae.encode(shown), labels, "autoencoder: codes of test digits")
    drawn = parts.scatter(axes[0, 1], vae.encode(shown), labels, "VAE: codes of test digits")
    parts.colours(figure, drawn, axes[0, 1])
    pictures = ae.decode(parts.grid(low, high, SIDE))
    parts.tiles(axes[1, 0], pictures, SIDE, "autoencoder: the box of its codes, decoded")
    corner = np.array([2.5, 2.5])
    pictures = vae.decode(parts.grid(-corner, corner, SIDE))
    parts.tiles(axes[1, 1], pictures, SIDE, "VAE: codes from -2.5 to 2.5, decoded")
    parts.save(figure, path)
    return numbers
