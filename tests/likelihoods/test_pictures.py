"""Log-cosh, MS-SSIM and features against formulas, and what they refuse."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, metrics, models
from tests.support import array, make_images, tensor
from tests.support.autodiff import jacobian
from tests.support.registry import features

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns


class TestLogCosh:
    @pytest.mark.parametrize("a", [0.5, 10.0])
    def test_it_is_the_formula_and_a_constant(self, a, rng):
        x, outputs = rng.random((4, 3)), rng.normal(size=(2, 4, 3))
        t = np.abs(x - outputs)
        loss = t + np.log(1 + np.exp(-2 * a * t)) / a - np.log(2) / a
        np.testing.assert_allclose(loss, np.log(np.cosh(a * t)) / a, rtol=1e-6)
        layer = likelihoods.LogCosh(a)
        found = array(layer.log_prob(tensor(x), tensor(outputs)))
        constant = array(layer.log_prob(tensor(x), tensor(x)[None]))[0, 0]
        np.testing.assert_allclose(found, constant - loss.sum(-1), rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("a", [0.5, 1.0, 10.0])
    def test_its_density_integrates_to_one(self, a):
        x = np.linspace(-60, 60, 400_001)
        each = likelihoods.LogCosh(a).log_prob_each(tensor(x), ops.zeros(()))
        assert np.exp(array(each)).sum() * (x[1] - x[0]) == pytest.approx(1.0, abs=2e-4)

    def test_large_errors_stay_finite(self):
        layer = likelihoods.LogCosh()
        found = array(layer.log_prob(ops.zeros((1, 1)), tensor([[[1e6]]])))
        assert found.item() == pytest.approx(-1e6, rel=1e-3)
        slope = jacobian(
            lambda out: layer.log_prob(ops.zeros((1, 1)), ops.reshape(out, (1, 1, 1)))[0], [1e4]
        )
        assert slope.item() == pytest.approx(-1.0, rel=1e-5)

    def test_beta_weighs_the_kl(self, images):
        logs = models.logcosh_vae((8, 8, 1), 2, units=(8,), beta=3.0, a=5.0, seed=0)
        assert logs.likelihood.a == 5.0
        logs = logs.evaluate(images, verbose=0, return_dict=True)
        assert logs["loss"] == pytest.approx(
            logs["reconstruction_loss"] + 3.0 * logs["kl_loss"], rel=1e-5
        )
        with pytest.raises(ValueError, match="a=0"):
            models.logcosh_vae(a=0)


def logits(p):
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


class TestMSSSIM:
    def test_it_is_the_metric(self, rng):
        """One implementation: the loss in float32 is the metric's, of one and two scales."""
        for shape in ((12, 12, 1), (24, 26, 2)):
            x = make_images(rng, 3, shape)
            y = np.clip(x + 0.1 * rng.standard_normal(x.shape), 0.01, 0.99)
            outputs = np.stack([logits(y), logits(0.5 * y)])
            found = array(likelihoods.MSSSIM(weight=10.0).log_prob(tensor(x), tensor(outputs)))
            for row, picture in zip(found, (y, 0.5 * y)):
                expected = -10.0 * (1 - metrics.ms_ssim(x, picture))
                np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-3)

    def test_equal_pictures_cost_nothing_and_the_default_weight_is_the_size(self, rng):
        x = np.clip(make_images(rng, 2, (12, 12, 1)), 0.01, 0.99)
        layer = likelihoods.MSSSIM()
        equal = array(layer.log_prob(tensor(x), tensor(logits(x))[None]))
        np.testing.assert_allclose(equal, 0.0, atol=144 * 1e-4)
        other = np.clip(1 - x, 0.01, 0.99)
        found = array(layer.log_prob(tensor(x), tensor(logits(other))[None]))[0]
        expected = -144 * (1 - np.maximum(metrics.ms_ssim(x, other), 1e-4))
        np.testing.assert_allclose(found, expected, rtol=1e-3)

    def test_its_slope_is_finite_where_structure_is_opposite(self, rng):
        x = np.clip(make_images(rng, 1, (12, 12, 1)), 0.01, 0.99)
        layer = likelihoods.MSSSIM()
        for start in (logits(1 - x), np.zeros_like(x), logits(x)):
            slope = jacobian(
                lambda out: layer.log_prob(tensor(x), ops.expand_dims(out, 0))[0], start
            )
            assert np.isfinite(slope).all()

    def test_pictures_that_are_too_small_are_refused_when_it_is_built(self):
        with pytest.raises(ValueError, match="8 × 8 pixels have 0 scales"):
            models.ms_ssim_vae((8, 8, 1), 2)
        with pytest.raises(ValueError, match="28 × 28 pixels have 2 scales.*scales=3"):
            models.ms_ssim_vae((28, 28, 1), 2, scales=3)
        with pytest.raises(ValueError, match=r"input_shape=\(64,\)"):
            models.ms_ssim_vae((64,), 2, "dense")
        with pytest.raises(ValueError, match="weight=-1"):
            models.ms_ssim_vae((28, 28, 1), 2, weight=-1)


class TestFeatures:
    def test_it_is_the_formula(self, rng):
        network = features()
        layer = likelihoods.Features(network, ["first", "second"], weight=0.5)
        x, y = make_images(rng, 3), rng.random((2, 3, 8, 8, 1)).clip(0.01, 0.99)
        found = array(layer.log_prob(tensor(x), tensor(logits(y))))
        middle = keras.Model(
            network.inputs, [network.get_layer(n).output for n in ("first", "second")]
        )
        for k in range(2):
            expected = 0.0
            for a, b in zip(middle(tensor(x)), middle(tensor(y[k]))):
                a, b = array(a).reshape(3, -1), array(b).reshape(3, -1)
                expected = expected + 0.5 * np.square(a - b).sum(1) / (2 * a.shape[1])
            np.testing.assert_allclose(found[k], -expected, rtol=1e-4)

    def test_the_users_network_is_left_alone_and_the_copy_is_frozen(self, images):
        network = features()
        before = [w.copy() for w in network.get_weights()]
        model = models.dfc_vae((8, 8, 1), 2, "dense", units=(8,), features=network, seed=0)
        copied = [w.copy() for w in model.likelihood.network.get_weights()]
        model.fit(images, verbose=0)
        assert network.trainable and len(network.trainable_variables) == 4
        for old, new in zip(before, network.get_weights()):
            np.testing.assert_array_equal(old, new)
        for old, new in zip(copied, model.likelihood.network.get_weights()):
            np.testing.assert_array_equal(old, new)
        network.set_weights([0 * w for w in network.get_weights()])
        np.testing.assert_array_equal(model.likelihood.network.get_weights()[0], copied[0])

    def test_the_weights_of_the_two_terms(self, images):
        model = models.dfc_vae(
            (8, 8, 1), 2, "dense", units=(8,), features=features(), alpha=2.0, beta=3.0, seed=0
        )
        one = models.dfc_vae(
            (8, 8, 1), 2, "dense", units=(8,), features=features(), beta=1.0, seed=0
        )
        noise = np.zeros((1, 64, 2), "float32")
        (loss, terms), (_, ones) = (
            m.objective(m.evidence(ops.convert_to_tensor(images), noise=noise))
            for m in (model, one)
        )
        rec, kl = array(terms["reconstruction_loss"]), array(terms["kl_loss"])
        np.testing.assert_allclose(rec, 3.0 * array(ones["reconstruction_loss"]), rtol=1e-5)
        np.testing.assert_allclose(array(loss), rec + 2.0 * kl, rtol=1e-5)

    def test_what_is_no_network_for_the_data_is_refused(self):
        with pytest.raises(ValueError, match="features=None"):
            models.dfc_vae((8, 8, 1))
        with pytest.raises(ValueError, match=r"\(28, 28, 1\).*Received: \(8, 8, 1\)"):
            models.dfc_vae(features=features())
        with pytest.raises(ValueError, match="first, .*second.*layers=.'third'."):
            models.dfc_vae((8, 8, 1), 2, features=features(), feature_layers=["third"])
        with pytest.raises(TypeError, match="functional Keras model.*function"):
            models.dfc_vae(features=lambda x: x)


def test_only_densities_have_a_bound():
    assert likelihoods.LogCosh().is_density and likelihoods.Normal().is_density
    assert not likelihoods.MSSSIM().is_density
    assert not likelihoods.Features(features()).is_density
