"""Which files a training step of a plain VAE enters: the path that a reader follows."""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import ops

import keras_vae
from keras_vae import models
from tests.support import SHAPE

BACKEND = keras.backend.backend()
ROOT = Path(keras_vae.__file__).parent
# The formula, and the loss: `Evidence` is in `objectives/base.py`, its terms in `elbo.py`.
STEP = {"models/vae.py", "objectives/base.py", "objectives/elbo.py"}
# The parts by their names, and β, which a schedule may change.
PARTS = {
    "posteriors/base.py",
    "posteriors/normal.py",
    "priors/base.py",
    "priors/normal.py",
    "likelihoods/base.py",
    "likelihoods/pixelwise.py",
    "distributions/base.py",
    "distributions/normal.py",
    "distributions/bernoulli.py",
    "layers/latents.py",
    "schedules.py",
}
# One step of the backend; the noise of z; softplus of the Bernoulli.
TRAINING = {f"training/{BACKEND}.py", "training/noise.py", "training/kernels.py"}
if BACKEND != "jax":
    # Whether the backend's own Adam would do the same as the optimizer.
    TRAINING.add("training/adam.py")


def entered(call):
    """The files of keras_vae in which a function is called until `call` returns."""
    called = set()

    def profile(frame, event, argument):
        # Of each call of any library: as little as possible.
        if event == "call":
            called.add(frame.f_code.co_filename)

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    paths = [path for path in map(Path, called) if ROOT in path.parents]
    return {path.relative_to(ROOT).as_posix() for path in paths}


def test_a_step_enters_these_files_only():
    model = models.vae(SHAPE, 2, units=(4,), seed=0)
    model.compile(keras.optimizers.SGD(0.01))
    model.optimizer.build(model.trainable_variables)
    data = (ops.convert_to_tensor(np.zeros((2, *SHAPE), "float32")),)
    state = ()
    if BACKEND == "jax":
        groups = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        state = ([[v.value for v in group] for group in groups],)
    assert entered(lambda: model.train_step(*state, data)) == STEP | PARTS | TRAINING
