"""A small conditional model of pictures with five attributes."""

from keras_vae import models

SHAPE = (16, 16, 3)
NAMES = tuple("abcde")


def small(**options):
    return models.cvae(
        SHAPE,
        4,
        "conv",
        (4, 8),
        "normal",
        seed=0,
        beta=2.0,
        condition_dim=5,
        condition_names=NAMES,
        **{"hidden": 0, "stages": "strided", "film": True, **options},
    )
