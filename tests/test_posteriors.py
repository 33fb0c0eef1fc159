"""Posteriors and flows against closed forms, autodiff and Monte Carlo."""

import math

import numpy as np
import pytest
import reference
from autodiff import jacobian
from conftest import SHAPE, array, make_images
from keras import ops

from keras_vae import distributions, flows, likelihoods, metrics, models, posteriors, priors
from keras_vae.schedules import Exponential

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns

N = 100_000


def tensor(value):
    return ops.convert_to_tensor(np.asarray(value, "float32"))


def standard(d):
    return priors.StandardNormal(d).distribution()


def parameters(layer, rng, n=2, scale=1.0):
    """What a layer with random weights gives for random features."""
    layer.build((None, 5))
    layer.set_weights([scale * rng.normal(size=w.shape) for w in layer.get_weights()])
    return [ops.convert_to_tensor(p) for p in layer(tensor(rng.normal(size=(n, 5))))]


def monte_carlo(q, p, seed=1):
    """KL and its standard error from samples and the densities they come with."""
    noise = np.random.default_rng(seed).standard_normal((N, *q.center.shape), "float32")
    z, log_qz = q.transform_and_log_prob(tensor(noise))
    ratio = array(log_qz) - array(p.log_prob(z))
    return ratio.mean(0), ratio.std(0) / N**0.5


class TestFullCovariance:
    def setup_method(self):
        self.rng = np.random.default_rng(0)
        self.layer = posteriors.FullCovariance(3)
        values = parameters(self.layer, self.rng, scale=0.4)
        self.mean, self.log_var, self.lower = values
        self.q = self.layer.distribution(*values)
        below = np.tril(array(self.lower).reshape(-1, 3, 3), -1) / 3**0.5
        self.cholesky = (np.eye(3) + below) * np.exp(array(self.log_var) / 2)[:, :, None]

    def test_the_factor_is_the_mask_and_the_diagonal(self):
        np.testing.assert_allclose(array(self.q.factor), self.cholesky, rtol=1e-5, atol=1e-6)

    def test_kl_is_the_closed_form_and_the_monte_carlo_mean(self):
        squared = np.square(self.cholesky).sum((1, 2)) + np.square(array(self.mean)).sum(1)
        logs = np.log(np.diagonal(self.cholesky, axis1=1, axis2=2)).sum(1)
        expected = 0.5 * (squared - 3 - 2 * logs)
        np.testing.assert_allclose(array(self.q.kl(standard(3))), expected, rtol=1e-5)
        found, error = monte_carlo(self.q, standard(3))
        assert (np.abs(found - expected) < 5 * error).all()

    def test_kl_of_each_coordinate_is_that_of_its_marginal(self):
        variance = np.square(self.cholesky).sum(-1)
        expected = reference.normal_kl(array(self.mean), np.log(variance), 0.0, 0.0)
        found = array(self.q.kl_each(standard(3)))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        assert (found.sum(-1) <= array(self.q.kl(standard(3)))).all()

    def test_kl_to_another_normal(self):
        p = distributions.Normal(tensor([0.3, -1.0, 2.0]), tensor([0.5, 0.0, -0.7]))
        found, error = monte_carlo(self.q, p)
        assert (np.abs(found - array(self.q.kl(p))) < 5 * error).all()

    def test_density_of_samples_and_of_other_points(self):
        noise = self.rng.normal(size=(4, 2, 3))
        z, log_prob = self.q.transform_and_log_prob(tensor(noise))
        np.testing.assert_allclose(array(self.q.log_prob(z)), array(log_prob), rtol=1e-4)
        points = self.rng.normal(size=(2, 3))
        for i, point in enumerate(points):
            covariance = self.cholesky[i] @ self.cholesky[i].T
            apart = point - array(self.mean)[i]
            expected = -0.5 * (
                apart @ np.linalg.solve(covariance, apart)
                + np.linalg.slogdet(covariance)[1]
                + 3 * np.log(2 * np.pi)
            )
            assert array(self.q.log_prob(tensor(points)))[i] == pytest.approx(expected, rel=1e-4)

    def test_samples_have_the_covariance(self):
        noise = self.rng.standard_normal((N, 2, 3)).astype("float32")
        drawn = array(self.q.transform(tensor(noise)))
        for i in range(2):
            expected = self.cholesky[i] @ self.cholesky[i].T
            np.testing.assert_allclose(np.cov(drawn[:, i].T), expected, rtol=0.05, atol=0.05)
        np.testing.assert_allclose(array(self.q.variance), (self.cholesky**2).sum(-1), rtol=1e-5)

    def test_entropy(self):
        noise = np.random.default_rng(1).standard_normal((N, 2, 3), "float32")
        values = -array(self.q.transform_and_log_prob(tensor(noise))[1])
        error = 5 * values.std(0) / N**0.5
        assert (np.abs(values.mean(0) - array(self.q.entropy())) < error).all()


def make_flow(kind, rng, d=3, scale=1.0):
    cls = {"planar": flows.Planar, "radial": flows.Radial}[kind]
    return cls.of(tensor(scale * rng.normal(size=(1, cls.size(d)))), d)


class TestFlows:
    @pytest.mark.parametrize("kind", flows.KINDS)
    @pytest.mark.parametrize("scale", [0.5, 4.0])
    def test_log_determinant_is_that_of_the_jacobian(self, kind, scale, rng):
        for _ in range(5):
            flow = make_flow(kind, rng, scale=scale)
            z = rng.normal(size=3)
            found = array(flow(tensor(z[None]))[1]).item()
            matrix = jacobian(lambda v: flow(ops.expand_dims(v, 0))[0][0], z)  # noqa: B023
            assert found == pytest.approx(np.log(np.linalg.det(matrix)), abs=2e-3)

    @pytest.mark.parametrize("kind", flows.KINDS)
    def test_they_are_invertible_whatever_the_parameters(self, kind, rng):
        """Without the constraint large parameters fold the space: a negative determinant."""
        determinants = []
        for _ in range(50):
            flow = make_flow(kind, rng, d=2, scale=6.0)
            moved, log_det = flow(tensor(rng.normal(size=(200, 2))))
            determinants.append(array(log_det))
            assert np.isfinite(array(moved)).all()
        assert np.isfinite(determinants).all()

    def test_the_constraint_keeps_w_u_above_minus_one(self, rng):
        u, w = rng.normal(size=(2, 100, 3)) * 3
        flow = flows.Planar(tensor(u), tensor(w), tensor(np.zeros((100, 1))))
        found = (array(flow.u) * w).sum(-1)
        expected = np.log1p(np.exp((u * w).sum(-1))) - 1
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)
        assert (found > -1.001).all()

    @pytest.mark.parametrize("kind", flows.KINDS)
    def test_densities_of_samples_integrate_to_one(self, kind, rng):
        """Over where the samples of a grid of noise go, in order."""
        layer = posteriors.FlowPosterior(1, kind, 3)
        q = layer.distribution(*parameters(layer, rng, n=1, scale=0.5))
        noise = np.linspace(-8, 8, 40_001, dtype="float32")[:, None, None]
        z, log_qz = (array(v)[:, 0] for v in q.transform_and_log_prob(tensor(noise)))
        z = z[:, 0]
        assert (np.diff(z) > 0).all()
        total = np.sum(0.5 * (np.exp(log_qz[1:]) + np.exp(log_qz[:-1])) * np.diff(z))
        assert total == pytest.approx(1.0, abs=2e-3)

    def test_planar_densities_are_known_at_samples_only(self, rng):
        layer = posteriors.FlowPosterior(2, "planar", 2)
        q = layer.distribution(*parameters(layer, rng))
        with pytest.raises(NotImplementedError, match="sample_and_log_prob"):
            q.log_prob(ops.zeros((2, 2)))
        with pytest.raises(NotImplementedError, match=r"KL\(Transformed \|\| Normal\)"):
            q.kl(standard(2))

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="'planar', 'radial'.*Received: kind='cubic'"):
            posteriors.FlowPosterior(2, "cubic")
        with pytest.raises(ValueError, match="flows=-1"):
            posteriors.FlowPosterior(2, flows=-1)


class TestIAF:
    @pytest.mark.parametrize("d", [1, 2, 5])
    def test_made_sees_only_what_is_before(self, d, rng):
        made = flows.MADE(d, 3, units=12)
        made.set_weights([rng.normal(size=w.shape) for w in made.get_weights()])
        context = tensor(rng.normal(size=(1, 3)))
        for output in range(2):
            matrix = jacobian(
                lambda v: made(ops.expand_dims(v, 0), context)[output][0],  # noqa: B023
                rng.normal(size=d),
            )
            assert (np.triu(matrix) == 0).all()
            assert d == 1 or (matrix[np.tril_indices(d, -1)] != 0).all()

    def test_every_output_sees_the_context(self, rng):
        made = flows.MADE(3, 2, units=12, seed=0)
        z = tensor(rng.normal(size=(1, 3)))
        for output in range(2):
            matrix = jacobian(
                lambda c: made(z, ops.expand_dims(c, 0))[output][0],  # noqa: B023
                rng.normal(size=2),
            )
            assert (np.abs(matrix).max(1) > 0).all()

    def steps(self, rng, d=4, scale=0.5):
        layer = posteriors.InverseAutoregressive(d, 3, 16, 3)
        return layer.distribution(*parameters(layer, rng, scale=scale))

    def test_log_determinant_is_that_of_the_jacobian(self, rng):
        q = self.steps(rng)
        for flow in q.flows:
            flow.context = flow.context[:1]
            z = rng.normal(size=4)
            matrix = jacobian(lambda v: flow(ops.expand_dims(v, 0))[0][0], z)  # noqa: B023
            expected = np.log(np.abs(np.linalg.det(matrix)))
            assert array(flow(tensor(z[None]))[1]).item() == pytest.approx(expected, abs=1e-4)

    def test_the_order_is_reversed_between_steps(self, rng):
        """After two steps the first dimension depends on all, after one it does not."""
        q = self.steps(rng)
        for flow in q.flows:
            flow.context = flow.context[:1]
        z = rng.normal(size=4)
        one = jacobian(lambda v: q.flows[0](ops.expand_dims(v, 0))[0][0], z)
        assert (one[-1] != 0).sum() == 1
        two = jacobian(lambda v: q.flows[1](q.flows[0](ops.expand_dims(v, 0))[0])[0][0], z)
        assert (two != 0).all()

    def test_the_inverse_returns_the_input_and_the_density(self, rng):
        q = self.steps(rng)
        z = tensor(rng.normal(size=(3, 2, 4)))
        for flow in q.flows:
            moved, log_det = flow(z)
            back, again = flow.inverse(moved)
            np.testing.assert_allclose(array(back), array(z), atol=1e-4)
            np.testing.assert_allclose(array(again), array(log_det), atol=1e-4)
        samples, log_prob = q.transform_and_log_prob(z)
        np.testing.assert_allclose(array(q.log_prob(samples)), array(log_prob), atol=1e-3)

    def test_it_starts_near_the_identity(self, rng):
        layer = posteriors.InverseAutoregressive(4, 1, seed=0)
        layer.build((None, 5))
        q = layer.distribution(*layer(tensor(rng.normal(size=(2, 5)))))
        moved = array(q.transform(ops.zeros((1, 2, 4))))[0, :, ::-1]
        assert np.abs(moved - array(q.base.mean)).max() < 0.5


class TestCategorical:
    def test_kl_is_q_log_c_q_and_the_monte_carlo_mean(self, rng):
        logits = rng.normal(size=(2, 6)) * 2
        q = distributions.Categorical(tensor(logits), 3)
        probs = np.exp(logits.reshape(2, 2, 3))
        probs /= probs.sum(-1, keepdims=True)
        expected = (probs * np.log(3 * probs)).sum((1, 2))
        p = priors.UniformCategorical(2, 3)
        np.testing.assert_allclose(array(q.kl(p)), expected, rtol=1e-4)
        np.testing.assert_allclose(array(q.mean), probs.reshape(2, 6), rtol=1e-5)
        found, error = monte_carlo(q, p.distribution())
        assert (np.abs(found - expected) < 5 * error).all()
        np.testing.assert_allclose(
            array(q.entropy()), -(probs * np.log(probs)).sum((1, 2)), rtol=1e-4
        )

    def test_hard_samples_have_the_probabilities(self, rng):
        q = distributions.Categorical(tensor(rng.normal(size=(1, 6))), 3)
        noise = rng.standard_normal((N, 1, 6)).astype("float32")
        drawn = array(q.transform(tensor(noise)))
        assert set(np.unique(drawn)) == {0.0, 1.0}
        np.testing.assert_array_equal(drawn.reshape(-1, 3).sum(-1), 1.0)
        np.testing.assert_allclose(drawn.mean(0), array(q.mean), atol=0.01)

    def test_gumbel_noise_has_the_moments(self, rng):
        drawn = array(distributions.gumbel(tensor(rng.standard_normal(N))))
        assert drawn.mean() == pytest.approx(np.euler_gamma, abs=0.02)
        assert drawn.var() == pytest.approx(np.pi**2 / 6, rel=0.03)
        points = np.array([-4.0, -2.0, -0.3, 0.0, 0.5, 2.0, 3.0, 4.0])
        phi = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in points])
        found = array(distributions.gumbel(tensor(points)))
        np.testing.assert_allclose(found, -np.log(-np.log(phi)), atol=0.005)
        far = array(distributions.gumbel(tensor([-40.0, 40.0])))
        assert np.isfinite(far).all()

    def test_relaxed_samples_harden_as_the_temperature_falls(self, rng):
        logits = tensor(rng.normal(size=(1, 4)))
        noise = tensor(rng.standard_normal((500, 1, 4)))
        hard = array(distributions.Categorical(logits, 4).transform(noise))
        apart = []
        for temperature in (5.0, 0.5, 0.01):
            relaxed = array(distributions.Categorical(logits, 4, temperature).transform(noise))
            np.testing.assert_allclose(relaxed.sum(-1), 1.0, rtol=1e-5)
            apart.append(np.abs(relaxed - hard).mean())
        assert apart[0] > apart[1] > apart[2] and apart[2] < 0.02

    def test_training_is_relaxed_and_all_else_hard(self, images):
        model = models.categorical_vae(SHAPE, 2, units=(8,), classes=3, seed=0)
        x = ops.convert_to_tensor(images[:4])
        assert set(np.unique(array(model.evidence(x).z))) == {0.0, 1.0}
        relaxed = array(model.evidence(x, training=True).z)
        assert ((relaxed > 0) & (relaxed < 1)).mean() > 0.9
        codes = model.encode(images[:4])
        probabilities = model.posterior(images[:4]).mean
        assert codes.reshape(-1, 3).sum(-1).tolist() == [1.0] * 8
        np.testing.assert_array_equal(
            codes.reshape(-1, 3).argmax(-1), probabilities.reshape(-1, 3).argmax(-1)
        )

    def test_the_temperature_is_the_paper_s(self):
        layer = models.categorical_vae(SHAPE, 2, units=(4,)).posterior_layer
        assert layer.temperature == Exponential(1.0, 0.5, 3e-5)
        for step in (0, 10_000, 50_000):
            q = layer.training_distribution(ops.convert_to_tensor(step), ops.zeros((1, 20)))
            expected = max(0.5, np.exp(-3e-5 * step))
            assert array(q.temperature) == pytest.approx(expected, rel=1e-5)

    def test_its_bound_is_that_of_the_sum_over_all_codes(self, images):
        """One variable of three classes: log Σ_c p(x|c)/3, exactly."""
        model = models.categorical_vae(SHAPE, 1, units=(8,), classes=3, seed=0)
        x = images[:2]
        each = np.stack([model.log_px(x, np.repeat(np.eye(3)[c : c + 1], 2, 0)) for c in range(3)])
        expected = reference.logmeanexp(each.astype("float64"))
        bound = model.log_likelihood(x, 5000, verbose=False)
        np.testing.assert_allclose(bound, expected, atol=0.02)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="classes=1"):
            posteriors.Categorical(2, 1)
        with pytest.raises(ValueError, match="temperature=0"):
            posteriors.Categorical(2, 2, temperature=0)


class TestProduct:
    def test_kl_and_density_are_the_sums_of_the_parts(self, rng):
        normal = distributions.Normal(*map(tensor, rng.normal(size=(2, 3, 2))))
        discrete = distributions.Categorical(tensor(rng.normal(size=(3, 4))), 4)
        q = distributions.Product([normal, discrete])
        p = priors.ProductPrior([priors.StandardNormal(2), priors.UniformCategorical(1, 4)])
        expected = array(normal.kl(standard(2))) + array(
            discrete.kl(priors.UniformCategorical(1, 4))
        )
        np.testing.assert_allclose(array(q.kl(p)), expected, rtol=1e-5)
        np.testing.assert_allclose(array(q.kl_each(p.distribution())).sum(-1), expected, rtol=1e-5)
        found, error = monte_carlo(q, p.distribution())
        assert (np.abs(found - expected) < 5 * error).all()
        z = q.transform(tensor(rng.standard_normal((5, 3, 6))))
        np.testing.assert_allclose(
            array(q.log_prob(z)),
            array(normal.log_prob(z[..., :2])) + array(discrete.log_prob(z[..., 2:])),
            rtol=1e-5,
        )
        drawn = p.sample(1000, np.random.default_rng(0))
        assert drawn.shape == (1000, 6) and set(np.unique(drawn[:, 2:])) == {0.0, 1.0}
        np.testing.assert_allclose(drawn[:, 2:].mean(0), 0.25, atol=0.06)

    def test_another_kind_of_prior_is_refused(self):
        q = distributions.Product([standard(2)])
        with pytest.raises(NotImplementedError, match=r"KL\(Product \|\| Normal\)"):
            q.kl(standard(2))


class TestLimits:
    """Models whose extra parts are gone are the plain VAE, to 1e-6."""

    def losses(self, make, **kwargs):
        model = make(SHAPE, 3, units=(8,), seed=4, **kwargs)
        x = make_images(np.random.default_rng(0), 6)
        noise = np.random.default_rng(1).standard_normal((2, 6, 3), "float32")
        extra = getattr(model.posterior_layer, "extra", None)
        if extra is not None:
            extra.set_weights([0 * w for w in extra.get_weights()])
        loss, terms = model.objective(model.evidence(ops.convert_to_tensor(x), noise=noise))
        return {"loss": array(loss), **{k: array(v) for k, v in terms.items()}}

    @pytest.mark.parametrize(
        "make, options",
        [
            (models.flow_vae, {"flows": 0}),
            (models.flow_vae, {"flows": 0, "kind": "radial"}),
            (models.iaf_vae, {"steps": 0}),
            (models.full_covariance_vae, {}),
        ],
    )
    def test_zero_flows_and_an_empty_factor(self, make, options):
        plain, limit = self.losses(models.vae), self.losses(make, **options)
        assert set(plain) == set(limit)
        for name in plain:
            np.testing.assert_allclose(limit[name], plain[name], rtol=1e-6, atol=1e-6)


class TestBounds:
    @pytest.mark.parametrize(
        "make, options",
        [
            (models.flow_vae, {"flows": 3}),
            (models.flow_vae, {"flows": 3, "kind": "radial"}),
            (models.iaf_vae, {"steps": 2}),
            (models.full_covariance_vae, {}),
        ],
    )
    def test_every_posterior_s_bound_reaches_the_exact_likelihood(self, make, options, rng):
        """The decoder of a linear-Gaussian model, proposals that are any but right."""
        weights, bias, variance = rng.normal(size=(5, 2)), rng.normal(size=5), 0.5
        model = make(
            (5,), 2, units=(), seed=0, **options,
            likelihood=likelihoods.Normal(variance, data_range=None),
        )  # fmt: skip
        layer = model.posterior_layer
        layer.set_weights([0.3 * w for w in layer.get_weights()])
        if make is models.full_covariance_vae:  # what is below its diagonal starts as 0
            layer.extra.set_weights([0.2 * rng.normal(size=w.shape) for w in layer.extra.weights])
        model.decoder.set_weights([weights.T, bias])
        x = rng.normal(size=(6, 2)) @ weights.T + bias + variance**0.5 * rng.normal(size=(6, 5))
        x = x.astype("float32")
        exact = reference.linear_gaussian(x, weights, bias, variance)
        bound = model.log_likelihood(x, samples=20_000, verbose=False)
        np.testing.assert_allclose(bound, exact, atol=0.15)
        terms = metrics.elbo(model, x, samples=20)
        assert terms["elbo"].mean < exact.mean()
        # Its divergence comes from samples of their own.
        assert terms["reconstruction"].mean == pytest.approx(terms["elbo"].mean + terms["kl"].mean)
        assert terms["kl"].mean > 0
