"""Active units and reports of posterior collapse."""

import numpy as np
import pytest

from keras_vae import metrics, models
from keras_vae import models as m
from tests.support import SHAPE, array, reference
from tests.support.linear import with_posterior


@pytest.mark.turns
@pytest.mark.parametrize(
    "make",
    [m.autoencoder, m.sparse_autoencoder, m.denoising_autoencoder, m.contractive_autoencoder],
)
def test_collapse_of_codes_without_noise(make, images):
    model = make(SHAPE, 30, units=(8,), seed=0)
    with pytest.raises(ValueError, match="active_units.*Received: posterior=.*Point"):
        metrics.kl_per_dimension(model, images)
    report = metrics.collapse_report(model, images)
    assert report.kl is None and "KL n/a" in str(report)
    assert report.active.shape == (30,) and np.isfinite(report.used)


def line_model(d=3):
    return models.vae((4,), d, units=(), seed=0)


@pytest.mark.turns
def test_kl_per_dimension_is_the_closed_form(rng):
    x = rng.random((50, 4)).astype("float32")
    kernel = rng.normal(size=(4, 3))
    model = with_posterior(line_model(), kernel, 0.5, [-1.0, 0.0, 2.0])
    expected = reference.normal_kl(x @ kernel + 0.5, np.array([-1.0, 0.0, 2.0]), 0.0, 0.0)
    found = metrics.kl_per_dimension(model, x)
    np.testing.assert_allclose(found, expected.mean(0), rtol=1e-4)
    assert found.sum() == pytest.approx(array(model.posterior(x).kl(model.prior)).mean(), rel=1e-4)


@pytest.mark.turns
def test_active_units_are_those_whose_mean_varies(rng):
    x = rng.random((500, 4)).astype("float32")
    kernel = np.zeros((4, 3))
    kernel[0] = [1.0, 0.0, 0.2]  # Var(x) = 1/12: variances 0.083, 0, 0.0033
    model = with_posterior(line_model(), kernel, 0.0, -1.0)
    np.testing.assert_array_equal(metrics.active_units(model, x), [True, False, False])
    np.testing.assert_array_equal(
        metrics.active_units(model, x, threshold=0.002), [True, False, True]
    )
    with pytest.raises(ValueError, match="two examples. Received: 1"):
        metrics.active_units(model, x[:1])


@pytest.mark.turns
class TestCollapse:
    def report(self, rng, decoder_scale, kernel_scale, d=2):
        x = (rng.random((200, 4)) < 0.5).astype("float32")
        model = line_model(d)
        kernel = np.zeros((4, d))
        kernel[:2, :2] = kernel_scale * np.eye(2)
        with_posterior(model, kernel, -0.5 * kernel_scale, -2.0)
        weights = np.zeros((d, 4))
        weights[:2, :2] = decoder_scale * np.eye(2)
        model.decoder.set_weights([weights, np.zeros(4)])
        return metrics.collapse_report(model, x)

    def test_a_decoder_that_uses_the_code_is_healthy(self, rng):
        report = self.report(rng, decoder_scale=3.0, kernel_scale=2.0)
        assert report.verdict == "healthy" and report.active.all()
        # Two of four pixels are decided by the code, the others are coins.
        own = -2 * np.log1p(np.exp(-3.0)) - 2 * np.log(2)
        swapped = -np.log1p(np.exp(-3.0)) - np.log1p(np.exp(3.0)) - 2 * np.log(2)
        assert report.own == pytest.approx(own, rel=1e-4)
        assert report.swapped == pytest.approx(swapped, abs=0.5)
        assert "the decoder uses the code" in str(report)

    def test_a_decoder_that_ignores_the_code_is_found_though_the_code_is_busy(self, rng):
        report = self.report(rng, decoder_scale=0.0, kernel_scale=2.0)
        assert report.verdict == "collapsed" and report.active.all()
        assert report.used == pytest.approx(0.0, abs=1e-4)
        assert "ignores the code" in str(report) and "warm-up" in str(report)

    def test_a_posterior_that_ignores_the_data_is_found(self, rng):
        report = self.report(rng, decoder_scale=3.0, kernel_scale=0.0)
        assert report.verdict == "collapsed" and not report.active.any()
        assert "0 of 2 latent dimensions are active" in str(report)

    def test_unused_dimensions_are_named(self, rng):
        report = self.report(rng, decoder_scale=3.0, kernel_scale=2.0, d=4)
        assert report.verdict == "partial"
        np.testing.assert_array_equal(report.active, [True, True, False, False])
        assert "Inactive dimensions: 2, 3." in str(report)


@pytest.mark.turns
def test_conditional_models_are_measured_with_their_conditions(images):
    model = models.cvae(SHAPE, 2, units=(8,), num_classes=2, seed=0)
    y = np.arange(64) % 2
    assert metrics.kl_per_dimension(model, images, y).shape == (2,)
    assert metrics.collapse_report(model, images, y).kl.shape == (2,)
    terms = metrics.elbo(model, images, y)
    assert terms["elbo"].mean < 0
    with pytest.raises(ValueError, match="conditional"):
        metrics.log_likelihood(model, images, samples=2)


@pytest.mark.turns
class TestWithoutAClosedForm:
    """Flows and learned priors: the KL as a whole, and none of single dimensions."""

    @pytest.mark.parametrize(
        "make, options",
        [
            (models.flow_vae, {"flows": 2}),
            (models.iaf_vae, {"steps": 1}),
            (models.mixture_vae, {"components": 3}),
            (models.vamp_vae, {"components": 3, "likelihood": "bernoulli"}),
            (models.flow_prior_vae, {"couplings": 2}),
            (models.structured_vae, {"components": 3}),
        ],
    )
    def test_the_report_has_the_whole_kl(self, make, options, images):
        model = make(SHAPE, 3, units=(8,), seed=0, **options)
        with pytest.raises(ValueError, match="no KL of their own.*Received: posterior="):
            metrics.kl_per_dimension(model, images)
        report = metrics.collapse_report(model, images)
        assert report.kl is None and report.active.shape == (3,)
        several = metrics.elbo(model, images, samples=50)["kl"].mean
        assert report.total_kl == pytest.approx(several, abs=0.5)
        assert f"KL {report.total_kl:.2f} nats in all" in str(report)
        assert report.own == pytest.approx(
            model.log_px(images, model.encode(images)).mean(), rel=1e-5
        )

    def test_a_full_covariance_has_both_and_the_whole_is_more(self, images, rng):
        model = models.full_covariance_vae(SHAPE, 3, units=(8,), seed=0)
        weights = model.posterior_layer.get_weights()
        model.posterior_layer.set_weights([rng.normal(size=w.shape) for w in weights])
        report = metrics.collapse_report(model, images)
        exact = array(model.posterior(images).kl(model.prior)).mean()
        assert report.total_kl == pytest.approx(exact, rel=1e-5)
        assert 0 < report.kl.sum() < report.total_kl

    def test_the_whole_kl_of_a_diagonal_normal_is_the_sum(self, images):
        report = metrics.collapse_report(models.vae(SHAPE, 3, units=(8,), seed=0), images)
        assert report.total_kl == pytest.approx(report.kl.sum(), rel=1e-5)

    def test_categorical_codes_are_decoded_as_they_are(self, images):
        model = models.categorical_vae(SHAPE, 2, units=(8,), classes=3, seed=0)
        report = metrics.collapse_report(model, images)
        assert report.own == pytest.approx(
            model.log_px(images, model.encode(images)).mean(), rel=1e-5
        )
