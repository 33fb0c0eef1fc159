"""Values that float32, a mode, or a dropped term once made wrong: closed forms in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import (
    distributions,
    flows,
    likelihoods,
    metrics,
    models,
    objectives,
    posteriors,
    priors,
    quantizers,
)
from tests.support import array
from tests.support.autodiff import gradient

pytestmark = pytest.mark.turns


def softplus(x):
    return np.logaddexp(0.0, np.asarray(x, "float64"))


def tensors(*arrays):
    return [ops.convert_to_tensor(np.asarray(a, "float32")) for a in arrays]


def linear(kernel, bias=0.0):
    """A Keras model of one dense layer with these weights."""
    kernel = np.asarray(kernel, "float32")
    inputs = keras.Input(kernel.shape[:1])
    model = keras.Model(inputs, keras.layers.Dense(kernel.shape[1])(inputs))
    model.set_weights([kernel, np.zeros(kernel.shape[1], "float32") + np.float32(bias)])
    return model


def small(posterior, objective=None, dim=4, middle=None, **parts):
    """A model of data `(dim,)` whose encoder has a layer in the middle."""
    keras.utils.set_random_seed(1)
    x = keras.Input((dim,))
    hidden = keras.layers.Dense(5, activation="tanh")(x)
    encoder = keras.Model(x, hidden if middle is None else middle(hidden))
    z = keras.Input((posterior.latent_dim,))
    decoder = keras.Model(z, keras.layers.Dense(dim)(z))
    return models.VAE(encoder, decoder, posterior, objective=objective, seed=0, **parts)


@pytest.fixture
def x(rng):
    return rng.random((12, 4), dtype="float32")


class TestPlanarDeterminant:
    @pytest.mark.parametrize("along", [-1.0, -16.0, -18.0, -30.0, -60.0])
    def test_where_the_flow_nearly_folds(self, along):
        # w·z + b = 0, so that h = 0 and the determinant is 1 + wᵀû = softplus(wᵀu).
        u, w, z, b = tensors([[along, 0.5]], [[1.0, 0.0]], [[0.0, 2.0]], [[0.0]])
        _, log_det = flows.Planar(u, w, b)(z)
        assert array(log_det)[0] == pytest.approx(np.log(softplus(along)), abs=1e-4)

    def test_beyond_float32_it_is_finite(self):
        u, w, z, b = tensors([[-200.0, 0.5]], [[1.0, 0.0]], [[0.0, 2.0]], [[0.0]])
        assert np.isfinite(array(flows.Planar(u, w, b)(z)[1])).all()

    @pytest.mark.parametrize("size", [0.0, 1e-8, 1e-6, 1e-3])
    def test_of_small_w(self, size):
        u, w, z, b = [[40.0, -3.0]], [[size, 0.0]], [[0.3, 2.0]], [[0.4]]
        _, log_det = flows.Planar(*tensors(u, w, b))(*tensors(z))
        u, w, z = np.float64(np.float32(u)), np.float64(np.float32(w)), np.float64(z)
        along = (u * w).sum()
        moved = u + (softplus(along) - 1.0 - along) * w / ((w * w).sum() + 1e-12)
        h = np.tanh((w * z).sum() + 0.4)
        wanted = np.log(1.0 + (1.0 - h * h) * (w * moved).sum())
        assert array(log_det)[0] == pytest.approx(wanted, abs=1e-5)


class TestDensityFromTheNoise:
    @pytest.mark.parametrize("log_var", [-30.0, -10.0, 0.0])
    def test_of_a_narrow_normal(self, rng, log_var):
        noise, mean = rng.standard_normal((2, 5, 3)), rng.standard_normal((5, 3)) + 2.0
        normal = distributions.Normal(*tensors(mean, np.full((5, 3), log_var)))
        _, found = normal.transform_and_log_prob(*tensors(noise))
        wanted = -0.5 * (np.log(2 * np.pi) + log_var + noise**2).sum(-1)
        np.testing.assert_allclose(array(found), wanted, atol=2e-5)

    def test_of_what_is_made_of_normals(self, rng):
        mean, log_var, noise = tensors(
            rng.standard_normal((5, 2)), np.full((5, 2), -28.0), rng.standard_normal((1, 5, 2))
        )
        wanted = -0.5 * (np.log(2 * np.pi) - 28.0 + array(noise) ** 2)
        narrow = distributions.Normal(mean, log_var)
        moved = distributions.Transformed(
            narrow, [flows.Planar(*tensors([[0, 0]], [[0, 0]], [[0]]))]
        )
        np.testing.assert_allclose(
            array(moved.transform_and_log_prob(noise)[1]), wanted.sum(-1), atol=2e-5
        )
        both = distributions.Product([narrow, narrow])
        twice = ops.concatenate([noise, noise], axis=-1)
        np.testing.assert_allclose(
            array(both.transform_and_log_prob(twice)[1]), 2 * wanted.sum(-1), atol=4e-5
        )
        chain = distributions.Chained(narrow, lambda z: (z, 0.0 * z - 28.0), upwards=True)
        np.testing.assert_allclose(
            array(chain.transform_and_log_prob(twice)[1]), 2 * wanted.sum(-1), atol=4e-5
        )

    def test_a_part_without_density_leaves_none(self):
        mean = ops.zeros((2, 1))
        both = distributions.Product([distributions.Point(mean), distributions.Normal(mean, mean)])
        assert both.transform_and_log_prob(ops.zeros((1, 2, 2)))[1] is None


class TestFittedVariance:
    """`optimal_normal`: the loss has no slope by the variance that the batch was given."""

    def slope(self, model, x, weights, noise):
        kwargs = {} if weights is None else {"sample_weight": ops.convert_to_tensor(weights)}
        evidence = model.evidence(ops.convert_to_tensor(x), training=True, noise=noise, **kwargs)
        # The first batch's variance is the running average.
        log_var = np.log(array(model.likelihood.average))
        outputs = array(model._outputs(evidence.z))
        ratio, squared = array(evidence.log_ratio), np.square(x - outputs).sum(-1)
        weights = np.ones(len(x)) if weights is None else weights

        def loss(log_var):
            log_px = -0.5 * (x.shape[1] * (np.log(2 * np.pi) + log_var) + squared / np.exp(log_var))
            values = log_px - ratio
            if isinstance(model.objective, objectives.IWAE):
                each = np.logaddexp.reduce(values, axis=0) - np.log(len(values))
            else:
                each = log_px.mean(0)
            return -(weights * each).mean()

        return (loss(log_var + 1e-4) - loss(log_var - 1e-4)) / 2e-4

    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("objective", [objectives.ELBO(samples=2), objectives.IWAE(5)])
    def test_is_the_optimum_of_the_weighted_loss(self, x, rng, objective, weighted):
        model = small(posteriors.DiagonalNormal(2, seed=0), objective, likelihood="optimal_normal")
        weights = (10.0 * rng.random(12) ** 4).astype("float32") if weighted else None
        noise = rng.standard_normal((objective.samples, 12, 2), dtype="float32")
        assert abs(self.slope(model, x, weights, noise)) < 2e-3

    def test_fit_hands_the_weights_on(self, x):
        model = small(posteriors.DiagonalNormal(2, seed=0), likelihood="optimal_normal")
        model.compile(keras.optimizers.SGD(0.0))
        x[6:] = 1.0
        weights = np.repeat(np.float32([1, 0]), 6)
        model.fit(x, sample_weight=weights, batch_size=12, verbose=0, shuffle=False)
        weighted = float(array(model.likelihood.average))
        again = small(posteriors.DiagonalNormal(2, seed=0), likelihood="optimal_normal")
        error = np.square(x[:6] - again.reconstruct(x[:6])).mean()
        alike = np.square(x - again.reconstruct(x)).mean()
        # z is drawn: the error is near that of the mean, and far from that of all examples.
        assert abs(weighted - error) < 0.5 * abs(alike - error) or weighted > error


class TestUnits:
    """`collapse_report` says the same in metres and in centimetres."""

    def model(self, scale, seen=1.0):
        # x = W z + 0.5 ε of p(z) = N(0, 1): the exact posterior is linear in x.
        d, variance = 40, 0.25
        w = np.full((1, d), 0.08)
        precision = 1.0 + (w**2).sum() / variance
        gain = w.T / variance / precision / scale
        posterior = posteriors.DiagonalNormal(1, log_var_bound=1000.0)
        model = models.VAE(
            linear(gain),
            linear(seen * scale * w),
            posterior,
            likelihood=likelihoods.Normal(float(scale**2 * variance), data_range=None),
        )
        posterior.projection.set_weights(
            [np.float32([[1.0, 0.0]]), np.float32([0.0, -np.log(precision)])]
        )
        rng = np.random.default_rng(0)
        z = rng.standard_normal((400, 1))
        x = scale * (z @ w + variance**0.5 * rng.standard_normal((400, d)))
        return model, x.astype("float32")

    def test_of_an_exact_model(self):
        reports = [metrics.collapse_report(*self.model(s)) for s in (0.01, 1.0, 5.5, 300.0)]
        assert [r.verdict for r in reports] == ["healthy"] * 4
        assert np.ptp([r.used for r in reports]) < 0.02 * reports[0].used

    def test_of_a_decoder_that_ignores_the_code(self):
        reports = [metrics.collapse_report(*self.model(s, 0.001)) for s in (0.01, 1.0, 5.5, 300.0)]
        assert [r.verdict for r in reports] == ["collapsed"] * 4

    @pytest.mark.parametrize(
        "likelihood, outputs",
        [
            ("bernoulli", lambda x: np.log(x / (1.0 - x))),
            (likelihoods.Normal(0.3), lambda x: x),
            ("normal", lambda x: x),
            ("logcosh", lambda x: x),
        ],
    )
    def test_the_best_log_prob_is_that_of_the_data_itself(self, rng, likelihood, outputs):
        x = rng.uniform(0.1, 0.9, (3, 4)).astype("float32")
        likelihood = likelihoods.get(likelihood)
        best = likelihood.best_log_prob(x)
        found = likelihood.log_prob(*tensors(x, outputs(x)[None]))[0]
        np.testing.assert_allclose(best, array(found), rtol=1e-5)
        worse = likelihood.log_prob(*tensors(x, outputs(x)[None] + 0.05))[0]
        assert (array(worse) < best).all()
        missing = likelihoods.Observed(likelihood)
        holes = x.copy()
        holes[0, 1] = np.nan
        np.testing.assert_allclose(
            missing.best_log_prob(holes),
            array(missing.log_prob(*tensors(holes, outputs(x)[None]))[0]),
            rtol=1e-5,
        )


class TestActiveUnits:
    def test_of_categorical_codes_is_by_their_probabilities(self, x):
        model = small(posteriors.Categorical(2, 3, seed=0), prior=priors.UniformCategorical(2, 3))
        kernel, bias = model.posterior_layer.projection.get_weights()
        # Probabilities that hardly move, whose order does.
        model.posterior_layer.projection.set_weights([1e-3 * kernel, bias])
        assert model.encode(x).var(0).max() > 0.01
        assert not metrics.active_units(model, x).any()
        assert metrics.collapse_report(model, x).verdict == "collapsed"
        model.posterior_layer.projection.set_weights([40.0 * kernel, bias])
        p = model.posterior(x).mean
        assert metrics.active_units(model, x).tolist() == (p.var(0) > 0.01).tolist()
        assert metrics.active_units(model, x).any()

    def test_of_a_product_is_part_by_part(self, x):
        parts = [posteriors.Categorical(1, 2, seed=0), posteriors.FlowPosterior(1, flows=1, seed=1)]
        prior = priors.ProductPrior([priors.UniformCategorical(1, 2), priors.StandardNormal(1)])
        model = small(posteriors.ProductPosterior(parts), prior=prior)
        q = model.posterior(x)
        assert np.array_equal(q.expected[:, 2:], q.center[:, 2:])
        assert np.allclose(q.expected[:, :2].sum(-1), 1.0) and q.expected[:, 0].max() < 1.0


class TestFullCovariance:
    def model(self, rng, objective=None):
        model = small(posteriors.FullCovariance(3, seed=0), objective)
        for v in model.posterior_layer.trainable_variables:
            v.assign(v + rng.standard_normal(v.shape).astype("float32"))
        return model

    def moments(self, model, x):
        q = model.posterior(x)
        mean, factor = q.mean.astype("float64"), q.factor.astype("float64")
        within = np.einsum("nij,nkj->ik", factor, factor) / len(x)
        return mean, within

    def test_dip_has_the_off_diagonals(self, rng, x):
        model = self.model(rng, objectives.DIP("ii", 3.0, 2.0))
        _, terms = model.objective(model.evidence(ops.convert_to_tensor(x)))
        mean, within = self.moments(model, x)
        c = np.cov(mean.T, bias=True) + within
        off = (c**2).sum() - (np.diag(c) ** 2).sum()
        wanted = 3.0 * off + 2.0 * ((np.diag(c) - 1.0) ** 2).sum()
        np.testing.assert_allclose(array(terms["dip_loss"]), wanted, rtol=1e-4)

    @pytest.mark.parametrize("way", ["with_fitted_prior", "fit_sampler"])
    def test_a_fitted_prior_has_them(self, rng, x, way):
        model = self.model(rng)
        mean, within = self.moments(model, x)
        if way == "fit_sampler":
            fitted = model.fit_sampler(x, "normal").prior
        else:
            fitted = model.with_fitted_prior(x).prior
        factor = array(fitted.factor)
        wanted = np.cov(mean.T, bias=True) + within
        np.testing.assert_allclose(factor @ factor.T, wanted, rtol=1e-3, atol=1e-4)
        assert np.abs(wanted - np.diag(np.diag(wanted))).max() > 0.3


class TestFittedPriorBySamples:
    @pytest.mark.parametrize(
        "posterior",
        [
            posteriors.FlowPosterior(2, flows=2, seed=0),
            posteriors.InverseAutoregressive(2, 2, 5, 2, seed=0),
            posteriors.ChainedPosterior(2, 1, (4,), seed=0),
        ],
        ids=lambda p: type(p).__name__,
    )
    def test_moments(self, rng, posterior):
        x = rng.random((3000, 4), dtype="float32")
        model = small(posterior)
        fitted = model.with_fitted_prior(x).prior
        noise = rng.standard_normal((20, 3000, 2), dtype="float32")
        z = model.posterior(x).transform(noise).reshape(-1, 2)
        factor = array(fitted.factor)
        np.testing.assert_allclose(factor @ factor.T, np.cov(z.T), atol=0.12 * z.var())
        np.testing.assert_allclose(array(fitted.bias), z.mean(0), atol=0.12 * z.std())

    @pytest.mark.parametrize("name", ["categorical_vae", "joint_vae"])
    def test_codes_that_are_a_choice_are_refused(self, name, images):
        model = getattr(models, name)((8, 8, 1), 2, units=(4,), classes=3, seed=0)
        for call in (model.with_fitted_prior, lambda x: model.fit_sampler(x, "normal")):
            with pytest.raises(ValueError, match="codes that are a choice.*Received: "):
                call(images)


@pytest.mark.once
class TestBits:
    def test_a_density_of_the_levels_themselves_is_refused(self):
        x = np.random.default_rng(0).integers(0, 256, (20, 12)) / 255.0
        narrow = likelihoods.Normal(1e-6)
        log_px = array(narrow.log_prob(*tensors(x, x[None]))[0])
        with pytest.raises(ValueError, match="Fewer than 0 bits.*dequantized.*Received: a mean"):
            metrics.bits_per_dimension(log_px, 12, levels=256)

    def test_uniform_levels_have_their_entropy(self):
        levels = np.random.default_rng(0).integers(0, 8, (500, 12))
        for x in (levels, (levels / 7.0).astype("float32")):
            dequantized = metrics.dequantized(x, 8, seed=1)
            assert np.array_equal(np.floor(8.0 * dequantized), levels)
            assert dequantized.dtype == "float32" and dequantized.max() < 1.0
            assert (8.0 * dequantized - levels).mean() == pytest.approx(0.5, abs=0.02)
        # Their density is 1 on [0, 1].
        assert metrics.bits_per_dimension(np.zeros(500), 12, levels=8).mean() == 3.0

    def test_what_are_no_levels_is_refused(self):
        for x in (np.array([0.5]), np.array([8]), np.array([-1 / 7])):
            with pytest.raises(ValueError, match="Expected 8 levels.*Received: values"):
                metrics.dequantized(x, 8)


def test_evaluate_has_the_layers_own_losses(x):
    def loss(strength):
        regularizer = keras.regularizers.L2(strength)
        inputs = keras.Input((4,))
        layer = keras.layers.Dense(3, activity_regularizer=regularizer, kernel_initializer="ones")
        model = models.VAE(
            keras.Model(inputs, layer(inputs)),
            linear(np.ones((2, 4))),
            posteriors.DiagonalNormal(2, seed=0),
            seed=0,
        )
        model.compile(keras.optimizers.SGD(0.0))
        keras.utils.set_random_seed(0)
        return model.evaluate(x, batch_size=12, verbose=0, return_dict=True)["loss"]

    wanted = 10.0 * 3.0 * np.square(x.sum(-1)).mean()
    assert loss(10.0) - loss(0.0) == pytest.approx(wanted, rel=1e-5)


def test_sparsity_of_hidden_layers_takes_one_pass(x):
    normal = keras.layers.BatchNormalization(momentum=0.5)
    regularized = keras.layers.ActivityRegularization(l2=1.0)
    second = keras.layers.Dense(3, activation="tanh")
    objective = objectives.Sparse("l2", 0.5, layer_weights=[2.0, 3.0])
    model = small(
        posteriors.Point(2, seed=0),
        objective,
        middle=lambda h: second(regularized(normal(h))),
        prior=priors.NoPrior(2),
    )
    hidden = np.tanh(x.astype("float64") @ array(model.encoder.layers[1].kernel))
    evidence = model.evidence(ops.convert_to_tensor(x), training=True)
    _, terms = objective(evidence)
    np.testing.assert_allclose(array(normal.moving_mean), 0.5 * hidden.mean(0), atol=1e-5)
    # Batch normalisation by the batch, as in the pass that made the codes.
    spread = np.sqrt(hidden.var(0) + normal.epsilon)
    after = np.tanh((hidden - hidden.mean(0)) / spread @ array(second.kernel))
    wanted = np.square(array(evidence.z[0])).sum(-1) + 2.0 * np.square(hidden).sum(-1)
    wanted = wanted + 3.0 * np.square(after).sum(-1)
    np.testing.assert_allclose(array(terms["sparsity_loss"]), wanted, rtol=1e-4)


def test_dead_codes_are_revived_on_examples_that_count():
    quantizer = quantizers.VectorQuantizer(6, 2, seed=0, revive_after=1)
    features = np.zeros((8, 3, 2), "float32")
    features[:4] = np.random.default_rng(0).uniform(1.0, 2.0, (4, 3, 2))
    features[4:] = 100.0
    weights = np.repeat(np.float32([1, 0]), 4)
    generator = keras.random.SeedGenerator(0)
    for _ in range(3):
        features_, weights_ = tensors(features, weights)
        quantizer.adapt_codes(features_, quantizer(features_), generator, weights_)
        vectors = array(quantizer.vectors)
        assert vectors.max() <= 2.0
    assert vectors.min() > 0.9 and len(np.unique(vectors.round(5), axis=0)) > 2
    before = array(quantizer.vectors)
    quantizer.adapt_codes(features_, quantizer(features_), generator, 0.0 * weights_)
    np.testing.assert_allclose(array(quantizer.vectors), before, atol=1e-4)


def test_a_vamp_prior_is_in_the_mode_of_the_posterior(x):
    normal = keras.layers.BatchNormalization(momentum=0.5)
    prior = priors.VampPrior(2, 12, (4,), seed=0)
    model = small(posteriors.DiagonalNormal(2, seed=0), prior=prior, middle=normal)
    inner = np.clip(x, 0.01, 0.99)
    prior.raw_inputs.assign(np.log(inner / (1.0 - inner)))
    evidence = model.evidence(ops.convert_to_tensor(inner), training=True)
    # The pseudo-inputs are the batch: the prior's components are its posteriors.
    np.testing.assert_allclose(array(evidence.p.components.mean), array(evidence.q.mean), atol=1e-4)
    np.testing.assert_allclose(
        array(evidence.p.components.log_var), array(evidence.q.log_var), atol=1e-4
    )
    hidden = np.tanh(inner.astype("float64") @ array(model.encoder.layers[1].kernel))
    np.testing.assert_allclose(array(normal.moving_mean), 0.5 * hidden.mean(0), atol=1e-5)
    still = model.evidence(ops.convert_to_tensor(inner))
    np.testing.assert_allclose(array(still.p.components.mean), array(still.q.mean), atol=1e-4)
    model.compile(keras.optimizers.Adam(1e-2))
    losses = model.fit(inner, epochs=3, batch_size=6, verbose=0).history["loss"]
    assert np.isfinite(losses).all()


@pytest.mark.once
def test_a_mixture_whose_weights_would_not_be_trained_is_refused():
    objective = objectives.SlicedWasserstein()
    mixture = priors.LearnedMixture(2, 3, seed=0)
    with pytest.raises(ValueError, match="no gradient by its weights.*Received: objective="):
        small(posteriors.Point(2), objective, prior=mixture)
    product = priors.ProductPrior([priors.LearnedMixture(1, 2), priors.StandardNormal(1)])
    with pytest.raises(ValueError, match="no gradient by its weights"):
        small(posteriors.Point(2), objective, prior=product)
    mixture.trainable = False
    small(posteriors.Point(2), objective, prior=mixture)


def test_the_weights_of_a_mixture_have_the_gradient_of_the_expected_mmd(rng):
    """Against the expectation over the choices, a sum over components in float64."""
    n, log_odds = 60, np.array([0.8, 0.0, -0.5])
    means = np.array([[-2.0], [0.0], [3.0]])
    z = rng.standard_normal((n, 1)).astype("float32") - 1.0

    def estimate(logits, noise):
        p = distributions.Mixture(ops.log_softmax(logits), *tensors(means, np.full((3, 1), -12.0)))
        return objectives.mmd(*tensors(z), p.transform(noise), "rbf", p.choice_weights(noise))

    found = [
        gradient(lambda logits, noise=noise: estimate(logits, noise), log_odds.astype("float32"))
        for noise in (ops.convert_to_tensor(a) for a in rng.standard_normal((40, n, 2), "float32"))
    ]

    # The components are points, but for a σ of .0025; C = 2.
    def kernel(a, b):
        return np.exp(-np.square(a[:, None, 0] - b[None, :, 0]) / 2.0)

    def expected(logits):
        w = np.exp(logits) / np.exp(logits).sum()
        return w @ kernel(means, means) @ w - 2.0 * (kernel(z, means) @ w).mean()

    h = 1e-5 * np.eye(3)
    wanted = [(expected(log_odds + e) - expected(log_odds - e)) / 2e-5 for e in h]
    error = np.std(found, axis=0, ddof=1) / 40**0.5
    assert (np.abs(np.mean(found, axis=0) - wanted) < 5.0 * error).all()
    assert error.max() < 0.25 * np.abs(wanted).max()
