"""Mixtures of normals, their fit, and `fit_sampler`, which gives one to a model."""

import keras
import numpy as np
import pytest
from conftest import SHAPE, array
from keras import ops
from registry import NO_PRIOR, data, make

from keras_vae import distributions, metrics, models, priors, zoo
from keras_vae.export.signatures import signatures

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns


def tensor(value):
    return ops.convert_to_tensor(np.asarray(value, "float32"))


def some(rng, k=3, d=2):
    """Weights, means and factors."""
    factors = np.tril(rng.normal(size=(k, d, d)), -1) + np.eye(d) * rng.uniform(0.3, 2, (k, d, 1))
    return rng.dirichlet(np.ones(k)), 2 * rng.normal(size=(k, d)), factors


def log_density(x, weights, means, factors):
    """Of points `(n, d)`, by determinants and inverses of the covariances."""
    total = 0.0
    for weight, mean, factor in zip(weights, means, factors):
        covariance = factor @ factor.T
        squared = np.einsum("ni,ij,nj->n", x - mean, np.linalg.inv(covariance), x - mean)
        scale = np.sqrt(np.linalg.det(2 * np.pi * covariance))
        total = total + weight * np.exp(-0.5 * squared) / scale
    return np.log(total)


def points(rng, n, weights, means, factors):
    chosen = rng.choice(len(weights), n, p=weights)
    noise = rng.normal(size=(n, means.shape[1]))
    return means[chosen] + np.einsum("nij,nj->ni", factors[chosen], noise)


class TestMixture:
    def test_log_prob_is_the_numpy_reference(self, rng):
        parts = some(rng, 4, 3)
        found = distributions.MultivariateMixture(*map(tensor, (np.log(parts[0]), *parts[1:])))
        x = 2 * rng.normal(size=(5, 20, 3))
        expected = np.stack([log_density(each, *parts) for each in x])
        np.testing.assert_allclose(array(found.log_prob(tensor(x))), expected, rtol=2e-5, atol=1e-5)
        one = array(found.log_prob(tensor(x[0])))
        np.testing.assert_allclose(one, expected[0], rtol=2e-5, atol=1e-5)
        np.testing.assert_allclose(array(found.mean), parts[0] @ parts[1], atol=1e-5)

    def test_it_integrates_to_one(self, rng):
        parts = some(rng, 3, 1)
        found = distributions.MultivariateMixture(*map(tensor, (np.log(parts[0]), *parts[1:])))
        grid = np.linspace(-30, 30, 60001)
        density = np.exp(array(found.log_prob(tensor(grid[:, None]))))
        assert density.sum() * 1e-3 == pytest.approx(1.0, abs=1e-4)

    def test_one_component_is_a_normal(self, rng):
        _, means, factors = some(rng, 1, 3)
        x = tensor(rng.normal(size=(7, 3)))
        normal = distributions.MultivariateNormal(tensor(means[0]), tensor(factors[0]))
        found = distributions.MultivariateMixture(tensor([0.0]), tensor(means), tensor(factors))
        np.testing.assert_allclose(array(found.log_prob(x)), array(normal.log_prob(x)), rtol=1e-5)

    def test_it_is_not_made_of_normal_noise(self, rng):
        prior = priors.GaussianMixture(2, 3)
        with pytest.raises(ValueError, match="drawn with NumPy.*shape \\(4, 2\\)"):
            prior.distribution().transform(np.zeros((4, 2)))


@pytest.mark.once
class TestFit:
    @pytest.mark.parametrize("regularization", [0.0, 1e-3, 0.3])
    def test_the_objective_never_falls(self, regularization, rng):
        x = points(rng, 500, *some(rng, 4, 3))
        for seed in range(5):
            found = priors.fit(
                x, 5, seed, iterations=60, tolerance=0.0, regularization=regularization
            )
            assert len(found.history) > 5
            assert np.diff(found.history).min() > -1e-9

    def test_the_objective_is_the_log_likelihood(self, rng):
        x = points(rng, 400, *some(rng))
        found = priors.fit(x, 3, regularization=0.0, tolerance=1e-9)
        assert found.history[-1] == pytest.approx(log_density(x, *found[:3]).mean(), abs=1e-8)
        assert found.weights.sum() == pytest.approx(1.0)

    def test_one_component_is_the_mean_and_the_covariance(self, rng):
        x = points(rng, 300, *some(rng))
        found = priors.fit(x, 1, regularization=0.0)
        np.testing.assert_allclose(found.means[0], x.mean(0), rtol=1e-9)
        covariance = found.factors[0] @ found.factors[0].T
        np.testing.assert_allclose(covariance, np.cov(x.T, bias=True), rtol=1e-9)

    def test_it_recovers_a_mixture_that_is_known(self, rng):
        weights = np.array([0.5, 0.3, 0.2])
        means = np.array([[0.0, 0.0], [6.0, 1.0], [-2.0, 7.0]])
        factors = np.array([[[1, 0], [0.5, 1]], [[0.5, 0], [0, 2]], [[1, 0], [-0.8, 0.3]]])
        x = points(rng, 6000, weights, means, factors)
        found = priors.fit(x, 3, seed=0)
        order = [int(np.square(found.means - mean).sum(-1).argmin()) for mean in means]
        assert sorted(order) == [0, 1, 2]
        np.testing.assert_allclose(found.weights[order], weights, atol=0.03)
        np.testing.assert_allclose(found.means[order], means, atol=0.15)
        for k, factor in zip(order, factors):
            covariance = found.factors[k] @ found.factors[k].T
            np.testing.assert_allclose(covariance, factor @ factor.T, atol=0.25)

    def test_equal_seeds_are_equal_fits(self, rng):
        x = points(rng, 200, *some(rng))
        for a, b in zip(priors.fit(x, 3, seed=4)[:3], priors.fit(x, 3, seed=4)[:3]):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize(
        "x",
        [
            np.repeat([[1.0, 2.0], [3.0, 4.0]], 10, axis=0),
            np.ones((20, 2)),
            np.c_[np.arange(20.0), np.zeros(20)],
            1e4 * np.eye(20),
        ],
    )
    def test_points_that_lie_flat_are_survived(self, x):
        """More components than places, constant dimensions: nothing singular."""
        found = priors.fit(x, 5)
        prior = priors.GaussianMixture.from_arrays(*found[:3])
        drawn = prior.sample(100, np.random.default_rng(0))
        assert np.isfinite(drawn).all()
        assert np.isfinite(array(prior.distribution().log_prob(tensor(x)))).all()
        assert np.abs(drawn.mean(0) - x.mean(0)).max() < 5 * (x.std() + 0.01)

    def test_bad_points(self):
        for x, components in (
            (np.zeros(5), 1),
            (np.zeros((5, 2)), 6),
            (np.full((5, 2), np.nan), 2),
            (np.zeros((5, 2)), 0),
        ):
            with pytest.raises(ValueError, match="`x` must be finite points.*Received"):
                priors.fit(x, components)


class TestPrior:
    def test_samples_have_the_moments(self, rng):
        weights, means, factors = some(rng, 3, 2)
        prior = priors.GaussianMixture.from_arrays(weights, means, factors)
        drawn = prior.sample(100_000, np.random.default_rng(1)).astype("float64")
        assert drawn.shape == (100_000, 2)
        mean = weights @ means
        second = sum(
            w * (f @ f.T + np.outer(m, m)) for w, m, f in zip(weights, means, factors)
        ) - np.outer(mean, mean)
        np.testing.assert_allclose(drawn.mean(0), mean, atol=0.05)
        np.testing.assert_allclose(np.cov(drawn.T), second, atol=0.1)
        # And more than moments: its density scores its own samples as an entropy does.
        scores = log_density(drawn, weights, means, factors)
        found = array(prior.distribution().log_prob(tensor(drawn[:1000])))
        np.testing.assert_allclose(found, scores[:1000], rtol=1e-4, atol=1e-4)
        again = prior.sample(5, np.random.default_rng(1))
        np.testing.assert_array_equal(again, prior.sample(5, np.random.default_rng(1)))
        assert again.dtype == np.float32

    def test_before_it_is_given_numbers_it_is_standard_normal(self, rng):
        x = tensor(rng.normal(size=(9, 3)))
        expected = array(priors.StandardNormal(3).distribution().log_prob(x))
        found = array(priors.GaussianMixture(3, 4).distribution().log_prob(x))
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    @pytest.mark.parametrize(
        "change, message",
        [
            ({0: np.ones(2)}, r"shapes.*\(2,\)"),
            ({1: np.ones(3)}, "shapes"),
            ({0: np.array([1.0, -1.0, 1.0])}, "smallest -1"),
            ({2: np.ones((3, 2, 2))}, "above the"),
            ({1: np.full((3, 2), np.inf)}, "finite: False"),
        ],
    )
    def test_bad_arrays(self, change, message):
        parts = [np.ones(3), np.ones((3, 2)), np.repeat(np.eye(2)[None], 3, axis=0)]
        with pytest.raises(ValueError, match=message):
            priors.GaussianMixture.from_arrays(*[change.get(i, p) for i, p in enumerate(parts)])

    def test_bad_components(self):
        with pytest.raises(ValueError, match="components=0"):
            priors.GaussianMixture(2, 0)


@pytest.mark.parametrize("name", sorted(NO_PRIOR))
class TestEveryAutoencoder:
    def test_it_samples_and_what_was_fitted_is_saved(self, name, tmp_path):
        model = make(name)
        x, _ = data(name, 40)
        model.fit(x, verbose=0)
        codes = model.encode(x)
        assert model.fit_sampler(x, components=2, seed=3) is model
        drawn = model.sample(6, seed=1)
        assert drawn.shape == (6, 8, 8, 1)
        np.testing.assert_array_equal(drawn, model.sample(6, seed=1))
        assert np.abs(drawn - model.sample(6, seed=2)).max() > 1e-6
        # Networks are what they were, and the mixture is that of the codes.
        np.testing.assert_array_equal(model.encode(x), codes)
        expected = priors.fit(codes, 2, seed=3)
        np.testing.assert_allclose(array(model.prior.means), expected.means, rtol=1e-5, atol=1e-6)

        model.save(tmp_path / "m.keras")
        zoo.save(model, tmp_path / "preset", golden=(x[:2],))
        model.save_weights(tmp_path / "m.weights.h5")
        fresh = make(name, seed=9).fit_sampler(x, components=2)
        fresh.load_weights(tmp_path / "m.weights.h5")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        for other in (loaded, zoo.load(tmp_path / "preset"), fresh):
            np.testing.assert_array_equal(other.sample(6, seed=1), drawn)
        # It trains on, is fitted again, and is saved as it is then.
        for each in (model, loaded):
            each.fit(x, verbose=0)
            each.fit_sampler(x, "normal")
            assert isinstance(each.prior, priors.LinearNormal)
            again = each.sample(6, seed=1)
            each.save(tmp_path / "again.keras")
            other = keras.saving.load_model(tmp_path / "again.keras")
            np.testing.assert_array_equal(other.sample(6, seed=1), again)
            assert len(other.weights) == len(each.weights) == len(make(name).weights) + 2

    def test_what_can_be_exported(self, name):
        model = make(name)
        x, _ = data(name, 40)
        assert set(signatures(model)) == {"encode", "decode", "reconstruct"}
        with pytest.raises(ValueError, match="NoPrior are not made of normal noise"):
            signatures(model, "sample")
        model.fit_sampler(x, components=2)
        assert set(signatures(model)) == {"encode", "decode", "reconstruct"}
        model.fit_sampler(x, "normal")
        assert set(signatures(model)) == {"encode", "decode", "reconstruct", "sample"}


class TestFitSampler:
    def test_normal_is_with_fitted_prior(self, images):
        model = models.autoencoder(SHAPE, 3, units=(8,), seed=0)
        other = model.with_fitted_prior(images)
        assert isinstance(model.prior, priors.NoPrior)
        model.fit_sampler(images, "normal")
        for a, b in zip(model.prior.get_weights(), other.prior.get_weights()):
            np.testing.assert_array_equal(a, b)

    def test_samples_come_from_where_the_codes_are(self, images):
        model = models.autoencoder(SHAPE, 2, units=(8,), seed=0)
        codes = model.encode(images)
        model.fit_sampler(images, components=4)
        drawn = model.prior.sample(2000, np.random.default_rng(0))

        def distance(points):
            return np.square(points[:, None] - codes[None]).sum(-1).min(1).mean()

        spread = np.random.default_rng(0).standard_normal((2000, 2)) * 3 * codes.std(0)
        assert distance(drawn) < 0.3 * distance(spread + codes.mean(0))
        np.testing.assert_allclose(drawn.mean(0), codes.mean(0), atol=0.2 * codes.std())

    def test_a_mixture_that_is_standard_normal_gives_the_bound_of_one(self, images):
        """What was compiled with the old prior is not used any more."""
        model = models.vae(SHAPE, 2, units=(8,), seed=0)
        x = images[:5]
        before = model.log_likelihood(x, 50, verbose=False)
        model.fit_sampler(images, components=2)
        fitted = model.log_likelihood(x, 50, verbose=False)
        assert np.abs(fitted - before).min() > 1e-3
        standard = priors.GaussianMixture(2, 2).get_weights()
        model.prior.set_weights(standard)
        np.testing.assert_allclose(model.log_likelihood(x, 50, verbose=False), before, rtol=1e-5)
        # Its KL is a mean over samples, and collapse is told without it.
        assert np.isfinite(model.evaluate(x, verbose=0, return_dict=True)["kl_loss"])
        assert metrics.collapse_report(model, images).kl is None
        with pytest.raises(ValueError, match="prior=GaussianMixture"):
            metrics.kl_per_dimension(model, images)

    def test_the_noise_of_a_variational_code_counts(self, images):
        model = models.vae(SHAPE, 2, units=(8,), seed=0)
        model.fit_sampler(np.repeat(images[:1], 3000, axis=0), components=1)
        q = model.posterior(images[:1])
        covariance = array(model.prior.factors[0]) @ array(model.prior.factors[0]).T
        np.testing.assert_allclose(np.diag(covariance), q.variance[0], rtol=0.15)

    def test_of_a_conditional_model_only_the_normal_knows_the_condition(self, images):
        model = models.cvae(SHAPE, 2, units=(8,), num_classes=2, seed=0)
        y = np.arange(64) % 2
        with pytest.raises(ValueError, match="kind='normal'.*Labels"):
            model.fit_sampler(images, y=y)
        model.fit_sampler(images, "normal", y)
        assert model.sample(3, condition=1, seed=0).shape == (3, *SHAPE)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"kind": "kde"}, "kind='kde'"),
            ({"components": 0}, "components=0"),
            ({"components": 100}, "100 normals in 3 dimensions.*Received: 64"),
            ({"kind": "gmm", "y": [0] * 64}, "unconditional"),
        ],
    )
    def test_an_error_changes_nothing(self, arguments, message, images):
        model = models.autoencoder(SHAPE, 3, units=(8,), seed=0)
        prior = model.prior
        with pytest.raises(ValueError, match=message):
            model.fit_sampler(images, **arguments)
        with pytest.raises(ValueError, match="must lie in"):
            model.fit_sampler(255 * images)
        assert model.prior is prior

    def test_a_prior_that_is_trained_is_left_alone(self, images):
        model = models.vq_vae(SHAPE, 2, units=(2, 2), prior_depth=1, seed=0)
        with pytest.raises(ValueError, match="trained with it.*GatedPixelCNN"):
            model.fit_sampler(images)
