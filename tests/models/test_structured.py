"""Structured VAE: the local mean field against NumPy, closed forms and an exact posterior."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import distributions, likelihoods, models, objectives, priors
from tests.support import SHAPE, array, reference, tensor

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns


def made_up(rng, n=5, k=4, d=3):
    """Potentials and a mixture: tensors, and the same in NumPy."""
    m, log_v = rng.normal(size=(n, d)), 0.5 * rng.normal(size=(n, d))
    weights = rng.dirichlet(np.full(k, 2.0))
    mean, log_var = 1.5 * rng.normal(size=(k, d)), 0.5 * rng.normal(size=(k, d))
    potential = distributions.Normal(tensor(m), tensor(log_v))
    mixture = distributions.Mixture(tensor(np.log(weights)), tensor(mean), tensor(log_var))
    return potential, mixture, (m, np.exp(log_v)), (weights, mean, np.exp(log_var))


def steps(potential, mixture, iterations):
    """Means, variances of q(z) and r after each iteration, loop by loop."""
    (m, v), (weights, mean, variance) = potential, mixture
    r, found = np.tile(weights, (len(m), 1)), []
    for _ in range(iterations):
        q_mean, q_variance = np.zeros(m.shape), np.zeros(m.shape)
        for i in range(len(m)):
            precision = 1 / v[i] + sum(r[i, k] / variance[k] for k in range(len(weights)))
            pull = m[i] / v[i]
            pull = pull + sum(r[i, k] * mean[k] / variance[k] for k in range(len(weights)))
            q_mean[i], q_variance[i] = pull / precision, 1 / precision
        # log w_k + E_q log N(z; k), without the entropy of q, which all have.
        apart = np.square(q_mean[:, None] - mean) + q_variance[:, None]
        scores = np.log(weights) - 0.5 * (np.log(variance) + apart / variance).sum(-1)
        r = np.exp(scores - scores.max(-1, keepdims=True))
        r /= r.sum(-1, keepdims=True)
        found.append((q_mean, q_variance, r))
    return found


def local_bound(q_mean, q_variance, r, potential, mixture):
    """E[log ψ(z) p(z, k) / (q(z) q(k))], `(n,)`."""
    (m, v), (weights, mean, variance) = potential, mixture
    told = -0.5 * ((np.square(q_mean - m) + q_variance) / v).sum(-1)
    kl = reference.normal_kl(
        q_mean[:, None], np.log(q_variance)[:, None], mean, np.log(variance)
    ).sum(-1)
    return told - (r * (np.log(r + 1e-300) - np.log(weights) + kl)).sum(-1)


class TestLocalMeanField:
    @pytest.mark.parametrize("iterations", [1, 2, 7])
    def test_it_is_numpy_s(self, iterations, rng):
        potential, mixture, *numbers = made_up(rng)
        q = objectives.local_mean_field(potential, mixture, iterations)
        mean, variance, r = steps(*numbers, iterations)[-1]
        np.testing.assert_allclose(array(q.mean), mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.exp(array(q.log_var)), variance, rtol=1e-4)
        np.testing.assert_allclose(array(mixture.responsibilities(q)), r, rtol=1e-3, atol=1e-5)

    def test_no_iteration_lowers_the_local_bound(self, rng):
        for _ in range(5):
            potential, mixture, *numbers = made_up(rng)
            bounds = []
            for iterations in range(1, 9):
                q = objectives.local_mean_field(potential, mixture, iterations)
                r = array(mixture.responsibilities(q))
                values = array(q.mean), np.exp(array(q.log_var)), r
                bounds.append(local_bound(*values, *numbers))
            rises = np.diff(bounds, axis=0)
            assert (rises > -1e-4).all()
            assert rises[0].max() > 1e-3 and rises[-1].max() < rises[0].max()

    def test_at_the_fixed_point_another_iteration_changes_nothing(self, rng):
        potential, mixture, *_ = made_up(rng)
        many, more = (objectives.local_mean_field(potential, mixture, i) for i in (200, 201))
        np.testing.assert_allclose(array(many.mean), array(more.mean), atol=1e-5)
        np.testing.assert_allclose(array(many.log_var), array(more.log_var), atol=1e-5)

    def test_one_component_is_the_product_of_two_normals(self, rng):
        potential, mixture, (m, v), (_, mean, variance) = made_up(rng, k=1)
        for iterations in (1, 4):
            q = objectives.local_mean_field(potential, mixture, iterations)
            precision = 1 / v + 1 / variance
            np.testing.assert_allclose(np.exp(-array(q.log_var)), precision, rtol=1e-5)
            expected = (m / v + mean / variance) / precision
            np.testing.assert_allclose(array(q.mean), expected, rtol=1e-4, atol=1e-5)
        exact = array(q.kl(distributions.Normal(mixture.components.mean[0],
                                                mixture.components.log_var[0])))  # fmt: skip
        np.testing.assert_allclose(array(mixture.joint_kl(q)), exact, rtol=1e-4, atol=1e-5)

    def test_a_potential_that_says_nothing_leaves_the_prior(self):
        flat = distributions.Normal(tensor([[5.0]]), tensor([[40.0]]))
        mixture = distributions.Mixture(
            tensor(np.log([0.5, 0.5])), tensor([[-1.0], [2.0]]), tensor([[0.0], [0.0]])
        )
        q = objectives.local_mean_field(flat, mixture, 1)
        assert array(q.mean).item() == pytest.approx(0.5, abs=1e-5)
        assert array(q.log_var).item() == pytest.approx(0.0, abs=1e-5)


def tiny(**kwargs):
    defaults = {"units": (8,), "seed": 0, "components": 3}
    return models.structured_vae(SHAPE, 2, **{**defaults, **kwargs})


class TestModel:
    def test_the_loss_is_the_closed_form(self, rng, images):
        model = tiny(beta=2.0)
        model.prior.set_weights([0.7 * rng.normal(size=w.shape) for w in model.prior.get_weights()])
        x, noise = images[:6], rng.standard_normal((1, 6, 2)).astype("float32")
        evidence = model.evidence(ops.convert_to_tensor(x), noise=noise)
        loss, terms = model.objective(evidence)
        plain = models.vae(SHAPE, 2, units=(8,), seed=0)
        psi = plain.posterior(x)
        logits, means, raw = (w.astype("float64") for w in model.prior.get_weights())
        weights = np.exp(logits) / np.exp(logits).sum()
        mixture = weights, means, np.exp(10 * np.tanh(raw / 10))
        potential = psi.mean.astype("float64"), np.exp(psi.log_var.astype("float64"))
        mean, variance, r = steps(potential, mixture, 5)[-1]
        np.testing.assert_allclose(model.encode(x), mean, rtol=1e-4, atol=1e-5)
        kl = reference.normal_kl(
            mean[:, None], np.log(variance)[:, None], means, np.log(mixture[2])
        ).sum(-1)
        expected = (r * (np.log(r) - np.log(weights) + kl)).sum(-1)
        np.testing.assert_allclose(array(terms["kl_loss"]), expected, rtol=1e-3, atol=1e-4)
        rebuilt = -array(evidence.log_px)[0]
        np.testing.assert_allclose(array(loss), rebuilt + 2 * expected, rtol=1e-4)

    def test_with_the_right_potentials_the_bound_is_the_exact_likelihood(self, rng):
        """x = Wz + b + noise with orthogonal columns: ψ = p(x|z) as a function of z."""
        variance, scales = 0.3, np.array([1.5, 0.6])
        weights = np.linalg.qr(rng.normal(size=(5, 2)))[0] * scales
        bias = rng.normal(size=5)
        model = models.structured_vae(
            (5,), 2, units=(), seed=0, components=1,
            likelihood=likelihoods.Normal(variance, data_range=None),
        )  # fmt: skip
        model.decoder.set_weights([weights.T, bias])
        own = weights / scales**2
        log_v = np.log(variance / scales**2)
        model.posterior_layer.set_weights([
            np.hstack([own, np.zeros((5, 2))]),
            np.concatenate([-bias @ own, 10 * np.arctanh(log_v / 10)]),
        ])  # fmt: skip
        x = (rng.normal(size=(6, 2)) @ weights.T + bias).astype("float32")
        exact = reference.linear_gaussian(x, weights, bias, variance)
        mean, covariance = reference.linear_gaussian_posterior(x, weights, bias, variance)
        np.testing.assert_allclose(model.encode(x), mean, atol=1e-4)
        np.testing.assert_allclose(
            np.exp(model.posterior(x).log_var), np.tile(np.diag(covariance), (6, 1)), rtol=1e-4
        )
        # Of the exact posterior every single sample gives the likelihood.
        for seed in range(3):
            bound = model.log_likelihood(x, samples=1, seed=seed, verbose=False)
            np.testing.assert_allclose(bound, exact, atol=1e-3)

    def test_training_moves_potentials_and_mixture(self, images):
        model = tiny()
        parts = model.prior, model.encoder, model.posterior_layer, model.decoder
        before = [[w.copy() for w in part.get_weights()] for part in parts]
        model.fit(images, batch_size=16, verbose=0)
        for old, part in zip(before, parts):
            for a, b in zip(old, part.get_weights()):
                assert np.abs(a - b).max() > 1e-5

    def test_codes_are_the_mean_field_s_and_not_the_encoder_s(self, images):
        model, plain = tiny(), models.vae(SHAPE, 2, units=(8,), seed=0)
        assert np.abs(model.encode(images) - plain.encode(images)).max() > 1e-3
        loaded = keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(tiny(iterations=3))
        )
        assert loaded.iterations == 3

    def test_bad_arguments(self, images):
        with pytest.raises(ValueError, match="iterations=0"):
            tiny(iterations=0)
        model = tiny()
        with pytest.raises(ValueError, match="LearnedMixture.*Received: StandardNormal"):
            models.StructuredVAE(
                model.encoder, model.decoder, model.posterior_layer, priors.StandardNormal(2)
            )
        other = models.vae(SHAPE, 2, units=(4,), objective=objectives.MixtureELBO())
        with pytest.raises(ValueError, match="needs a mixture prior.*Received: Normal"):
            other.evaluate(images, verbose=0)


class TestModelsOfTheSameParts:
    """`with_directions` and `with_fitted_prior` keep what a model is."""

    def test_directions(self, images):
        y = (np.arange(64) % 2)[:, None]
        for make in (models.structured_vae, models.factor_vae, models.miwae):
            options = {"discriminator_units": (4,)} if make is models.factor_vae else {}
            model = make(SHAPE, 2, units=(4,), seed=0, **options)
            other = model.with_directions(images, y, ["odd"])
            assert type(other) is type(model)
            np.testing.assert_array_equal(other.encode(images), model.encode(images))
            assert np.isfinite(other.evaluate(images, verbose=0)).all()

    def test_a_fitted_prior(self, images):
        model = models.auxiliary_vae(SHAPE, 2, units=(4,), auxiliary_dim=2, num_classes=3, seed=0)
        y = np.arange(64) % 3
        other = model.with_fitted_prior(images, y)
        assert type(other) is type(model)
        np.testing.assert_array_equal(other.classify(images), model.classify(images))
        assert np.isfinite(other.fit(images, y, verbose=0).history["loss"]).all()
        assert other.sample(4, seed=0).shape == (4, *SHAPE)
        with pytest.raises(ValueError, match="LearnedMixture.*Received: LinearNormal"):
            tiny().with_fitted_prior(images)
