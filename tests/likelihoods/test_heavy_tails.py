"""Student's t against scipy; an outlier that moves the fit little."""

import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, models
from tests.support import array, tensor
from tests.support.autodiff import jacobian

stats = pytest.importorskip("scipy.stats")
X = np.array([[-3.0, 0.0, 0.1], [2.0, 50.0, -1e6]], "float32")


@pytest.mark.parametrize("df", [0.5, 1.0, 3.0, 40.0, 1e4])
@pytest.mark.parametrize("scale", [0.01, 2.0])
def test_value_and_draws(df, scale, rng):
    layer = likelihoods.StudentT(df, scale)
    outputs = np.array([[[0.5, 0.0, 0.1], [2.5, 0.0, 0.0]]], "float32")
    found = array(layer.log_prob(tensor(X), tensor(outputs)))[0]
    expected = stats.t.logpdf(X.astype("float64"), df, outputs[0].astype("float64"), scale)
    np.testing.assert_allclose(found, expected.sum(-1), rtol=2e-6, atol=5e-6)
    np.testing.assert_array_equal(array(layer.mean(tensor(outputs))), outputs)
    best = stats.t.logpdf(0.0, df, 0.0, scale)
    np.testing.assert_allclose(layer.best_log_prob(X), [3 * best] * 2, rtol=2e-6)
    draws = layer.sample(np.full((20_000,), 0.5, "float32"), rng)
    quartile = stats.t.ppf(0.75, df, 0.5, scale)
    assert (draws < quartile).mean() == pytest.approx(0.75, abs=0.012)


@pytest.mark.parametrize("df", ["learned", 1.5])
def test_it_integrates_to_one(df):
    layer = likelihoods.StudentT(df, 0.5)
    # t = tan u: the tails take part.
    u = (np.arange(20_000) + 0.5) / 20_000 * np.pi - np.pi / 2
    each = layer.log_prob(tensor(np.tan(u)[:, None]), tensor(np.full((1, len(u), 1), 0.3)))
    total = np.sum(np.exp(array(each)[0].astype("float64")) / np.cos(u) ** 2) * np.pi / 20_000
    assert total == pytest.approx(1.0, abs=1e-5)


def test_a_scale_of_each_value(rng):
    layer = likelihoods.StudentT(4.0, "value")
    assert layer.data_shape((6,)) == (3,) and layer.best_log_prob(X) is None
    center, log_scale = rng.normal(size=(2, 2, 3))
    outputs = np.stack([center, log_scale], -1).reshape(1, 2, 6)
    scale = np.exp(10 * np.tanh(log_scale / 10))
    found = array(layer.log_prob(tensor(X), tensor(outputs)))[0]
    np.testing.assert_allclose(found, stats.t.logpdf(X, 4.0, center, scale).sum(-1), rtol=5e-6)
    draws = layer.sample_outputs(np.repeat(outputs, 20_000, axis=0).astype("float32"), rng)
    quartile = stats.t.ppf(0.75, 4.0, center, scale)
    np.testing.assert_allclose((draws < quartile).mean(0), 0.75, atol=0.015)
    with pytest.raises(ValueError, match="sample_outputs"):
        layer.sample(center, rng)


@pytest.mark.parametrize("df, scale", [("learned", "learned"), (1.0, "value")])
def test_gradients_are_finite_at_extremes(df, scale):
    layer = likelihoods.StudentT(df, scale)
    x = tensor(np.array([[0.0, 1e30, -1e20]], "float32"))
    for at in (0.0, 1e4, -1e4):
        slope = jacobian(
            lambda out: layer.log_prob(x, ops.reshape(out, (1, 1, -1)))[0],
            np.full(3 * layer.per_value, at),
        )
        assert np.isfinite(slope).all()


@pytest.mark.turns
def test_scale_and_degrees_are_learnt(rng):
    """Of noise alone: both come out as they were, and df starts at 5."""
    layer = likelihoods.StudentT()
    assert array(layer.degrees()) == pytest.approx(5.0, rel=1e-5)
    x = stats.t.rvs(2.5, 0.0, 0.3, (4000, 1), random_state=0).astype("float32")
    model = models.vae((1,), 1, units=(2,), likelihood=layer, seed=0, beta=50.0)
    model.compile("adam")
    model.optimizer.learning_rate = 0.02
    model.fit(x, batch_size=250, epochs=40, verbose=0)
    assert array(layer.degrees()) == pytest.approx(2.5, rel=0.2)
    assert np.exp(array(layer.log_scale())) == pytest.approx(0.3, rel=0.1)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    "options", [{"df": 0.0}, {"df": "value"}, {"scale": -1.0}, {"scale": "optimal"}]
)
def test_bad_arguments_are_refused(options):
    with pytest.raises(ValueError, match="positive number.*Received"):
        likelihoods.StudentT(**options)
