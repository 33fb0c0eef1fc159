"""What all learned priors have in common: limits, bounds, files."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, metrics, models, zoo
from tests.support import SHAPE, array, make_images, reference, tensor
from tests.support.learned_priors import randomised

pytestmark = pytest.mark.turns


def losses(make, noise, model_of=lambda m: m, **kwargs):
    model = model_of(make(SHAPE, 3, units=(8,), seed=4, likelihood="bernoulli", **kwargs))
    x = ops.convert_to_tensor(make_images(np.random.default_rng(0), 6))
    evidence = model.evidence(x, noise=noise)
    return evidence, array(model.objective(evidence)[0])


NOISE = np.random.default_rng(1).standard_normal((2, 6, 3), "float32")


class TestLimits:
    def test_one_component_and_the_identity_flow_are_the_plain_vae(self):
        plain, _ = losses(models.vae, NOISE)
        expected = array(plain.reconstruction) + array(plain.log_ratio).mean(0)
        for make, options in (
            (models.mixture_vae, {"components": 1}),
            (models.flow_prior_vae, {"couplings": 0}),
            (models.flow_prior_vae, {"couplings": 4, "hidden_units": 8}),
        ):
            evidence, loss = losses(make, NOISE, **options)
            np.testing.assert_allclose(loss, expected, rtol=1e-6)
            np.testing.assert_allclose(
                array(evidence.log_weights), array(plain.log_weights), rtol=1e-6
            )

    def test_many_equal_components_too(self):
        def equal(model):
            prior = model.prior
            prior.means.assign(0 * prior.means)
            return model

        plain, _ = losses(models.vae, NOISE)
        evidence, _ = losses(models.mixture_vae, NOISE, equal, components=7)
        np.testing.assert_allclose(array(evidence.log_ratio), array(plain.log_ratio), atol=1e-5)

    def test_the_kl_is_the_mean_of_the_log_ratio_at_the_decoded_codes(self, rng):
        for make, options in (
            (models.mixture_vae, {"components": 3}),
            (models.vamp_vae, {"components": 3}),
            (models.flow_prior_vae, {}),
        ):
            evidence, loss = losses(make, NOISE, **options)
            log_pz = array(evidence.p.log_prob(evidence.z))
            ratio = array(evidence.log_qz) - log_pz
            np.testing.assert_allclose(array(evidence.kl), ratio.mean(0), rtol=1e-4, atol=1e-5)
            expected = ratio.mean(0) - array(evidence.log_px).mean(0)
            np.testing.assert_allclose(loss, expected, rtol=1e-5)


class TestBounds:
    @pytest.mark.parametrize("name", ["mixture_vae", "vamp_vae", "flow_prior_vae"])
    def test_the_bound_reaches_the_likelihood_by_quadrature(self, name, rng):
        """A linear decoder, one latent dimension: log ∫ p(x|z) p(z) dz on a grid."""
        make, variance = getattr(models, name), 0.5
        options = (
            {"couplings": 3, "hidden_units": 8} if name == "flow_prior_vae" else {"components": 3}
        )
        likelihood = likelihoods.Normal(variance, data_range=None)
        model = make((4,), 1, units=(), seed=0, likelihood=likelihood, **options)
        randomised(model.prior, rng, 0.4 if name == "flow_prior_vae" else 1.0)
        kernel, _ = model.posterior_layer.get_weights()
        # Wider than what is to be found, so that no weight is far above the others.
        model.posterior_layer.set_weights([0.3 * kernel, np.array([0.0, 1.0])])
        weights, bias = rng.normal(size=(4, 1)), rng.normal(size=4)
        model.decoder.set_weights([weights.T, bias])
        x = rng.normal(size=(5, 4)).astype("float32")
        z = np.linspace(-20, 20, 20_001)[:, None]
        log_px = reference.normal_log_prob(x[:, None], z @ weights.T + bias, np.log(variance))
        log_pz = array(model.prior.distribution().log_prob(tensor(z)))
        assert np.exp(log_pz).sum() * 0.002 == pytest.approx(1.0, abs=1e-3)
        exact = np.logaddexp.reduce(log_px.sum(-1) + log_pz, axis=1) + np.log(0.002)
        bound = model.log_likelihood(x, samples=20_000, verbose=False)
        np.testing.assert_allclose(bound, exact, atol=0.1)
        terms = metrics.elbo(model, x, samples=50)
        assert terms["elbo"].mean < exact.mean()
        assert terms["reconstruction"].mean == pytest.approx(terms["elbo"].mean + terms["kl"].mean)


@pytest.mark.parametrize("name", ["mixture_vae", "vamp_vae", "flow_prior_vae"])
def test_what_was_learned_of_the_prior_is_saved(name, images, tmp_path):
    """The same samples from every kind of file, and not those of a fresh prior."""
    options = {"couplings": 2} if name == "flow_prior_vae" else {"components": 3}
    model = getattr(models, name)(SHAPE, 2, units=(8,), seed=0, **options)
    fresh = model.prior.sample(20, np.random.default_rng(0))
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(images, epochs=3, verbose=0)
    codes = model.prior.sample(20, np.random.default_rng(0))
    assert np.abs(codes - fresh).max() > 0.05
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    zoo.save(model, tmp_path / "preset")
    other = getattr(models, name)(SHAPE, 2, units=(8,), seed=1, **options)
    other.load_weights(tmp_path / "m.weights.h5")
    for loaded in (
        keras.saving.load_model(tmp_path / "m.keras"), zoo.load(tmp_path / "preset"), other
    ):  # fmt: skip
        np.testing.assert_array_equal(loaded.prior.sample(20, np.random.default_rng(0)), codes)
        np.testing.assert_array_equal(loaded.sample(5, seed=1), model.sample(5, seed=1))
