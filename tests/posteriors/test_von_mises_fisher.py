"""Codes on the sphere: what the layer gives, what it refuses, and a model with them."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, metrics, models, posteriors, priors
from tests.support import SHAPE, array, make_images, tensor

pytestmark = pytest.mark.turns


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1.0, 1e4, 1e18, 1e30])
def test_directions_are_unit_vectors_and_concentrations_bounded(scale, rng):
    layer = posteriors.VonMisesFisher(4, max_concentration=500.0)
    layer.build((None, 5))
    features = tensor(rng.normal(size=(7, 5)))
    for sign in (-1.0, 1.0):
        layer.set_weights([np.full_like(w, sign * scale) for w in layer.get_weights()])
        direction, kappa = map(array, layer(features))
        np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), 1.0, atol=1e-6)
        assert kappa.shape == (7, 1) and (kappa >= 1.0).all() and (kappa <= 500.0).all()
        z, log_prob = layer.distribution(*layer(features)).sample_and_log_prob(3, 0)
        np.testing.assert_allclose(np.linalg.norm(array(z), axis=-1), 1.0, atol=1e-6)
        assert np.isfinite(array(log_prob)).all()


def test_features_that_are_all_zero_have_a_direction():
    layer = posteriors.VonMisesFisher(3)
    layer.build((None, 5))
    np.testing.assert_array_equal(array(layer(ops.zeros((2, 5)))[0]), [[1, 0, 0]] * 2)


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least 2.*Received: latent_dim=1"):
        posteriors.VonMisesFisher(1)
    with pytest.raises(ValueError, match="at least 2.*Received: latent_dim=1"):
        priors.UniformSphere(1)
    with pytest.raises(ValueError, match="`min_concentration` must be at least 0"):
        posteriors.VonMisesFisher(2, min_concentration=-1.0)
    for bound in (0.5, 1e7, float("nan")):
        with pytest.raises(ValueError, match="above `min_concentration` and at most"):
            posteriors.VonMisesFisher(2, max_concentration=bound)


def test_the_bound_reaches_the_exact_likelihood(rng):
    """A linear decoder of codes on the circle, against a sum over the circle."""
    weights, bias, variance = rng.normal(size=(5, 2)), rng.normal(size=5), 0.5
    model = models.hyperspherical_vae(
        (5,), 2, units=(), seed=0, likelihood=likelihoods.Normal(variance, data_range=None)
    )
    model.decoder.set_weights([weights.T, bias])
    angle = 2 * np.pi * np.arange(2000) / 2000
    codes = np.stack([np.cos(angle), np.sin(angle)], -1)
    x = codes[rng.integers(0, 2000, 6)] @ weights.T + bias
    x = (x + variance**0.5 * rng.normal(size=x.shape)).astype("float32")
    squared = ((x[:, None] - (codes @ weights.T + bias)) ** 2).sum(-1)
    each = -0.5 * (5 * np.log(2 * np.pi * variance) + squared / variance)
    exact = np.log(np.exp(each).mean(1))
    bound = model.log_likelihood(x, samples=4000, verbose=False)
    np.testing.assert_allclose(bound, exact, atol=0.1)
    terms = metrics.elbo(model, x, samples=200)
    assert terms["elbo"].mean < exact.mean()
    assert terms["kl"].mean == pytest.approx(array(model.posterior(x).kl(model.prior)).mean())


def test_a_model_of_them(rng):
    x = make_images(rng, 128)
    model = models.hyperspherical_vae(SHAPE, 3, units=(32,), seed=0)
    first = model.evaluate(x, verbose=0, return_dict=True)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(x, epochs=40, batch_size=32, verbose=0)
    last = model.evaluate(x, verbose=0, return_dict=True)
    assert last["loss"] < first["loss"] - 2.0 and last["kl_loss"] > 0.5
    for codes in (model.encode(x), array(model.posterior(x).sample(2, 0))):
        np.testing.assert_allclose(np.linalg.norm(codes, axis=-1), 1.0, atol=1e-6)
    drawn = model.prior.sample(5000, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(drawn.T @ drawn / 5000, np.eye(3) / 3, atol=0.03)
    assert model.sample(3, seed=0).shape == (3, *SHAPE)
    report = metrics.collapse_report(model, x)
    assert report.kl is None and report.total_kl == pytest.approx(last["kl_loss"], rel=1e-4)
    assert 0.3 < metrics.mutual_information(model, x).mean < np.log(128)
