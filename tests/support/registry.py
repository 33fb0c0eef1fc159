"""Every named function of `keras_vae.models` with tiny arguments, for tests of them all."""

import keras
import numpy as np
from keras import ops

from keras_vae import initializers, likelihoods, models
from keras_vae.models.papers import PAPERS
from keras_vae.models.papers.register import HEAD
from tests.support import make_images


def features(shape=(8, 8, 1)):
    """A small network for pictures, the same at every call and on every backend."""
    seeds = initializers.seeds(7)

    def glorot():
        return initializers.GlorotUniform(next(seeds))

    inputs = keras.Input(shape)
    x = keras.layers.Conv2D(3, 3, activation="relu", kernel_initializer=glorot(), name="first")(
        inputs
    )
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(4, kernel_initializer=glorot(), name="second")(x)
    return keras.Model(inputs, x, name="features")


def masked_convolutions():
    """A likelihood whose pixels depend on each other."""
    return likelihoods.MaskedConvolutions(3, 4, before=1, after=1, seed=0)


# What differs from `make(SHAPE, 2, network, units=(8,), seed=0)`; "function:kind" is one
# more model of that function. A paper without a row has its defaults, made small.
ROWS = {
    "adversarial_autoencoder": {"discriminator_units": (4,)},
    "auxiliary_vae": {"num_classes": 3, "auxiliary_dim": 3},
    "categorical_vae": {"classes": 3},
    "contractive_autoencoder": {"units": ()},
    "contractive_autoencoder:products": {},
    "contractive_autoencoder:probes": {"probes": 3},
    "cvae": {"num_classes": 3},
    "denoising_autoencoder:gaussian": {"corruption": "gaussian"},
    "denoising_autoencoder:salt_and_pepper": {"corruption": "salt_and_pepper"},
    "dfc_vae": {"features": features, "feature_layers": ["first", "second"]},
    "dip_vae": {"kind": "ii"},
    "factor_vae": {"discriminator_units": (8, 8)},
    "flow_prior_vae": {"couplings": 2, "hidden_units": 8},
    "flow_vae": {"flows": 2},
    "hierarchical_vae": {"top_dim": 2, "hidden_units": (6,)},
    "iaf_vae": {"steps": 2, "hidden_units": 8, "context_dim": 3},
    "iwae": {"samples": 4, "gradient": "dreg"},
    "joint_vae": {"classes": 3},
    "mixture_vae": {"components": 3},
    "ms_ssim_vae": {"input_shape": (12, 12, 1)},
    "sparse_autoencoder": {"latent_dim": 5, "k": 2, "alpha": 1.5},
    "sparse_autoencoder:kl": {"sparsity": "kl"},
    "sparse_autoencoder:l1": {"sparsity": "l1"},
    "sparse_autoencoder:l2": {"sparsity": "l2", "units": (8,), "layer_weights": [0.5]},
    "structured_vae": {"components": 3, "iterations": 2},
    "swae": {"slices": 50},
    # Features of a discriminator that is learning are no measure of learning.
    "vae_gan": {"pixel_weight": 1.0, "discriminator_units": (4, 4)},
    "vae_gan:hinge": {
        "pixel_weight": 1.0,
        "discriminator_units": (4,),
        "loss": "hinge",
        "adaptive": True,
        "spectral": True,
        "gradient_penalty": 1.0,
    },
    "vae:masked_convolutions": {"likelihood": masked_convolutions},
    "vamp_vae": {"components": 5},
}

# Trained by a procedure of its own, and tested in files of its own.
ELSEWHERE = {"vq_vae", "autoencoder_kl", "autoencoder_tiny", "vq_model"}
# Integers of a paper that are larger become this.
SMALL = 4


def function(name):
    """The name of the function that makes a model of the table."""
    return name.split(":")[0]


def shrunk(paper):
    """The integers among a paper's own defaults, made small."""
    found = {}
    for name, value in paper.defaults.items():
        several = value if isinstance(value, tuple) else (value,)
        if name in HEAD or not all(type(n) is int for n in several):
            continue
        small = tuple(min(n, SMALL) for n in several)
        found[name] = small if isinstance(value, tuple) else small[0]
    return found


def table():
    """What every paper of the register is tested with, those without a row included."""
    without = PAPERS.keys() - ROWS.keys() - ELSEWHERE
    return {**ROWS, **{name: shrunk(PAPERS[name]) for name in sorted(without)}}


TINY = table()

# Those that have no prior until `fit_sampler` gives them one.
NO_PRIOR = {
    name for name in TINY if function(name).endswith("autoencoder") or name.startswith("rae_")
} - {"adversarial_autoencoder"}
LABELLED = {"auxiliary_vae", "cvae"}

# Those that give no bound on log p(x), and what says so.
NO_BOUND = {
    **dict.fromkeys(NO_PRIOR, "without noise"),
    "adversarial_autoencoder": "without noise",
    "dfc_vae": "no density of x",
    "ms_ssim_vae": "no density of x",
    "swae": "without noise",
    "wae_mmd": "without noise",
}


def make(name, network="dense", **kwargs):
    """A tiny model of that name."""
    options = {k: v() if callable(v) else v for k, v in table()[name].items()}
    if network == "conv":
        # One layer each beside what the table says of dense ones.
        options.update({"hidden": 8, "units": (8,)})
        if "layer_weights" in options:
            options["layer_weights"] = [0.5, 0.5]
    arguments = {"input_shape": (8, 8, 1), "latent_dim": 2, "units": (8,), "seed": 0}
    named = PAPERS[function(name)].function
    return named(**{**arguments, "network": network, **options, **kwargs})


def data(name, n=15):
    """Pictures, some of whose values are missing where the model allows it, and labels."""
    rng = np.random.default_rng(3)
    x = make_images(rng, n, table()[name].get("input_shape", (8, 8, 1)))
    if name == "miwae":
        x = models.mark_missing(x, rng.random(x.shape) < 0.3)
    return x, (np.arange(n) % 3 if name in LABELLED else None)


def evidence(model, x, y, noise, training):
    """One forward pass with all noise given."""
    y = None if y is None else ops.convert_to_tensor(y)
    corruption = model.corruption if model.denoises else None
    if corruption is not None:
        corruption.noise = fixed_uniform
    found = model.evidence(ops.convert_to_tensor(x), y, training, noise)
    if corruption is not None:
        # Only here: what follows may train the model, and draws for itself.
        del corruption.noise
    fixed = {"normal": _fixed_normal, "step": 3}
    return found._replace(**{k: v for k, v in fixed.items() if k in found._fields})


def _fixed_normal(shape):
    rng = np.random.default_rng(1)
    return ops.convert_to_tensor(rng.standard_normal(tuple(map(int, shape)), "float32"))


def fixed_uniform(shape, seed):
    rng = np.random.default_rng(2)
    return ops.convert_to_tensor(rng.random(tuple(map(int, shape)), "float32"))
