"""Shared by tests: COLOURED, with_attributes, of_maps."""

import numpy as np

from keras_vae import models, priors

COLOURED = (8, 8, 3)


def with_attributes(**options):
    """Few weights, more dimensions and attributes than the page shows at first."""
    return models.cvae(COLOURED, 18, "dense", units=(6,), condition_dim=12, seed=0, **options)


def of_maps(**options):
    """A model of maps with as many attributes, whose prior carries codes from some to others."""
    prior = priors.FlowMatching((2, 2, 3), 12, 8, 1, 2, steps=3, transport_guidance=2.0, seed=0)
    rng = np.random.default_rng(1)
    # Its last layer starts at 0, which carries nothing anywhere.
    prior.set_weights([w + rng.normal(0, 0.2, w.shape) for w in prior.get_weights()])
    return models.cvae(
        COLOURED,
        3,
        network="conv",
        units=(4, 6),
        condition_dim=12,
        maps=True,
        prior=prior,
        seed=0,
        **options,
    )
