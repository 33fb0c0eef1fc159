"""A softmax over grey levels: masses that are code lengths, means and draws."""

import numpy as np
import pytest
from scipy import special

from keras_vae import likelihoods, metrics, models
from tests.support import array, tensor
from tests.support.autodiff import jacobian


def logs_of(outputs, levels):
    """log p of each level by scipy, float64."""
    return special.log_softmax(outputs.reshape(*outputs.shape[:-1], -1, levels), axis=-1)


@pytest.mark.parametrize("levels", [2, 5, 256])
def test_values_are_scipy_s_and_sum_to_one(levels, rng):
    layer = likelihoods.CategoricalLevels(levels)
    outputs = rng.normal(0, 3, (2, levels, 1, levels)).astype("float32")
    expected = logs_of(outputs.astype("float64"), levels)
    x = np.arange(levels, dtype="float32")[:, None] / (levels - 1)
    found = array(layer.log_prob(tensor(x), tensor(outputs)))
    right = expected[:, np.arange(levels), 0, 0, np.arange(levels)]
    np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-6)
    rows = np.repeat(outputs[:1, :1], levels, axis=1)
    masses = np.exp(array(layer.log_prob(tensor(x), tensor(rows))).astype("float64"))
    assert masses.sum() == pytest.approx(1.0, abs=1e-6)
    mean = array(layer.mean(tensor(outputs)))
    assert mean.shape == (2, levels, 1, 1)
    wanted = (np.exp(expected) * x[:, 0]).sum(-1)
    np.testing.assert_allclose(mean, wanted, rtol=1e-5, atol=1e-6)


def test_channels_are_by_themselves_and_bits_are_code_lengths(rng):
    layer = likelihoods.CategoricalLevels(4)
    outputs = rng.normal(size=(1, 2, 2, 2, 3 * 4)).astype("float32")
    level = rng.integers(0, 4, (2, 2, 2, 3))
    log_px = array(layer.log_prob(tensor(level / 3), tensor(outputs)))[0]
    expected = np.take_along_axis(logs_of(outputs[0].astype("float64"), 4), level[..., None], -1)
    bits = metrics.bits_per_dimension(log_px.astype("float64"), 12)
    np.testing.assert_allclose(bits, -expected.sum((1, 2, 3, 4)) / np.log(2) / 12, rtol=1e-5)
    near = array(layer.log_prob(tensor(level / 3 + 0.1), tensor(outputs)))[0]
    np.testing.assert_array_equal(near, log_px)


def test_the_gradient_is_that_of_a_softmax(rng):
    layer = likelihoods.CategoricalLevels(3)
    outputs = rng.normal(size=6)
    x = tensor(np.array([[0.5, 1.0]], "float32"))
    slope = jacobian(lambda o: layer.log_prob(x, o[None, None])[0], outputs)[0]
    expected = np.eye(3)[[1, 2]] - special.softmax(outputs.reshape(2, 3), axis=-1)
    np.testing.assert_allclose(slope, expected.ravel(), atol=1e-6)


@pytest.mark.turns
def test_draws_are_as_frequent_as_their_masses(rng):
    layer = likelihoods.CategoricalLevels(6)
    outputs = rng.normal(0, 2, (1, 2 * 6)).astype("float32")
    drawn = layer.sample_outputs(np.repeat(outputs, 20_000, axis=0), rng)
    assert drawn.shape == (20_000, 2) and drawn.dtype == np.float32
    for column, expected in zip(drawn.T, np.exp(logs_of(outputs, 6))[0], strict=True):
        shares = np.bincount(np.round(5 * column).astype(int), minlength=6) / len(column)
        np.testing.assert_allclose(shares, expected, atol=0.012)
    certain = np.full((1, 6), -1e4, "float32")
    certain[0, 4] = 1e4
    assert layer.sample_outputs(certain, rng) == pytest.approx(0.8)
    best = array(layer.log_prob(tensor([[0.8]]), tensor(certain[None])))[0]
    assert best == layer.best_log_prob(np.array([[0.8]])) == 0.0


@pytest.mark.turns
def test_a_model_of_it(images):
    x = np.round(images * 7) / 7
    layer = likelihoods.CategoricalLevels(levels=8)
    model = models.vae(x.shape[1:], 2, "conv", units=(4,), likelihood=layer, seed=0)
    assert model.decoder.output_shape == (None, *x.shape[1:-1], 8 * x.shape[-1])
    first = model.evaluate(x, verbose=0, return_dict=True)["reconstruction_loss"]
    model.fit(x, batch_size=16, epochs=5, verbose=0)
    assert model.evaluate(x, verbose=0, return_dict=True)["reconstruction_loss"] < first
    drawn = model.sample(3, seed=0, noise=True)
    np.testing.assert_allclose(7 * drawn, np.round(7 * drawn), atol=1e-5)
    again = type(layer).from_config(layer.get_config())
    assert (again.levels, again.per_value) == (8, 8)
    named = likelihoods.get("categorical")
    assert type(named) is likelihoods.CategoricalLevels and named.levels == 256


@pytest.mark.once
def test_one_level_is_refused():
    with pytest.raises(ValueError, match="`levels` must be an integer of at least 2.*Received"):
        likelihoods.CategoricalLevels(1)
