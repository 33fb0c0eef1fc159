"""`fit_sampler`, which gives a prior to a trained model."""

import keras
import numpy as np
import pytest

from keras_vae import metrics, models, priors, zoo
from keras_vae.export.signatures import signatures
from tests.support import SHAPE, array
from tests.support.registry import NO_PRIOR, data, make

pytestmark = pytest.mark.turns


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
