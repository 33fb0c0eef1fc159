"""Shared by tests: COLOURED, with_attributes."""

from keras_vae import models

COLOURED = (8, 8, 3)


def with_attributes(**options):
    """Few weights, more dimensions and attributes than the page shows at first."""
    return models.cvae(COLOURED, 18, "dense", units=(6,), condition_dim=12, seed=0, **options)
