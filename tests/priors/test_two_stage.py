"""The prior of two stages: exact where it is linear, its bound, training, models that use it."""

import keras
import numpy as np
import pytest

from keras_vae import likelihoods, models, priors, zoo
from tests.support import SHAPE, array, make_images, reference, tensor

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns


def linear(d=3, samples=50):
    """A second stage without hidden layers and with the exact posterior, and p(z) of it."""
    rng = np.random.default_rng(3)
    # Orthogonal columns, so that the exact posterior is diagonal.
    weights = np.linalg.qr(rng.normal(size=(d, d)))[0] * [1.5, 0.7, 0.3]
    bias, variance = rng.normal(size=d), 0.4
    prior = priors.TwoStage(d, units=(), samples=samples, seed=0)
    _, covariance = reference.linear_gaussian_posterior(np.zeros((1, d)), weights, bias, variance)
    gain = weights @ covariance / variance
    prior.decoder.set_weights([weights.T, bias])
    raw = 10 * np.arctanh(np.log(np.diag(covariance)) / 10)
    prior.projection.set_weights(
        [np.hstack([gain, np.zeros((d, d))]), np.concatenate([-bias @ gain, raw])]
    )
    prior.raw_log_var.assign(10 * np.arctanh(np.log(variance) / 10))
    mean, deviation = np.array([1.0, -2.0, 0.5]), np.array([0.5, 2.0, 3.0])
    prior.mean.assign(mean)
    prior.deviation.assign(deviation)
    z = rng.normal(size=(20, d))
    log_pz = reference.linear_gaussian(z, weights, bias, variance) - np.log(deviation).sum()
    moments = mean + deviation * bias, deviation * (weights @ weights.T) * deviation[:, None]
    moments[1][np.diag_indices(d)] += variance * deviation**2
    return prior, (mean + deviation * z).astype("float32"), log_pz, moments


class TestLinear:
    def test_the_density_is_exact_where_the_posterior_is(self):
        prior, z, log_pz, _ = linear()
        np.testing.assert_allclose(
            array(prior.distribution().log_prob(tensor(z))), log_pz, atol=1e-3
        )
        several = array(prior.distribution().log_prob(tensor(z.reshape(4, 5, 3))))
        np.testing.assert_allclose(several, log_pz.reshape(4, 5), atol=1e-3)

    def test_the_density_is_a_lower_bound_elsewhere(self):
        prior, z, log_pz, _ = linear()
        kernel, bias = prior.projection.get_weights()
        prior.projection.set_weights([kernel, bias + [0.5, 0.5, 0.5, 0.0, 0.0, 0.0]])
        bounds = []
        for samples in (1, 1000):
            prior.samples = samples
            bounds.append(array(prior.distribution().log_prob(tensor(z))).mean())
        assert bounds[0] < log_pz.mean() - 0.3
        np.testing.assert_allclose(bounds[1], log_pz.mean(), atol=0.1)

    def test_the_loss_is_minus_the_bound_in_units_of_the_moments(self):
        """With the exact posterior the evidence lower bound is the evidence, in the mean."""
        prior, z, log_pz, _ = linear()
        rng = np.random.default_rng(0)
        losses = [
            array(prior.training_loss(tensor(z), None, tensor(rng.standard_normal(z.shape)), None))
            for _ in range(200)
        ]
        expected = -log_pz - np.log(array(prior.deviation)).sum()
        spread = np.std(losses, axis=0) / np.sqrt(200)
        assert (np.abs(np.mean(losses, axis=0) - expected) < 4.5 * spread + 1e-3).all()

    def test_samples_have_its_moments(self):
        prior, _, _, (mean, covariance) = linear()
        drawn = prior.sample(40_000, np.random.default_rng(0))
        error = 4 * np.sqrt(np.diag(covariance) / 40_000)
        assert (np.abs(drawn.mean(0) - mean) < error).all()
        np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.05 * covariance.max())
        np.testing.assert_allclose(array(prior.distribution().center), mean, atol=1e-5)
        noise = np.random.default_rng(0).standard_normal((9, 6), dtype="float32")
        found = array(prior.distribution().transform(tensor(noise)))
        np.testing.assert_allclose(prior.sample(9, np.random.default_rng(0)), found, atol=1e-6)


class TestModels:
    def test_it_learns_codes_that_are_not_normal(self):
        """Codes in two clusters: few samples between them, where a normal has a third."""
        rng = np.random.default_rng(0)
        x = 3.0 * rng.choice([-1.0, 1.0], (512, 1)) + 0.3 * rng.normal(size=(512, 1))
        likelihood = likelihoods.Normal(data_range=None)
        model = models.autoencoder((1,), 1, units=(), likelihood=likelihood, seed=0)
        # The code is x itself.
        model.posterior_layer.set_weights([np.eye(1), np.zeros(1)])
        model.decoder.set_weights([np.eye(1), np.zeros(1)])
        keras.utils.set_random_seed(0)
        optimizer = keras.optimizers.Adam(1e-2)
        model.fit_sampler(x, "two_stage", epochs=150, optimizer=optimizer)
        assert isinstance(model.prior, priors.TwoStage) and not model.prior.trainable_variables
        drawn = model.sample(2000, seed=0)[:, 0]
        assert (np.abs(drawn) < 1.5).mean() < 0.15
        assert (drawn > 0.0).mean() == pytest.approx((x > 0.0).mean(), abs=0.1)
        assert np.abs(drawn).mean() == pytest.approx(3.0, abs=0.5)

    def test_a_model_with_it(self, tmp_path):
        x = make_images(np.random.default_rng(0), 64)
        model = models.vae(SHAPE, 2, units=(8,), seed=0)
        model.fit(x, epochs=2, verbose=0)
        before = model.decode(np.zeros((1, 2)))
        history = model.fit_sampler(x, "two_stage", epochs=2).prior
        assert history is model.prior
        np.testing.assert_array_equal(model.decode(np.zeros((1, 2))), before)
        bound = model.log_likelihood(x[:3], 50, verbose=False)
        assert np.isfinite(bound).all() and np.isfinite(model.evaluate(x, verbose=0)).all()
        again = model.fit_prior(x, epochs=30, verbose=0).history["loss"]
        assert again[-1] < again[0] - 0.05
        model.save(tmp_path / "model.keras")
        zoo.save(model, tmp_path / "preset")
        for other in (
            keras.models.load_model(tmp_path / "model.keras"),
            zoo.load(tmp_path / "preset"),
        ):
            np.testing.assert_array_equal(other.sample(5, seed=1), model.sample(5, seed=1))
            np.testing.assert_allclose(
                other.log_likelihood(x[:3], 5, verbose=False),
                model.log_likelihood(x[:3], 5, verbose=False),
                rtol=1e-5,
            )
        # Training the model goes on against N(0, I).
        assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()

    def test_what_it_refuses(self):
        model = models.cvae(SHAPE, 2, units=(8,), num_classes=2)
        x = make_images(np.random.default_rng(0), 8)
        before = model.prior
        with pytest.raises(ValueError, match="second stage takes no condition.*Labels"):
            model.fit_sampler(x, "two_stage", np.arange(8) % 2)
        assert model.prior is before
        with pytest.raises(ValueError, match="`samples` must be"):
            priors.TwoStage(2, samples=0)
