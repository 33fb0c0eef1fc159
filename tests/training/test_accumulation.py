"""Gradients accumulated over batches: what counts steps counts those of the optimizer."""

import keras
import numpy as np
import pytest

from keras_vae import models, objectives, schedules
from tests.support import array


def fitted(model, x, batches, together, fast=False, optimizer=None):
    optimizer = optimizer or keras.optimizers.SGD
    model.compile(optimizer(0.1, gradient_accumulation_steps=together))
    size = len(x) // batches
    model.fit(x, batch_size=size, verbose=0, shuffle=False, fast=fast)
    return model


@pytest.mark.parametrize("fast", [False, True])
def test_schedules_count_optimizer_steps(images, fast):
    beta = schedules.Linear(0.0, 1.0, 4)
    model = models.vae((8, 8, 1), 2, units=(4,), beta=beta, seed=0)
    for done in (2, 4):
        fitted(model, images[:12], 6, 3, fast)
        assert int(array(model.step)) == done
        assert int(array(model.optimizer.iterations)) == 2
    fitted(model, images[:12], 6, None, fast)
    assert int(array(model.step)) == 10


def test_a_step_is_counted_when_its_last_batch_is_there(images):
    steps = []

    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if keras.backend.backend() == "jax":
                self.model.jax_state_sync()
            steps.append(int(array(self.model.step)))

    model = models.vae((8, 8, 1), 2, units=(4,), seed=0)
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3))
    model.fit(images[:14], batch_size=2, verbose=0, callbacks=[Note()])
    assert steps == [0, 0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_a_codebook_moves_as_after_one_batch_of_all(codebook):
    x = np.random.default_rng(0).random((16, 8, 8, 1), "float32")
    found = []
    for batches, together in ((2, None), (4, 2)):
        model = models.vq_vae(
            (8, 8, 1), 2, "conv", (4, 4), num_codes=5, revive_after=None, prior_channels=4,
            prior_depth=1, codebook=codebook, commitment=0.0, seed=0,
        )  # fmt: skip
        # The encoder stays where it is, so that both see the same features.
        model.encoder.trainable = False
        fitted(model, x, batches, together)
        assert int(array(model.step)) == 2
        found.append(array(model.quantizer.vectors))
        if codebook == "ema":
            assert float(array(model.quantizer.updates)) == 2.0
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_unused_codes_wait_for_optimizer_steps():
    x = np.random.default_rng(0).random((8, 8, 8, 1), "float32")
    model = models.vq_vae(
        (8, 8, 1), 2, "conv", (4, 4), num_codes=50, revive_after=4, prior_channels=4,
        prior_depth=1, seed=0,
    )  # fmt: skip
    model.quantizer.idle.assign(np.zeros(50))
    fitted(model, x, 4, 2)
    # Two steps, of four batches.
    assert array(model.quantizer.idle).max() == 2.0


def test_a_discriminator_takes_a_step_when_the_model_does(images):
    model = models.factor_vae((8, 8, 1), 2, units=(4,), discriminator_units=(4,), seed=0)
    before = [array(v) for v in model.discriminator.variables]
    fitted(model, images[:8], 1, 2)
    for old, new in zip(before, model.discriminator.variables):
        np.testing.assert_array_equal(array(new), old)
    fitted(model, images[:8], 4, 2)
    assert int(array(model.discriminator_optimizer.iterations)) == 2
    assert any(
        np.abs(array(new) - old).max() > 0
        for old, new in zip(before, model.discriminator.variables)
    )
    fitted(model, images[:8], 2, None)
    assert model.discriminator_optimizer.gradient_accumulation_steps is None


def test_one_step_of_several_batches_is_that_of_one(images):
    """The gradient itself is Keras' own: mean over the batches."""
    found = []
    for batches, together in ((1, None), (4, 4)):
        model = models.autoencoder((8, 8, 1), 2, units=(4,), seed=0)
        assert isinstance(model.objective, objectives.Reconstruction)
        fitted(model, images[:16], batches, together)
        found.append(np.concatenate([array(v).ravel() for v in model.trainable_variables]))
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-4)
