"""Shared by tests: COLOURED, with_attributes, of_maps."""

from keras_vae import models

COLOURED = (8, 8, 3)


def with_attributes(**options):
    """Few weights, more dimensions and attributes than the page shows at first."""
    return models.cvae(COLOURED, 18, "dense", units=(6,), condition_dim=12, seed=0, **options)


def of_maps(**options):
    """A model of maps, with as many attributes."""
    return models.cvae(
        COLOURED,
        3,
        network="conv",
        units=(4, 6),
        condition_dim=12,
        maps=True,
        seed=0,
        **options,
    )
