"""Likelihoods of counts: values, draws, checks of data, and a simulation found again."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, models
from tests.support import array, tensor
from tests.support.autodiff import jacobian

stats = pytest.importorskip("scipy.stats")

NAMES = [
    "poisson",
    "negative_binomial",
    "zero_inflated_poisson",
    "zero_inflated_negative_binomial",
]
X = np.array([[0, 1, 5], [40, 0, 300]], "float32")


def made(name):
    """A likelihood, outputs `(1, 2, 3 · per_value)`, and a function from k to its mass."""
    layer = likelihoods.get(name)
    rng = np.random.default_rng(1)
    log_mean = np.log(X + 1.0) + 0.3 * rng.normal(size=X.shape)
    log_theta, logit = rng.normal(size=X.shape), rng.normal(size=X.shape)
    inflated, wide = name.startswith("zero"), name.endswith("binomial")
    parts = [log_mean, *[log_theta] * wide, *[logit] * inflated]
    outputs = np.stack(parts, axis=-1).reshape(2, -1)[None].astype("float32")
    # As the likelihoods bound them.
    mean, theta = np.exp(20 * np.tanh(log_mean / 20)), np.exp(15 * np.tanh(log_theta / 15))
    dropped = 1 / (1 + np.exp(-logit)) if inflated else 0.0

    def mass(k):
        plain = stats.nbinom.pmf(k, theta, theta / (theta + mean))
        plain = plain if wide else stats.poisson.pmf(k, mean)
        return (1 - dropped) * plain + dropped * (np.asarray(k) == 0)

    return layer, outputs, mass, (1 - dropped) * mean


@pytest.mark.parametrize("name", NAMES)
class TestCounts:
    def test_value_mean_and_sum_to_one(self, name):
        layer, outputs, mass, mean = made(name)
        found = array(layer.log_prob(tensor(X), tensor(outputs)))
        np.testing.assert_allclose(found[0], np.log(mass(X)).sum(-1), rtol=2e-6)
        np.testing.assert_allclose(array(layer.mean(tensor(outputs)))[0], mean, rtol=1e-5)
        assert layer.data_shape((4, 3 * layer.per_value)) == (4, 3)
        k = np.arange(4000, dtype="float32").reshape(-1, 1)
        row = np.repeat(outputs[0, :1, : layer.per_value][None], len(k), axis=1)
        total = np.exp(array(layer.log_prob(tensor(k), tensor(row)))).sum()
        assert total == pytest.approx(1.0, abs=1e-5)

    @pytest.mark.parametrize("far", [-1e4, -30.0, 0.0, 30.0, 1e4])
    def test_gradients_are_finite(self, name, far):
        layer = likelihoods.get(name)
        x = tensor(np.array([[0, 1, 16_000_000]], "float32"))
        slope = jacobian(
            lambda out: layer.log_prob(x, ops.reshape(out, (1, 1, -1)))[0],
            np.full(3 * layer.per_value, far),
        )
        assert np.isfinite(slope).all()

    def test_draws_have_the_mass(self, name, rng):
        layer, outputs, mass, mean = made(name)
        many = np.repeat(outputs, 20_000, axis=0)
        x = layer.sample_outputs(many, rng)
        assert x.dtype == "float32" and x.shape == (20_000, *X.shape)
        np.testing.assert_array_equal(x, np.round(x))
        for k in (0, 1, 5):
            np.testing.assert_allclose((x == k).mean(0), mass(k), atol=0.012)
        np.testing.assert_allclose(x.mean(0), mean, atol=6 * (x.std(0) / 141).max())
        if layer.needs_outputs:
            with pytest.raises(ValueError, match="sample_outputs.*Received: "):
                layer.sample(mean, rng)
        else:
            np.testing.assert_allclose(
                layer.sample(np.full((10**4, 1), 3.0), rng).mean(), 3, atol=0.1
            )

    def test_missing_values_count_nothing(self, name):
        layer, outputs, mass, _ = made(name)
        holes = X.copy()
        holes[0, 1] = holes[1, 2] = np.nan
        found = likelihoods.Observed(layer).log_prob(tensor(holes), tensor(outputs))
        each = np.where(np.isnan(holes), 0.0, np.log(mass(X)))
        np.testing.assert_allclose(array(found)[0], each.sum(-1), rtol=2e-6)

    @pytest.mark.turns
    def test_a_model_of_it(self, name, rng):
        x = rng.poisson(3.0, (12, 6)).astype("float32")
        model = models.vae((6,), 2, units=(5,), likelihood=name, seed=0)
        assert model.decoder.output_shape == (None, 6 * model.likelihood.per_value)
        model.fit(x, verbose=0)
        drawn = model.sample(5, seed=0, noise=True)
        assert drawn.shape == (5, 6) and (drawn == np.round(drawn)).all()
        assert (model.sample(5, seed=0) % 1).any()
        for bad, said in ((x - 1, "other values, such as"), (x + 0.5, "counts, integers from 0")):
            for method in (model.encode, model.fit, model.evaluate):
                with pytest.raises(ValueError, match=said):
                    method(bad)
        again = type(model.likelihood).from_config(model.likelihood.get_config())
        assert again.per_value == model.likelihood.per_value
        holes = np.where(rng.random(x.shape) < 0.3, np.nan, x).astype("float32")
        filled = models.miwae((6,), 2, units=(5,), likelihood=name, samples=2, seed=0)
        filled.fit(holes, verbose=0)
        found = filled.impute(holes, samples=10)
        np.testing.assert_array_equal(found[~np.isnan(holes)], holes[~np.isnan(holes)])
        assert np.isfinite(found).all()


def test_best_of_poisson_is_at_its_mean():
    best = likelihoods.Poisson().best_log_prob(X)
    np.testing.assert_allclose(best, stats.poisson.logpmf(X, X).sum(-1), rtol=1e-5)


@pytest.mark.parametrize("name", ["NegativeBinomial", "ZeroInflatedNegativeBinomial"])
def test_one_dispersion_per_feature(name, rng):
    layer = getattr(likelihoods, name)(features=3)
    layer.raw_log_theta.assign([-1.0, 0.0, 1.5])
    theta = np.exp(15 * np.tanh(np.array([-1.0, 0.0, 1.5]) / 15))
    np.testing.assert_allclose(layer.theta, theta, rtol=1e-5)
    # Two positions of three features each, flattened by `log_prob`.
    x = rng.poisson(4.0, (2, 2, 3)).astype("float32")
    outputs = rng.normal(1.0, 0.2, (1, 2, 2, 3 * layer.per_value)).astype("float32")
    if layer.per_value == 2:
        # No zeros but its own.
        outputs[..., 1::2] = -50.0
    mean = np.exp(20 * np.tanh(outputs[0, ..., :: layer.per_value].astype("float64") / 20))
    expected = stats.nbinom.logpmf(x, theta, theta / (theta + mean)).sum((1, 2))
    found = array(layer.log_prob(tensor(x), tensor(outputs)))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    drawn = layer.sample_outputs(np.repeat(outputs, 5000, axis=1), rng).reshape(2, 5000, 2, 3)
    spread = drawn.var(axis=1) / (mean + mean**2 / theta)
    np.testing.assert_allclose(spread, 1.0, atol=0.2)
    with pytest.raises(ValueError, match="size of the data's last axis.*features=3"):
        layer.log_prob(tensor(x[..., :2]), tensor(outputs[..., : 2 * layer.per_value]))


def test_bad_arguments_and_decoders_are_refused():
    with pytest.raises(ValueError, match="`features` must be an integer"):
        likelihoods.NegativeBinomial(features=0)
    with pytest.raises(ValueError, match="takes 2 outputs of the decoder per value.*Received"):
        likelihoods.NegativeBinomial().data_shape((5,))
    code = keras.Input((2,))
    decoder = keras.Model(code, keras.layers.Dense(4, activation="softplus")(code))
    encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="Poisson takes logarithms of means.*'softplus'"):
        models.VAE(encoder, decoder, 2, likelihood="poisson")


@pytest.mark.slow
@pytest.mark.turns
def test_a_simulation_s_parameters_are_found_again():
    """Negative binomial counts of one latent factor: means and θ of each feature, and zeros."""
    rng = np.random.default_rng(0)
    slope, offset = np.array([0.8, -0.8, 0.0, 0.5]), np.array([1.0, 1.5, 2.0, 0.5])
    theta = np.array([0.7, 2.0, 6.0, 2.0])
    z = rng.normal(size=(4000, 1))
    mean = np.exp(offset + slope * z)
    x = rng.poisson(rng.standard_gamma(theta, mean.shape) * mean / theta).astype("float32")
    layer = likelihoods.NegativeBinomial(features=4)
    data = keras.Input((4,), name="data")
    features = keras.layers.Dense(24, activation="tanh")(ops.log1p(data))
    code = keras.Input((1,), name="code")
    model = models.VAE(
        keras.Model(data, features),
        keras.Model(code, keras.layers.Dense(4)(code)),
        1,
        likelihood=layer,
        seed=0,
    )
    keras.utils.set_random_seed(0)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(x, batch_size=200, epochs=25, verbose=0)
    kernel, bias = model.decoder.get_weights()
    np.testing.assert_allclose(bias, offset, atol=0.15)
    np.testing.assert_allclose(np.sign(kernel[0, 0]) * kernel[0], slope, atol=0.2)
    np.testing.assert_allclose(layer.theta, theta, rtol=0.3)
