"""A prior p(z|y) that is learned, and a schedule of the units that a sparse code keeps."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models, posteriors, priors, schedules, zoo
from keras_vae.export.signatures import signatures
from keras_vae.posteriors import largest
from tests.support import array, reference

pytestmark = pytest.mark.turns


@pytest.fixture
def labels():
    return np.arange(64) % 3


@pytest.fixture
def model():
    model = models.cvae((8, 8, 1), 2, units=(6,), num_classes=3, prior="learned", seed=0)
    rng = np.random.default_rng(2)
    for v in model.prior.trainable_variables:
        v.assign(v + 0.5 * rng.standard_normal(v.shape))
    return model


def parameters(prior, condition):
    """Mean and log-variance of `ConditionalNormal` in NumPy."""
    (k1, k2), (b1, b2) = (
        [array(v) for v in values] for values in (prior.network.kernels, prior.network.biases)
    )
    mean, raw = np.split(np.tanh(condition @ k1 + b1) @ k2 + b2, 2, axis=-1)
    return mean, 10.0 * np.tanh(raw / 10.0)


class TestConditionalNormal:
    def test_the_divergence_is_the_closed_form(self, model, images, labels):
        evidence = model.evidence(ops.convert_to_tensor(images), ops.convert_to_tensor(labels))
        q = model.posterior(images, labels)
        mean, log_var = parameters(model.prior, np.eye(3)[labels])
        wanted = reference.normal_kl(q.mean, q.log_var, mean, log_var).sum(-1)
        _, terms = model.objective(evidence)
        np.testing.assert_allclose(array(terms["kl_loss"]), wanted, rtol=1e-4, atol=1e-4)

    def test_the_bound_is_that_of_numpy(self, model, images, labels):
        x, y = images[:6], labels[:6]
        found = model.log_likelihood(x, samples=3, condition=y, seed=5, verbose=False)
        q = model.posterior(x, y)
        # One call of the compiled function: its noise is the generator's first.
        noise = np.random.default_rng(5).standard_normal((3, 6, 2), "float32")
        z = q.mean + np.exp(0.5 * q.log_var) * noise
        log_px = np.stack([model.log_px(x, codes, y) for codes in z.astype("float32")])
        log_pz = reference.normal_log_prob(z, *parameters(model.prior, np.eye(3)[y])).sum(-1)
        log_qz = reference.normal_log_prob(z, q.mean, q.log_var).sum(-1)
        wanted = reference.logmeanexp(log_px + log_pz - log_qz)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)

    def test_samples_are_those_of_their_condition(self, model):
        condition = np.repeat(np.eye(3, dtype="float32"), 4000, axis=0)
        z = model.prior.sample(12000, np.random.default_rng(0), condition).reshape(3, 4000, 2)
        mean, log_var = parameters(model.prior, np.eye(3))
        error = np.exp(0.5 * log_var) / 4000**0.5
        assert (np.abs(z.mean(1) - mean) < 5 * error).all()
        np.testing.assert_allclose(z.std(1), np.exp(0.5 * log_var), rtol=0.06)
        assert model.sample(4, condition=1, seed=0).shape == (4, 8, 8, 1)
        apart = model.sample(1, condition=0, seed=0) - model.sample(1, condition=1, seed=0)
        assert np.abs(apart).max() > 0

    def test_it_learns_what_the_condition_says_of_the_code(self, images, labels):
        model = models.cvae((8, 8, 1), 2, units=(6,), num_classes=3, prior="learned", seed=0)
        before = [array(v) for v in model.prior.trainable_variables]
        model.compile(keras.optimizers.Adam(1e-2))
        model.fit(images, labels, batch_size=16, epochs=2, verbose=0)
        for old, new in zip(before, model.prior.trainable_variables):
            assert np.abs(array(new) - old).max() > 1e-3

    def test_saving(self, model, images, labels, tmp_path):
        model.save(tmp_path / "m.keras")
        again = keras.saving.load_model(tmp_path / "m.keras")
        assert isinstance(again.prior, priors.ConditionalNormal)
        for loaded, saved in zip(again.prior.get_weights(), model.prior.get_weights()):
            np.testing.assert_array_equal(loaded, saved)
        np.testing.assert_allclose(
            again.sample(3, condition=[0, 1, 2], seed=1),
            model.sample(3, condition=[0, 1, 2], seed=1),
            atol=1e-6,
        )

    def test_a_preset(self, model, tmp_path):
        zoo.save(model, tmp_path / "preset")
        again = zoo.load(tmp_path / "preset", compile=False)
        for loaded, saved in zip(again.prior.get_weights(), model.prior.get_weights()):
            np.testing.assert_array_equal(loaded, saved)

    def test_an_exported_sample_takes_noise_and_condition(self, model, rng):
        signature = signatures(model)["sample"]
        assert set(signature.inputs) == {"noise", "condition"}
        noise, condition = rng.standard_normal((3, 2)).astype("float32"), np.int32([0, 1, 2])
        found = signature.call(ops.convert_to_tensor(noise), ops.convert_to_tensor(condition))
        mean, log_var = parameters(model.prior, np.eye(3))
        wanted = model.decode((mean + np.exp(0.5 * log_var) * noise).astype("float32"), condition)
        np.testing.assert_allclose(array(found["image"]), wanted, atol=1e-5)
        np.testing.assert_allclose(
            signature.reference(noise, condition)["image"], wanted, atol=1e-5
        )

    def test_vectors_as_conditions(self, images, rng):
        model = models.cvae((8, 8, 1), 2, units=(6,), condition_dim=4, prior="learned", seed=0)
        y = rng.random((64, 4)).astype("float32")
        assert np.isfinite(model.log_likelihood(images, 3, y, verbose=False)).all()
        assert model.posterior(images, y).kl(model.prior_of(y, 64)).shape == (64,)

    def test_errors(self):
        with pytest.raises(ValueError, match="`prior` must be 'learned'.*Received: prior='flow'"):
            models.cvae((8, 8, 1), 2, num_classes=3, prior="flow")
        with pytest.raises(ValueError, match="prior must take the model's conditions.*5 and 3"):
            models.cvae((8, 8, 1), 2, num_classes=3, prior=priors.ConditionalNormal(2, 5))
        with pytest.raises(ValueError, match="prior must take the model's conditions.*5 and None"):
            models.vae((8, 8, 1), 2, prior=priors.ConditionalNormal(2, 5))
        with pytest.raises(ValueError, match="This prior is conditional.*Received: condition=None"):
            priors.ConditionalNormal(2, 5).distribution()


class TestScheduleOfK:
    def kept(self, posterior, code, step=None):
        if step is None:
            q = posterior.distribution(code)
        else:
            q = posterior.training_distribution(ops.convert_to_tensor(np.int32(step)), code)
        return array(q.mean)

    def test_the_number_of_units_falls(self, rng):
        code = rng.standard_normal((6, 20)).astype("float32")
        posterior = posteriors.SparsePoint(20, schedules.Linear(18.0, 4.0, 10), alpha=1.5)
        for step, k in ((0, 18), (5, 11), (10, 4), (1000, 4)):
            found = self.kept(posterior, ops.convert_to_tensor(code), step)
            wanted = np.where(code >= np.sort(code)[:, -k][:, None], code, 0.0)
            np.testing.assert_allclose(found, wanted, atol=1e-7)
        outside = self.kept(posterior, ops.convert_to_tensor(code))
        np.testing.assert_allclose(outside, array(largest(ops.convert_to_tensor(code), 6)))

    def test_exactly_k_of_equal_units(self):
        posterior = posteriors.SparsePoint(5, schedules.Linear(3.0, 2.0, 2))
        ones = ops.ones((1, 5))
        assert self.kept(posterior, ones, 0).sum() == 3
        assert self.kept(posterior, ones, 9).sum() == 2

    def test_a_schedule_beyond_the_units_keeps_all(self):
        posterior = posteriors.SparsePoint(5, schedules.Linear(9.0, 2.0, 7))
        assert self.kept(posterior, ops.ones((1, 5)), 0).sum() == 5

    def test_fit_and_saving(self, images, tmp_path):
        k = schedules.Linear(8.0, 2.0, 6)
        model = models.sparse_autoencoder((8, 8, 1), 10, k=k, seed=0)
        model.compile(keras.optimizers.Adam(1e-2))
        losses = model.fit(images, epochs=4, batch_size=32, verbose=0).history["loss"]
        assert np.isfinite(losses).all()
        assert ((model.encode(images) != 0).sum(-1) <= 2).all()
        model.save(tmp_path / "m.keras")
        again = keras.saving.load_model(tmp_path / "m.keras")
        assert again.posterior_layer.k == k
        np.testing.assert_allclose(again.encode(images), model.encode(images), atol=1e-6)

    @pytest.mark.once
    def test_a_schedule_that_ends_nowhere_is_refused(self):
        for end in (0.2, 21.0):
            with pytest.raises(ValueError, match="Schedule that ends at one. Received: k="):
                posteriors.SparsePoint(20, schedules.Linear(10.0, end, 5))
