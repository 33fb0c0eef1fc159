"""`fit` on this backend: one step by hand, and everything a Keras model has."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, models
from tests.support import SHAPE, array, reference


def tiny(**kwargs):
    return models.vae(SHAPE, 2, **{"units": (8,), "seed": 0, **kwargs})


class PlainVAE(keras.Model):
    """The same loss through Keras' own hook, to compare the adapters with."""

    def __init__(self, model):
        super().__init__()
        self.model = model

        self.built = True

    def call(self, x):
        losses, _ = self.model.objective(self.model.evidence(x, training=True))
        return losses

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        return ops.mean(y_pred)


def test_one_step_is_plain_gradient_descent(rng):
    """A linear VAE, SGD: the new weights equal those of the gradient by hand."""
    model = models.vae((5,), 2, units=(), seed=0)
    x = (rng.random((4, 5)) < 0.5).astype("float32")
    kernel, bias = (array(w) for w in model.posterior_layer.get_weights())
    weights, out_bias = (array(w) for w in model.decoder.get_weights())

    noise = {}
    original = type(model).evidence

    def fixed(self, x, condition=None, training=False, noise_=None):
        values = np.random.default_rng(0).standard_normal((1, 4, 2), "float32")
        noise["values"] = values
        return original(self, x, condition, training, ops.convert_to_tensor(values))

    model.evidence = fixed.__get__(model)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    loss = model.fit(x, batch_size=4, verbose=0, shuffle=False).history["loss"][0]

    def value(kernel, bias, weights, out_bias):
        mean, raw = np.split(x @ kernel + bias, 2, axis=-1)
        log_var = 10 * np.tanh(raw / 10)
        z = mean + np.exp(log_var / 2) * noise["values"][0]
        nll = -reference.bernoulli_log_prob(x, z @ weights + out_bias).sum(-1)
        return (nll + reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)).mean()

    start = [kernel, bias, weights, out_bias]
    assert loss == pytest.approx(value(*start), rel=1e-5)
    trained = [array(w) for w in model.posterior_layer.get_weights() + model.decoder.get_weights()]
    for i, parameter in enumerate(start):
        gradient = np.zeros_like(parameter)
        for index in np.ndindex(parameter.shape):
            step = np.zeros_like(parameter)
            step[index] = 1e-5
            up, down = (
                value(*(p + s * step if j == i else p for j, p in enumerate(start)))
                for s in (1, -1)
            )
            gradient[index] = (up - down) / 2e-5
        np.testing.assert_allclose(trained[i], parameter - 0.1 * gradient, atol=2e-5)


def test_it_equals_a_plain_compute_loss_override(images):
    """Same weights, same noise, Adam, several steps: no difference."""
    ours, theirs = tiny(), tiny()
    plain = PlainVAE(theirs)
    for model in (ours, plain):
        model.compile(optimizer=keras.optimizers.Adam(1e-2))
    history = ours.fit(images, batch_size=16, epochs=2, verbose=0, shuffle=False).history
    other = plain.fit(images, batch_size=16, epochs=2, verbose=0, shuffle=False).history
    np.testing.assert_allclose(history["loss"], other["loss"], rtol=1e-6)
    for mine, yours in zip(ours.get_weights(), theirs.get_weights()):
        if mine.shape:
            np.testing.assert_allclose(mine, yours, atol=1e-6)


def test_logs_and_history(images):
    model = tiny()
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: seen.append(logs))
    history = model.fit(
        images,
        batch_size=48,
        epochs=2,
        validation_data=images[:5],
        callbacks=[callback],
        verbose=0,
    ).history
    names = {"loss", "reconstruction_loss", "kl_loss"}
    assert set(history) == names | {f"val_{n}" for n in names}
    assert [s["loss"] for s in seen] == history["loss"]
    for loss, nll, kl in zip(*(history[n] for n in ("loss", "reconstruction_loss", "kl_loss"))):
        assert loss == pytest.approx(nll + kl, rel=1e-5)
    assert int(array(model.step)) == 4


def test_it_learns(images):
    model = tiny(units=(32,))
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    first = model.evaluate(images, verbose=0, return_dict=True)["loss"]
    model.fit(images, epochs=30, verbose=0)
    assert model.evaluate(images, verbose=0, return_dict=True)["loss"] < 0.6 * first


def test_a_batch_of_one(images):
    model = tiny(likelihood="normal", network="conv", units=(4,))
    losses = model.fit(images[:3], batch_size=1, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    logs = model.evaluate(images[:1], verbose=0, return_dict=True)
    assert np.isfinite(list(logs.values())).all()


def test_sample_weights(images):
    """Weight 0 hides an example; weight w counts it w times."""
    weights = np.zeros(64, "float32")
    weights[:32] = 1.0
    hidden, alone = tiny(beta=0.0), tiny(beta=0.0)
    for model in (hidden, alone):
        model.posterior_layer.set_weights([w * 0 for w in model.posterior_layer.get_weights()])
        model.posterior_layer.trainable = model.encoder.trainable = False
        model.decoder.layers[1].kernel.assign(model.decoder.layers[1].kernel * 0)
        model.compile(optimizer=keras.optimizers.SGD(0.02))
    # With a code that nothing reads the noise makes no difference.
    first = hidden.fit(images, sample_weight=weights, batch_size=64, verbose=0, shuffle=False)
    half = alone.fit(
        images[:32], sample_weight=0.5 * weights[:32], batch_size=32, verbose=0, shuffle=False
    )
    assert first.history["loss"] == pytest.approx(half.history["loss"], rel=1e-5)
    assert first.history["reconstruction_loss"] == pytest.approx(
        half.history["reconstruction_loss"], rel=1e-5
    )
    for mine, yours in zip(hidden.get_weights(), alone.get_weights()):
        if len(mine.shape) == 1:
            np.testing.assert_allclose(mine, yours, atol=1e-6)


def test_a_frozen_encoder_stays_bit_identical(images):
    model = tiny()
    model.encoder.trainable = False
    before = [w.copy() for w in model.encoder.get_weights()]
    decoder = [w.copy() for w in model.decoder.get_weights()]
    model.fit(images, epochs=2, verbose=0)
    for old, new in zip(before, model.encoder.get_weights()):
        np.testing.assert_array_equal(old, new)
    assert all((o != n).any() for o, n in zip(decoder, model.decoder.get_weights()))


def test_a_learned_variance_finds_the_error(images):
    """Everything else frozen, its optimum is the mean squared error."""
    model = tiny(likelihood="normal")
    kernel, bias = model.posterior_layer.get_weights()
    bias[2:] = -1e3  # hardly any noise, so that the error is a number
    model.posterior_layer.set_weights([kernel, bias])
    for part in (model.encoder, model.posterior_layer, model.decoder):
        part.trainable = False
    model.compile(optimizer=keras.optimizers.Adam(0.1))
    # 250 steps: to begin an epoch takes longer than a step.
    model.fit(np.tile(images, (50, 1, 1, 1)), epochs=5, batch_size=64, verbose=0)
    error = np.mean((model.reconstruct(images) - images) ** 2)
    assert array(model.likelihood.log_var()) == pytest.approx(np.log(error), abs=0.01)


def test_an_optimal_variance_is_tracked_in_training_only(images):
    model = tiny(likelihood=likelihoods.Normal("optimal"))
    model.fit(images, batch_size=16, epochs=1, verbose=0)
    average = array(model.likelihood.average)
    assert array(model.likelihood.updates) == 4 and 0 < average < 1
    model.evaluate(images, verbose=0)
    assert array(model.likelihood.average) == average


def test_gradient_accumulation_is_the_larger_batch(images):
    def train(batch_size, every):
        model = tiny(beta=0.0)
        model.posterior_layer.set_weights([w * 0 for w in model.posterior_layer.get_weights()])
        model.posterior_layer.trainable = model.encoder.trainable = False
        model.decoder.layers[1].kernel.assign(model.decoder.layers[1].kernel * 0)
        model.compile(optimizer=keras.optimizers.SGD(0.01, gradient_accumulation_steps=every))
        model.fit(images, batch_size=batch_size, verbose=0, shuffle=False)
        return model.decoder.layers[-2].get_weights()[1]

    np.testing.assert_allclose(train(16, 4), train(64, None), atol=1e-6)


def test_weight_averaging(images):
    """Keras' moving average: what fit leaves behind is not the last raw weights."""

    def train(**kwargs):
        model = tiny()
        model.compile(optimizer=keras.optimizers.SGD(0.01, **kwargs))
        model.fit(images, batch_size=16, epochs=3, verbose=0, shuffle=False)
        return model.decoder.layers[-2].get_weights()[0]

    raw, averaged = train(), train(use_ema=True, ema_momentum=0.9)
    assert 1e-6 < np.abs(raw - averaged).max() < 0.1


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy, images, tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = tiny(network="conv", units=(4,), hidden=16)
        full = array(model.log_likelihood(images[:4], samples=5, verbose=False))
        history = model.fit(images, batch_size=16, epochs=3, verbose=0).history
    finally:
        keras.config.set_dtype_policy(before)
    if policy == "mixed_float16":
        assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]
    evidence = model.evidence(ops.convert_to_tensor(images))
    for value in (evidence.log_px, evidence.z, evidence.kl):
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
    single = tiny(network="conv", units=(4,), hidden=16)
    exact = single.log_likelihood(images[:4], samples=5, verbose=False)
    np.testing.assert_allclose(full, exact, rtol=0.02)


def test_callbacks_stop_and_restore(images):
    model = tiny()
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    stop = keras.callbacks.EarlyStopping("val_kl_loss", patience=2, min_delta=1e9, mode="min")
    history = model.fit(
        images, validation_data=images[:8], epochs=20, callbacks=[stop], verbose=0
    ).history
    assert len(history["loss"]) == 3


def test_conditional_models_fit_on_pairs(images):
    model = models.cvae(SHAPE, 2, units=(8,), num_classes=4, seed=0)
    y = np.arange(64) % 4
    history = model.fit(images, y, validation_data=(images[:6], y[:6]), verbose=0).history
    assert np.isfinite(history["val_loss"]).all()
    faces = models.cvae(SHAPE, 2, units=(8,), condition_dim=3, seed=0)
    attributes = np.random.default_rng(0).random((64, 3))
    assert np.isfinite(faces.fit(images, attributes, verbose=0).history["loss"]).all()


def test_fresh_noise_every_step_and_the_same_run_twice(images):
    """On each backend; an untracked generator would repeat its noise on JAX."""

    def run():
        model = tiny()
        model.compile(optimizer=keras.optimizers.SGD(0.0))
        return [
            model.fit(images, batch_size=64, verbose=0, shuffle=False).history["loss"][0]
            for _ in range(4)
        ]

    first, second = run(), run()
    assert first == pytest.approx(second, rel=1e-6)
    assert len(set(first)) == 4


def test_regularisation_is_added_once(images):
    model = tiny()
    model.decoder.layers[1].kernel.regularizer = keras.regularizers.L2(0.1)
    logs = model.evaluate(images, verbose=0, return_dict=True)
    penalty = 0.1 * np.sum(array(model.decoder.layers[1].kernel) ** 2)
    rest = logs["reconstruction_loss"] + logs["kl_loss"]
    assert logs["loss"] == pytest.approx(rest + penalty, rel=1e-5)


@pytest.mark.slow
def test_fine_tuning_lowers_the_loss_on_new_data(images):
    model = tiny(units=(32,))
    model.fit(images, epochs=5, verbose=0)
    inverted = 1.0 - images
    before = model.evaluate(inverted, verbose=0, return_dict=True)["loss"]
    model.fit(inverted, epochs=5, verbose=0)
    assert model.evaluate(inverted, verbose=0, return_dict=True)["loss"] < before
