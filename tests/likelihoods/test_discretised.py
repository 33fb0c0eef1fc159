"""The discretised mixture of logistics: masses of grey levels, which are code lengths."""

import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, metrics, models
from tests.support import array, tensor
from tests.support.autodiff import jacobian

LEVELS = np.arange(256, dtype="float32") / 255


def cdf(layer, outputs, x):
    """F of the mixtures of outputs `(per_value,)` at x, float64."""
    logits, means, log_scales = outputs.astype("float64").reshape(3, layer.components)
    k = layer.components
    means = means + (np.arange(k) + 0.5) / k
    weights = np.exp(logits - logits.max())
    scales = 0.5 * np.exp(7 * np.tanh(log_scales / 7))
    t = (np.asarray(x)[..., None] - means) / scales
    return (0.5 * (1 + np.tanh(t / 2)) * weights).sum(-1) / weights.sum()


def masses(layer, outputs, levels=256):
    edges = (np.arange(levels - 1) + 0.5) / (levels - 1)
    return np.diff(np.concatenate([[0.0], cdf(layer, outputs, edges), [1.0]]))


def outputs_of(layer, rng, scale):
    outputs = rng.normal(size=(3, layer.components))
    outputs[1] *= 0.3
    outputs[2] += scale
    return outputs.reshape(-1).astype("float32")


def logs(layer, outputs, x):
    """log of the mass of each x, one value each."""
    rows = np.repeat(outputs[None, None], len(x), axis=1)
    return array(layer.log_prob(tensor(x[:, None]), tensor(rows)))[0]


@pytest.mark.parametrize("components", [1, 4])
@pytest.mark.parametrize("scale", [-6.0, -3.0, 0.0, 3.0])
class TestMasses:
    def test_they_are_the_mixture_s_between_the_borders(self, components, scale, rng):
        layer = likelihoods.DiscretisedLogisticMixture(components)
        outputs = outputs_of(layer, rng, scale)
        expected = masses(layer, outputs)
        found = logs(layer, outputs, LEVELS)
        sure = expected > 1e-9
        np.testing.assert_allclose(found[sure], np.log(expected[sure]), rtol=1e-4, atol=2e-5)
        assert np.exp(found.astype("float64")).sum() == pytest.approx(1.0, abs=1e-5)

    def test_mean_and_draws(self, components, scale, rng):
        layer = likelihoods.DiscretisedLogisticMixture(components)
        outputs = outputs_of(layer, rng, scale)
        expected = masses(layer, outputs)
        mean = array(layer.mean(tensor(outputs[None])))
        assert mean.shape == (1, 1)
        assert mean[0, 0] == pytest.approx((expected * LEVELS).sum(), abs=0.5 / 255)
        x = layer.sample_outputs(np.tile(outputs, (20_000, 1)), rng)
        assert set(np.round(255 * x).ravel()) <= set(range(256))
        np.testing.assert_allclose(255 * x, np.round(255 * x), atol=1e-4)
        shares = np.add.reduceat(expected, range(0, 256, 32))
        found = np.histogram(np.round(255 * x), bins=np.arange(-0.5, 256, 32))[0] / len(x)
        np.testing.assert_allclose(found, shares, atol=0.015)


def test_values_between_levels_count_as_the_nearest_and_few_levels_sum_to_one(rng):
    layer = likelihoods.DiscretisedLogisticMixture(3, levels=4)
    outputs = outputs_of(layer, rng, 0.0)
    x = np.array([0.0, 0.16, 0.17, 1 / 3, 0.49, 0.51, 1.0], "float32")
    expected = np.log(masses(layer, outputs, 4))[[0, 0, 1, 1, 1, 2, 3]]
    np.testing.assert_allclose(logs(layer, outputs, x), expected, rtol=1e-5)


def test_channels_are_by_themselves_and_bits_are_code_lengths(rng):
    layer = likelihoods.DiscretisedLogisticMixture(2)
    outputs = np.stack([outputs_of(layer, rng, -1.0) for _ in range(12)]).reshape(1, 1, 2, 2, -1)
    x = rng.integers(0, 256, (1, 2, 2, 3))
    log_px = layer.log_prob(tensor(x / 255), tensor(outputs))
    flat = outputs.reshape(12, -1)
    expected = [-np.log2(masses(layer, o)[k]) for o, k in zip(flat, x.ravel(), strict=True)]
    bits = metrics.bits_per_dimension(array(log_px)[0].astype("float64"), 12)
    np.testing.assert_allclose(bits, np.mean(expected), rtol=1e-5)
    means = array(layer.mean(tensor(outputs)))
    assert means.shape == (1, 1, 2, 2, 3)
    alone = [array(layer.mean(tensor(o[None]))).item() for o in flat]
    np.testing.assert_allclose(means.ravel(), alone, rtol=1e-5)


@pytest.mark.parametrize("far", [-1e4, -30.0, 0.0, 30.0, 1e4])
def test_gradients_are_finite_at_extremes(far):
    layer = likelihoods.DiscretisedLogisticMixture(2)
    x = tensor(np.array([[0.0, 0.5, 1.0]], "float32"))
    for which in range(6):
        at = np.zeros((3, 6))
        at[:, which] = far
        slope = jacobian(lambda o: layer.log_prob(x, ops.reshape(o, (1, 1, -1)))[0], at.ravel())
        assert np.isfinite(slope).all()


def test_the_best_is_a_bound_that_is_reached():
    layer = likelihoods.DiscretisedLogisticMixture(1)
    x = np.array([[100 / 255], [0.0]], "float32")
    outputs = np.array([[[0.0, 100 / 255 - 0.5, -40.0], [0.0, -9.0, -40.0]]], "float32")
    found = array(layer.log_prob(tensor(x), tensor(outputs)))[0]
    np.testing.assert_allclose(layer.best_log_prob(x), found, atol=2e-4)


@pytest.mark.turns
@pytest.mark.parametrize("network", ["dense", "conv"])
def test_a_model_of_it(network, images):
    x = np.round(images * 255) / 255
    model = models.vae(
        x.shape[1:], 2, network, units=(4,), likelihood="discretised_logistic_mixture", seed=0
    )
    assert model.decoder.output_shape == (None, *x.shape[1:-1], 15 * x.shape[-1])
    first = model.evaluate(x, verbose=0, return_dict=True)["reconstruction_loss"]
    model.fit(x, batch_size=16, epochs=5, verbose=0)
    assert model.evaluate(x, verbose=0, return_dict=True)["reconstruction_loss"] < first
    drawn = model.sample(3, seed=0, noise=True)
    np.testing.assert_allclose(255 * drawn, np.round(255 * drawn), atol=1e-4)
    assert np.isfinite(model.log_likelihood(x[:2], samples=5)).all()
    again = type(model.likelihood).from_config(model.likelihood.get_config())
    assert (again.components, again.levels, again.per_value) == (5, 256, 15)


@pytest.mark.parametrize("options", [{"components": 0}, {"levels": 1}])
def test_bad_arguments_are_refused(options):
    with pytest.raises(ValueError, match="must be an integer of at least.*Received"):
        likelihoods.DiscretisedLogisticMixture(**options)
