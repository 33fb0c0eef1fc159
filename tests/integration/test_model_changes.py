"""What is changed in a model after its functions were compiled takes effect, on every path."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_vae import likelihoods, models, objectives, posteriors, schedules

N = 256


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((N, 6)).astype("float32")


def model_of(**options):
    return models.vae((6,), 2, units=(8,), likelihood="normal", seed=0, **options)


def called(model, x):
    return ops.convert_to_numpy(model(x))


def weights_used(history):
    """The weight of the KL that losses and terms tell."""
    terms = zip(*(history[k] for k in ("loss", "reconstruction_loss", "kl_loss")), strict=True)
    return [(loss - reconstruction) / kl for loss, reconstruction, kl in terms]


class Anneal(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.objective.beta = epoch / 2


@pytest.mark.parametrize("fast", [True, False])
class TestNumbersOfParts:
    def test_set_by_a_callback(self, x, fast):
        history = model_of().fit(x, epochs=3, callbacks=[Anneal()], verbose=0, fast=fast).history
        np.testing.assert_allclose(weights_used(history), [0.0, 0.5, 1.0], atol=1e-3)

    def test_set_between_two_fits(self, x, fast):
        model = model_of()
        model.fit(x, verbose=0, fast=fast)
        model.objective.beta = 10.0
        history = model.fit(x, verbose=0, fast=fast).history
        np.testing.assert_allclose(weights_used(history), [10.0], rtol=1e-3)
        losses = model.evaluate(x, verbose=0)
        np.testing.assert_allclose((losses[0] - losses[1]) / losses[2], 10.0, rtol=1e-3)

    def test_another_objective(self, x, fast):
        model = model_of()
        model.fit(x, verbose=0, fast=fast)
        model.objective = objectives.ELBO(beta=5.0)
        history = model.fit(x, verbose=0, fast=fast).history
        np.testing.assert_allclose(weights_used(history), [5.0], rtol=1e-3)

    def test_a_schedule_is_changed(self, x, fast):
        model = model_of(beta=schedules.Linear(2.0, 2.0, 10))
        model.fit(x, verbose=0, fast=fast)
        model.objective.beta.end = model.objective.beta.start = 4.0
        history = model.fit(x, verbose=0, fast=fast).history
        np.testing.assert_allclose(weights_used(history), [4.0], rtol=1e-3)

    def test_freezing_needs_another_compile(self, x, fast):
        model = model_of()
        model.fit(x, verbose=0, fast=fast)
        model.encoder.trainable = False
        with pytest.raises(ValueError, match="call `model.compile"):
            model.fit(x, verbose=0, fast=fast)
        model.compile("adam")
        before = model.encoder.get_weights()
        model.fit(x, verbose=0, fast=fast)
        for one, other in zip(before, model.encoder.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_terms_of_another_objective_are_logged(x):
    model = model_of()
    model.fit(x, verbose=0)
    model.objective = objectives.MMD(10.0)
    assert set(model.fit(x, verbose=0).history) == {"loss", "reconstruction_loss", "mmd_loss"}
    model.objective.kl_weight = 1.0
    model.fit(x, verbose=0)


@pytest.mark.once
def test_a_variable_in_an_objective_is_refused(x):
    model = model_of()
    model.objective.beta = keras.Variable(1.0)
    with pytest.raises(ValueError, match="schedules.Linear.*ELBO.beta"):
        model.fit(x, verbose=0)


def test_a_part_that_counts_compiles_nothing_again(x):
    class Counting(objectives.ELBO):
        count = 0

        def __call__(self, evidence):
            self.count += 1
            return super().__call__(evidence)

    model = model_of(objective=Counting())
    model.fit(x, verbose=0, batch_size=64, fast=False)
    version = model.python_state
    model.fit(x, verbose=0, batch_size=64, fast=False)
    assert model.python_state == version


class TestLikelihoods:
    def test_a_fixed_variance(self, x):
        model = models.vae((6,), 2, units=(8,), likelihood=likelihoods.Normal(1.0), seed=0)
        z = model.encode(x)
        error = np.sum((x - model.decode(z)) ** 2, axis=-1)
        for variance in (1.0, 0.25):
            model.likelihood.variance = variance
            right = -0.5 * error / variance - 3 * np.log(2 * np.pi * variance)
            np.testing.assert_allclose(model.log_px(x, z), right, rtol=1e-4)

    @pytest.mark.once
    def test_a_variance_of_another_kind_is_refused(self):
        for before, after in ((1.0, "learned"), ("optimal", 1.0), (1.0, -1.0), ("learned", 2.0)):
            likelihood = likelihoods.Normal(before)
            with pytest.raises(ValueError, match="model.likelihood = "):
                likelihood.variance = after

    @pytest.mark.once
    def test_the_constant_of_logcosh_follows(self):
        changed, new = likelihoods.LogCosh(10.0), likelihoods.LogCosh(2.0)
        changed.a = 2.0
        values = np.ones((1, 3), "float32"), np.zeros((1, 1, 3), "float32")
        one, other = (ops.convert_to_numpy(p.log_prob(*values)) for p in (changed, new))
        np.testing.assert_array_equal(one, other)

    def test_another_likelihood(self, x):
        model = models.vae((6,), 2, units=(8,), seed=0)
        model.reconstruct(x)
        model.likelihood = "normal"
        np.testing.assert_allclose(model.reconstruct(x), called(model, x), atol=1e-5)


def dense(last=6, seed=0):
    kernel = keras.initializers.GlorotUniform(seed)
    return keras.Sequential([keras.Input((2,)), layers.Dense(last, kernel_initializer=kernel)])


class TestParts:
    def test_another_decoder(self, x):
        model = model_of()
        before = model.reconstruct(x), model.sample(3, seed=0)
        model.decoder = dense()
        assert not np.allclose(before[0], model.reconstruct(x))
        np.testing.assert_allclose(model.reconstruct(x), called(model, x), atol=1e-5)
        np.testing.assert_allclose(model.predict(x, verbose=0), called(model, x), atol=1e-5)
        assert not np.allclose(before[1], model.sample(3, seed=0))
        # The old decoder is gone from what is trained and saved.
        assert len(model.decoder.weights) == 2 and model.count_params() == sum(
            w.size for w in model.get_weights()
        )
        assert not any("dense_9" in v.path for v in model.variables)
        model.fit(x, verbose=0)
        np.testing.assert_allclose(model.reconstruct(x), called(model, x), atol=1e-5)

    def test_the_order_of_weights_is_that_of_a_new_model(self, x):
        model = model_of()
        model.decoder, model.encoder = dense(), model_of().encoder
        other = type(model).from_config(model.get_config())
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(other.reconstruct(x), model.reconstruct(x))

    def test_what_does_not_fit_changes_nothing(self, x):
        model = model_of()
        before, layers_before = model.reconstruct(x), len(model.layers)
        wide = keras.Sequential([keras.Input((6,)), layers.Dense(5)])
        for name, part in (
            ("decoder", dense(7)),
            ("encoder", wide),
            ("posterior_layer", posteriors.DiagonalNormal(3)),
            ("objective", objectives.ELBO),
        ):
            old = getattr(model, name)
            with pytest.raises(ValueError):
                setattr(model, name, part)
            assert getattr(model, name) is old
        np.testing.assert_array_equal(before, model.reconstruct(x))
        assert len(model.layers) == layers_before

    def test_another_activation(self, x):
        model = model_of()
        for width in (1, 5):
            model.reconstruct(x[:width]), model.encode(x[:width])
        before = model.encode(x)
        for layer in model.encoder.layers:
            if isinstance(layer, layers.Dense):
                layer.activation = keras.activations.tanh
        assert not np.allclose(before, model.encode(x))
        np.testing.assert_allclose(model.reconstruct(x), called(model, x), atol=1e-5)

    def test_a_layer_added_to_a_sequential(self, x):
        model = model_of()
        model.decoder = decoder = dense()
        model.reconstruct(x)
        decoder.add(layers.Rescaling(2.0))
        np.testing.assert_allclose(model.reconstruct(x), called(model, x), atol=1e-5)

    def test_another_dtype_policy(self, x):
        model = model_of()
        before = model.reconstruct(x)
        for layer in model.decoder.layers:
            layer.dtype_policy = "mixed_bfloat16"
        assert not np.array_equal(before, model.reconstruct(x))
        np.testing.assert_allclose(model.reconstruct(x), called(model, x), atol=2e-2)

    def test_quantization(self, x):
        model = model_of()
        before = model.reconstruct(x)
        model.quantize("int8")
        assert not np.array_equal(before, model.reconstruct(x))
        np.testing.assert_allclose(model.reconstruct(x), called(model, x), atol=1e-4)


def test_training_and_inference_leave_the_version_as_it_is(x):
    model = model_of()
    model.fit(x, verbose=0, fast=False)
    model.reconstruct(x)
    version = model.python_state
    model.fit(x, verbose=0, validation_data=x, fast=True)
    model.encode(x), model.sample(2), model.log_likelihood(x[:3], 5), model.evaluate(x, verbose=0)
    model(x[:1])
    assert model.python_state == version
