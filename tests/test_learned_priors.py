"""Mixtures, VampPrior and flow priors against NumPy, autodiff, and the plain VAE."""

import keras
import numpy as np
import pytest
import reference
from autodiff import gradient, jacobian
from conftest import SHAPE, array, make_images
from keras import ops

from keras_vae import distributions, flows, likelihoods, metrics, models, objectives, priors, zoo

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns

N = 100_000


def tensor(value):
    return ops.convert_to_tensor(np.asarray(value, "float32"))


def made_up(rng, k=4, d=3):
    """A mixture with numbers of its own, and these in NumPy."""
    weights = rng.dirichlet(np.full(k, 2.0))
    mean, log_var = 2 * rng.normal(size=(k, d)), 0.5 * rng.normal(size=(k, d))
    mixture = distributions.Mixture(tensor(np.log(weights)), tensor(mean), tensor(log_var))
    return mixture, weights, mean, log_var


def joint(z, weights, mean, log_var):
    """log w_k + log N(z; k), `(..., K)`, float64."""
    each = reference.normal_log_prob(z[..., None, :], mean, log_var).sum(-1)
    return np.log(weights) + each


def randomised(prior, rng, scale=0.5):
    prior.set_weights([scale * rng.normal(size=w.shape) for w in prior.get_weights()])
    return prior


def losses(make, noise, model_of=lambda m: m, **kwargs):
    model = model_of(make(SHAPE, 3, units=(8,), seed=4, likelihood="bernoulli", **kwargs))
    x = ops.convert_to_tensor(make_images(np.random.default_rng(0), 6))
    evidence = model.evidence(x, noise=noise)
    return evidence, array(model.objective(evidence)[0])


NOISE = np.random.default_rng(1).standard_normal((2, 6, 3), "float32")


class TestMixture:
    def test_density_and_mean_are_numpy_s(self, rng):
        mixture, *parts = made_up(rng)
        z = 2 * rng.normal(size=(2, 5, 3))
        expected = joint(z, *parts)
        np.testing.assert_allclose(array(mixture.log_prob_joint(tensor(z))), expected, rtol=1e-4)
        np.testing.assert_allclose(
            array(mixture.log_prob(tensor(z))), np.logaddexp.reduce(expected, axis=-1), rtol=1e-5
        )
        np.testing.assert_allclose(array(mixture.mean), parts[0] @ parts[1], rtol=1e-5, atol=1e-6)

    def test_a_code_far_from_all_components_has_a_finite_density(self, rng):
        mixture, *parts = made_up(rng)
        z = np.full((1, 3), 60.0)
        expected = np.logaddexp.reduce(joint(z, *parts), axis=-1)
        np.testing.assert_allclose(array(mixture.log_prob(tensor(z))), expected, rtol=1e-5)

    def test_samples_have_the_weights_and_the_moments(self, rng):
        mixture, weights, mean, log_var = made_up(rng)
        noise = rng.standard_normal((N, 4)).astype("float32")
        drawn = array(mixture.transform(tensor(noise)))
        first = weights @ mean
        second = weights @ (mean**2 + np.exp(log_var))
        error = 5 * drawn.std(0) / N**0.5
        assert (np.abs(drawn.mean(0) - first) < error).all()
        np.testing.assert_allclose((drawn**2).mean(0), second, rtol=0.02)
        # Exactly one component made each: without noise there are but K codes.
        noise[:, :-1] = 0
        codes, counts = np.unique(array(mixture.transform(tensor(noise))), axis=0, return_counts=1)
        order = np.argsort(mean[:, 0])
        np.testing.assert_allclose(codes, mean[order], rtol=1e-5)
        np.testing.assert_allclose(counts / N, weights[order], atol=0.01)

    def test_the_normal_distribution_function(self):
        from math import erf

        points = np.array([-9.0, -3.0, -0.5, 0.0, 0.1, 1.0, 4.0, 9.0])
        expected = [0.5 * (1 + erf(v / 2**0.5)) for v in points]
        np.testing.assert_allclose(
            array(distributions.normal_cdf(tensor(points))), expected, atol=3e-7
        )

    def test_noise_of_another_width_is_refused(self, rng):
        with pytest.raises(ValueError, match=r"\(\.\.\., 4\). Received: shape \(7, 3\)"):
            made_up(rng)[0].transform(ops.zeros((7, 3)))

    def test_responsibilities_and_the_joint_kl_are_numpy_s(self, rng):
        mixture, weights, mean, log_var = made_up(rng)
        own_mean, own_log_var = rng.normal(size=(5, 3)), 0.3 * rng.normal(size=(5, 3))
        q = distributions.Normal(tensor(own_mean), tensor(own_log_var))
        apart = reference.normal_kl(own_mean[:, None], own_log_var[:, None], mean, log_var).sum(-1)
        r = weights * np.exp(-apart)
        r /= r.sum(-1, keepdims=True)
        np.testing.assert_allclose(array(mixture.responsibilities(q)), r, rtol=1e-4, atol=1e-7)
        # Σ_k r (log r - log w + KL_k) at its least.
        expected = (r * (np.log(r) - np.log(weights) + apart)).sum(-1)
        np.testing.assert_allclose(array(mixture.joint_kl(q)), expected, rtol=1e-5)
        for _ in range(20):
            other = rng.dirichlet(np.ones(4), size=5)
            assert ((other * (np.log(other) - np.log(weights) + apart)).sum(-1) > expected).all()
        noise = rng.standard_normal((N, 5, 3)).astype("float32")
        z, log_qz = q.transform_and_log_prob(tensor(noise))
        exact = (array(log_qz) - array(mixture.log_prob(z))).mean(0)
        assert (exact < expected + 0.01).all()


class TestLimits:
    def test_one_component_and_the_identity_flow_are_the_plain_vae(self):
        plain, _ = losses(models.vae, NOISE)
        expected = array(plain.reconstruction) + array(plain.log_ratio).mean(0)
        for make, options in (
            (models.mixture_vae, {"components": 1}),
            (models.flow_prior_vae, {"couplings": 0}),
            (models.flow_prior_vae, {"couplings": 4, "hidden_units": 8}),
        ):
            evidence, loss = losses(make, NOISE, **options)
            np.testing.assert_allclose(loss, expected, rtol=1e-6)
            np.testing.assert_allclose(
                array(evidence.log_weights), array(plain.log_weights), rtol=1e-6
            )

    def test_many_equal_components_too(self):
        def equal(model):
            prior = model.prior
            prior.means.assign(0 * prior.means)
            return model

        plain, _ = losses(models.vae, NOISE)
        evidence, _ = losses(models.mixture_vae, NOISE, equal, components=7)
        np.testing.assert_allclose(array(evidence.log_ratio), array(plain.log_ratio), atol=1e-5)

    def test_the_kl_is_the_mean_of_the_log_ratio_at_the_decoded_codes(self, rng):
        for make, options in (
            (models.mixture_vae, {"components": 3}),
            (models.vamp_vae, {"components": 3}),
            (models.flow_prior_vae, {}),
        ):
            evidence, loss = losses(make, NOISE, **options)
            log_pz = array(evidence.p.log_prob(evidence.z))
            ratio = array(evidence.log_qz) - log_pz
            np.testing.assert_allclose(array(evidence.kl), ratio.mean(0), rtol=1e-4, atol=1e-5)
            expected = ratio.mean(0) - array(evidence.log_px).mean(0)
            np.testing.assert_allclose(loss, expected, rtol=1e-5)


class TestLearnedMixture:
    def test_it_starts_from_known_normals(self, rng):
        prior = priors.LearnedMixture(3, 2, seed=0)
        weights, means = np.array([0.2, 0.6]), rng.normal(size=(2, 3))
        variances = rng.uniform(0.01, 3, (2, 3))
        prior.start_from(weights, means, variances)
        z = rng.normal(size=(6, 3)).astype("float32")
        each = -0.5 * (
            np.square(z[:, None] - means) / variances + np.log(2 * np.pi * variances)
        ).sum(-1)
        expected = np.log((np.exp(each) * [0.25, 0.75]).sum(-1))
        found = array(prior.distribution().log_prob(ops.convert_to_tensor(z)))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        for bad in ((weights[:1], means, variances), (weights, means, 0 * variances)):
            before = prior.get_weights()
            with pytest.raises(ValueError, match="must be above 0.*Received: shapes"):
                prior.start_from(*bad)
            for old, new in zip(before, prior.get_weights(), strict=True):
                np.testing.assert_array_equal(old, new)

    def test_weights_scales_and_means_are_what_the_density_has(self, rng):
        prior = randomised(priors.LearnedMixture(3, 4), rng)
        logits, means, raw = prior.get_weights()
        weights = np.exp(logits) / np.exp(logits).sum()
        z = rng.normal(size=(6, 3))
        expected = np.logaddexp.reduce(
            joint(z, weights, means, 10 * np.tanh(raw.astype("float64") / 10)), axis=-1
        )
        np.testing.assert_allclose(array(prior.distribution().log_prob(z)), expected, rtol=1e-5)

    def test_components_start_apart_around_the_origin(self):
        means = priors.LearnedMixture(3, 5, seed=0).get_weights()[1]
        np.testing.assert_allclose(means.mean(0), 0, atol=1e-6)
        assert np.linalg.norm(means[:, None] - means, axis=-1)[np.triu_indices(5, 1)].min() > 0.2
        again = priors.LearnedMixture(3, 5, seed=0).get_weights()[1]
        np.testing.assert_array_equal(means, again)

    def test_training_moves_every_parameter(self, images):
        model = models.mixture_vae(SHAPE, 2, units=(8,), components=3, seed=0)
        before = model.prior.get_weights()
        model.fit(images, batch_size=16, verbose=0)
        for old, new in zip(before, model.prior.get_weights()):
            assert np.abs(old - new).max() > 1e-4

    def test_it_finds_the_clusters_there_are(self):
        """Codes around -3 and 3, twice as many of these: their weights, means and scales."""
        labels = np.arange(90) % 3 % 2
        model = models.mixture_vae((1,), 1, units=(), components=2, seed=0)
        model.posterior_layer.set_weights([np.array([[6.0, 0.0]]), np.array([-3.0, -2.0])])
        model.posterior_layer.trainable = False
        x = 1.0 - labels[:, None].astype("float32")
        model.compile(keras.optimizers.Adam(0.1))
        model.fit(x, batch_size=90, epochs=200, verbose=0)
        p = model.prior.distribution()
        order = np.argsort(array(p.components.mean)[:, 0])
        np.testing.assert_allclose(array(p.components.mean)[order, 0], [-3, 3], atol=0.2)
        np.testing.assert_allclose(np.exp(array(p.log_weights))[order], [1 / 3, 2 / 3], atol=0.05)
        found_log_var = array(p.components.log_var)
        expected = array(model.posterior(x[:1]).log_var)
        np.testing.assert_allclose(found_log_var - expected, 0, atol=0.4)
        found = metrics.cluster_probabilities(model, x)
        np.testing.assert_allclose(found.sum(-1), 1.0, rtol=1e-5)
        assert metrics.clustering_accuracy(found.argmax(-1), labels) == 1.0

    def test_samples_are_those_of_numpy(self, rng):
        prior = randomised(priors.LearnedMixture(3, 4), rng, 1.0)
        drawn = prior.sample(1000, np.random.default_rng(7))
        p = prior.distribution()
        own = np.random.default_rng(7)
        chosen = np.searchsorted(np.cumsum(np.exp(array(p.log_weights))), own.random(1000))
        noise = own.standard_normal((1000, 3))
        scale = np.exp(array(p.components.log_var) / 2)
        expected = array(p.components.mean)[chosen] + scale[chosen] * noise
        np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=1e-6)
        assert drawn.dtype == np.float32 and len(np.unique(chosen)) == 4

    def test_other_objectives_draw_from_it(self, images):
        """The MMD compares with samples of the prior that the model has."""
        prior = priors.LearnedMixture(2, 3, seed=0)
        model = models.info_vae(SHAPE, 2, units=(8,), prior=prior, seed=0)
        history = model.fit(images, batch_size=32, verbose=0).history
        assert np.isfinite(history["mmd_loss"]).all()
        noise = np.random.default_rng(0).standard_normal((64, 3), "float32")
        evidence = model.evidence(ops.convert_to_tensor(images))
        evidence = evidence._replace(normal=lambda shape: tensor(noise))
        _, terms = model.objective(evidence)
        expected = objectives.mmd(
            evidence.z[0], prior.distribution().transform(tensor(noise)), "rbf"
        )
        assert array(terms["mmd_loss"])[0] == pytest.approx(float(array(expected)), rel=1e-5)

    def test_it_may_be_a_part_of_a_product(self, rng):
        """Its noise is one wider than its code; the other parts' is where it should be."""
        parts = randomised(priors.LearnedMixture(2, 3), rng), priors.StandardNormal(2)
        product = priors.ProductPrior(parts)
        noise = rng.standard_normal((9, 5)).astype("float32")
        z = array(product.distribution().transform(tensor(noise)))
        np.testing.assert_allclose(z[:, 2:], noise[:, 3:], rtol=1e-6)
        expected = array(parts[0].distribution().transform(tensor(noise[:, :3])))
        np.testing.assert_allclose(z[:, :2], expected, rtol=1e-6)
        found = array(product.distribution().log_prob(tensor(z)))
        normal = reference.normal_log_prob(z[:, 2:], 0.0, 0.0).sum(-1)
        own = array(parts[0].distribution().log_prob(tensor(z[:, :2])))
        np.testing.assert_allclose(found, own + normal, rtol=1e-5)
        assert product.sample(3, np.random.default_rng(0)).shape == (3, 4)

    def test_bad_arguments(self):
        for components in (0, 2.5):
            with pytest.raises(ValueError, match=f"Received: components={components}"):
                models.mixture_vae(SHAPE, 2, units=(4,), components=components)


class TestVampPrior:
    def model(self, **kwargs):
        return models.vamp_vae(SHAPE, 3, units=(8,), components=4, seed=0, **kwargs)

    def test_log_prior_is_numpy_s_from_the_encoded_pseudo_inputs(self, rng):
        model = self.model()
        inputs = array(model.prior.inputs()).astype("float32")
        q = model.posterior(inputs)
        z = rng.normal(size=(2, 5, 3))
        each = reference.normal_log_prob(z[..., None, :], q.mean, q.log_var).sum(-1)
        expected = np.logaddexp.reduce(each, axis=-1) - np.log(4)
        found = array(model.prior.distribution().log_prob(tensor(z)))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

    def test_pseudo_inputs_stay_in_the_range_of_the_data(self):
        for likelihood, low, high in (
            ("bernoulli", 0.0, 1.0),
            (likelihoods.Normal(data_range=(-1.0, 1.0)), -1.0, 1.0),
            (likelihoods.Normal(data_range=None), -np.inf, np.inf),
        ):
            model = self.model(likelihood=likelihood)
            raw = 30 * np.random.default_rng(0).normal(size=(4, *SHAPE))
            model.prior.set_weights([raw])
            found = array(model.prior.inputs())
            assert low <= found.min() and found.max() <= high
            if np.isfinite(low):
                assert found.min() < low + 0.01 and found.max() > high - 0.01
            else:
                np.testing.assert_allclose(found, raw, rtol=1e-6)

    def test_its_gradient_reaches_pseudo_inputs_and_encoder(self, images):
        model = self.model()
        x = ops.convert_to_tensor(images[:8])
        before = [w.copy() for w in (*model.prior.get_weights(), *model.encoder.get_weights())]
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(images, verbose=0)
        after = (*model.prior.get_weights(), *model.encoder.get_weights())
        assert all(np.abs(a - b).max() > 0 for a, b in zip(before, after))
        # Of the encoder's weights alone: the mixture moves with them.
        z = model.evidence(x).z
        kernel = model.encoder.layers[-1].kernel

        def log_prior(value):
            with keras.StatelessScope([(kernel, value)]):
                return ops.sum(model.prior.distribution().log_prob(ops.stop_gradient(z)))

        slope = gradient(log_prior, array(kernel).astype("float32"))
        assert np.abs(slope).max() > 1e-4

    def test_no_weight_is_counted_twice(self):
        model, plain = self.model(), models.vae(SHAPE, 3, units=(8,), seed=0)
        assert model.count_params() == plain.count_params() + 4 * 64
        names = [w.path for w in model.trainable_variables]
        assert len(names) == len(set(names)) == len(plain.trainable_variables) + 1

    def test_what_it_needs_of_its_model(self):
        with pytest.raises(ValueError, match="give it to a `VAE` first"):
            priors.VampPrior(2, 3).distribution()
        from keras_vae import conditions

        with pytest.raises(ValueError, match="unconditional model.*condition=<"):
            self.model(condition=conditions.Labels(3))
        with pytest.raises(ValueError, match="Received: posterior=FlowPosterior"):
            models.flow_vae(SHAPE, 2, units=(4,), prior=priors.VampPrior(2, 3, SHAPE))
        with pytest.raises(ValueError, match=r"Received: \(3,\) and data \(8, 8, 1\)"):
            models.vae(SHAPE, 2, units=(4,), prior=priors.VampPrior(2, 3, (3,)))

    def test_a_model_of_the_same_parts_has_the_same_prior(self, images):
        """`with_directions` builds another model around the prior."""
        model = self.model()
        y = (np.arange(64) % 2)[:, None]
        other = model.with_directions(images, y, ["odd"])
        np.testing.assert_array_equal(model.sample(5, seed=0), other.sample(5, seed=0))


class TestFlowPrior:
    def flow(self, rng, d=3, parity=0, scale=0.7):
        return randomised(flows.Coupling(d, parity, 8), rng, scale)

    @pytest.mark.parametrize("d", [1, 2, 5])
    @pytest.mark.parametrize("parity", [0, 1])
    def test_the_inverse_returns_the_input_and_the_log_determinant(self, d, parity, rng):
        flow = self.flow(rng, d, parity)
        z = rng.normal(size=(4, 7, d))
        moved, log_det = flow(tensor(z))
        back, again = flow.inverse(moved)
        np.testing.assert_allclose(array(back), z, atol=1e-5)
        np.testing.assert_allclose(array(again), array(log_det), atol=1e-5)
        kept = np.arange(d) % 2 == parity
        np.testing.assert_allclose(array(moved)[..., kept], z[..., kept], rtol=1e-6)
        assert d == 1 or np.abs(array(moved) - z)[..., ~kept].max() > 0.1

    @pytest.mark.parametrize("d", [1, 2, 5])
    def test_log_determinant_is_that_of_the_jacobian(self, d, rng):
        for parity in (0, 1):
            flow = self.flow(rng, d, parity)
            for _ in range(3):
                z = rng.normal(size=d)
                matrix = jacobian(lambda v: flow(ops.expand_dims(v, 0))[0][0], z)  # noqa: B023
                expected = np.linalg.slogdet(matrix)
                assert expected[0] > 0
                found = array(flow(tensor(z[None]))[1]).item()
                assert found == pytest.approx(expected[1], abs=1e-5)

    def test_the_whole_prior_s_density_is_that_of_the_change_of_variables(self, rng):
        p = randomised(priors.FlowPrior(3, 4, 8), rng).distribution()
        for _ in range(3):
            noise = rng.normal(size=3)
            z, log_pz = p.transform_and_log_prob(tensor(noise[None]))
            matrix = jacobian(lambda v: p.transform(ops.expand_dims(v, 0))[0], noise)
            expected = reference.normal_log_prob(noise, 0.0, 0.0).sum()
            expected -= np.linalg.slogdet(matrix)[1]
            assert array(log_pz).item() == pytest.approx(expected, rel=1e-4, abs=1e-4)
            assert array(p.log_prob(z)).item() == pytest.approx(expected, rel=1e-4, abs=1e-4)

    def test_the_density_integrates_to_one(self, rng):
        p = randomised(priors.FlowPrior(2, 4, 8), rng, 0.4).distribution()
        line = np.linspace(-12, 12, 801, dtype="float32")
        grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
        density = np.exp(array(p.log_prob(tensor(grid))))
        assert density.max() > 1e-2
        total = density.sum() * (line[1] - line[0]) ** 2
        assert total == pytest.approx(1.0, abs=1e-3)
        # It is not the normal distribution it started from.
        plain = np.exp(reference.normal_log_prob(grid, 0.0, 0.0).sum(-1))
        assert np.abs(density - plain).max() > 0.02

    def test_samples_are_noise_sent_through_the_flow(self, rng):
        prior = randomised(priors.FlowPrior(3, 3, 8), rng)
        noise = np.random.default_rng(5).standard_normal((9, 3), "float32")
        expected = array(prior.distribution().transform(tensor(noise)))
        found = prior.sample(9, np.random.default_rng(5))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert np.abs(found - noise).max() > 0.1

    def test_large_weights_do_not_overflow(self, rng):
        p = randomised(priors.FlowPrior(2, 2, 8), rng, 50.0).distribution()
        z, log_pz = p.transform_and_log_prob(tensor(rng.normal(size=(50, 2))))
        assert np.isfinite(array(z)).all() and np.isfinite(array(log_pz)).all()

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="couplings=-1"):
            models.flow_prior_vae(SHAPE, 2, units=(4,), couplings=-1)
        with pytest.raises(ValueError, match="units=0"):
            models.flow_prior_vae(SHAPE, 2, units=(4,), hidden_units=0)


class TestBounds:
    @pytest.mark.parametrize("name", ["mixture_vae", "vamp_vae", "flow_prior_vae"])
    def test_the_bound_reaches_the_likelihood_by_quadrature(self, name, rng):
        """A linear decoder, one latent dimension: log ∫ p(x|z) p(z) dz on a grid."""
        make, variance = getattr(models, name), 0.5
        options = (
            {"couplings": 3, "hidden_units": 8} if name == "flow_prior_vae" else {"components": 3}
        )
        likelihood = likelihoods.Normal(variance, data_range=None)
        model = make((4,), 1, units=(), seed=0, likelihood=likelihood, **options)
        randomised(model.prior, rng, 0.4 if name == "flow_prior_vae" else 1.0)
        kernel, _ = model.posterior_layer.get_weights()
        # Wider than what is to be found, so that no weight is far above the others.
        model.posterior_layer.set_weights([0.3 * kernel, np.array([0.0, 1.0])])
        weights, bias = rng.normal(size=(4, 1)), rng.normal(size=4)
        model.decoder.set_weights([weights.T, bias])
        x = rng.normal(size=(5, 4)).astype("float32")
        z = np.linspace(-20, 20, 20_001)[:, None]
        log_px = reference.normal_log_prob(x[:, None], z @ weights.T + bias, np.log(variance))
        log_pz = array(model.prior.distribution().log_prob(tensor(z)))
        assert np.exp(log_pz).sum() * 0.002 == pytest.approx(1.0, abs=1e-3)
        exact = np.logaddexp.reduce(log_px.sum(-1) + log_pz, axis=1) + np.log(0.002)
        bound = model.log_likelihood(x, samples=20_000, verbose=False)
        np.testing.assert_allclose(bound, exact, atol=0.1)
        terms = metrics.elbo(model, x, samples=50)
        assert terms["elbo"].mean < exact.mean()
        assert terms["reconstruction"].mean == pytest.approx(terms["elbo"].mean + terms["kl"].mean)


@pytest.mark.parametrize("name", ["mixture_vae", "vamp_vae", "flow_prior_vae"])
def test_what_was_learned_of_the_prior_is_saved(name, images, tmp_path):
    """The same samples from every kind of file, and not those of a fresh prior."""
    options = {"couplings": 2} if name == "flow_prior_vae" else {"components": 3}
    model = getattr(models, name)(SHAPE, 2, units=(8,), seed=0, **options)
    fresh = model.prior.sample(20, np.random.default_rng(0))
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(images, epochs=3, verbose=0)
    codes = model.prior.sample(20, np.random.default_rng(0))
    assert np.abs(codes - fresh).max() > 0.05
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    zoo.save(model, tmp_path / "preset")
    other = getattr(models, name)(SHAPE, 2, units=(8,), seed=1, **options)
    other.load_weights(tmp_path / "m.weights.h5")
    for loaded in (
        keras.saving.load_model(tmp_path / "m.keras"), zoo.load(tmp_path / "preset"), other
    ):  # fmt: skip
        np.testing.assert_array_equal(loaded.prior.sample(20, np.random.default_rng(0)), codes)
        np.testing.assert_array_equal(loaded.sample(5, seed=1), model.sample(5, seed=1))
