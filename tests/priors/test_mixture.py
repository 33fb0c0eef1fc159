"""A learned mixture as the prior."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import metrics, models, objectives, priors
from tests.support import SHAPE, array, reference, tensor
from tests.support.learned_priors import joint, randomised

pytestmark = pytest.mark.turns


class TestLearnedMixture:
    def test_it_starts_from_known_normals(self, rng):
        prior = priors.LearnedMixture(3, 2, seed=0)
        weights, means = np.array([0.2, 0.6]), rng.normal(size=(2, 3))
        variances = rng.uniform(0.01, 3, (2, 3))
        prior.start_from(weights, means, variances)
        z = rng.normal(size=(6, 3)).astype("float32")
        each = -0.5 * (
            np.square(z[:, None] - means) / variances + np.log(2 * np.pi * variances)
        ).sum(-1)
        expected = np.log((np.exp(each) * [0.25, 0.75]).sum(-1))
        found = array(prior.distribution().log_prob(ops.convert_to_tensor(z)))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        for bad in ((weights[:1], means, variances), (weights, means, 0 * variances)):
            before = prior.get_weights()
            with pytest.raises(ValueError, match="must be above 0.*Received: shapes"):
                prior.start_from(*bad)
            for old, new in zip(before, prior.get_weights(), strict=True):
                np.testing.assert_array_equal(old, new)

    def test_weights_scales_and_means_are_what_the_density_has(self, rng):
        prior = randomised(priors.LearnedMixture(3, 4), rng)
        logits, means, raw = prior.get_weights()
        weights = np.exp(logits) / np.exp(logits).sum()
        z = rng.normal(size=(6, 3))
        expected = np.logaddexp.reduce(
            joint(z, weights, means, 10 * np.tanh(raw.astype("float64") / 10)), axis=-1
        )
        np.testing.assert_allclose(array(prior.distribution().log_prob(z)), expected, rtol=1e-5)

    def test_components_start_apart_around_the_origin(self):
        means = priors.LearnedMixture(3, 5, seed=0).get_weights()[1]
        np.testing.assert_allclose(means.mean(0), 0, atol=1e-6)
        assert np.linalg.norm(means[:, None] - means, axis=-1)[np.triu_indices(5, 1)].min() > 0.2
        again = priors.LearnedMixture(3, 5, seed=0).get_weights()[1]
        np.testing.assert_array_equal(means, again)

    def test_training_moves_every_parameter(self, images):
        model = models.mixture_vae(SHAPE, 2, units=(8,), components=3, seed=0)
        before = model.prior.get_weights()
        model.fit(images, batch_size=16, verbose=0)
        for old, new in zip(before, model.prior.get_weights()):
            assert np.abs(old - new).max() > 1e-4

    def test_it_finds_the_clusters_there_are(self):
        """Codes around -3 and 3, twice as many of these: their weights, means and scales."""
        labels = np.arange(90) % 3 % 2
        model = models.mixture_vae((1,), 1, units=(), components=2, seed=0)
        model.posterior_layer.set_weights([np.array([[6.0, 0.0]]), np.array([-3.0, -2.0])])
        model.posterior_layer.trainable = False
        x = 1.0 - labels[:, None].astype("float32")
        model.compile(keras.optimizers.Adam(0.1))
        # 200 steps of all the data: to begin an epoch takes longer than a step.
        model.fit(np.tile(x, (40, 1)), batch_size=90, epochs=5, shuffle=False, verbose=0)
        p = model.prior.distribution()
        order = np.argsort(array(p.components.mean)[:, 0])
        np.testing.assert_allclose(array(p.components.mean)[order, 0], [-3, 3], atol=0.2)
        np.testing.assert_allclose(np.exp(array(p.log_weights))[order], [1 / 3, 2 / 3], atol=0.05)
        found_log_var = array(p.components.log_var)
        expected = array(model.posterior(x[:1]).log_var)
        np.testing.assert_allclose(found_log_var - expected, 0, atol=0.4)
        found = metrics.cluster_probabilities(model, x)
        np.testing.assert_allclose(found.sum(-1), 1.0, rtol=1e-5)
        assert metrics.clustering_accuracy(found.argmax(-1), labels) == 1.0

    def test_samples_are_those_of_numpy(self, rng):
        prior = randomised(priors.LearnedMixture(3, 4), rng, 1.0)
        drawn = prior.sample(1000, np.random.default_rng(7))
        p = prior.distribution()
        own = np.random.default_rng(7)
        chosen = np.searchsorted(np.cumsum(np.exp(array(p.log_weights))), own.random(1000))
        noise = own.standard_normal((1000, 3))
        scale = np.exp(array(p.components.log_var) / 2)
        expected = array(p.components.mean)[chosen] + scale[chosen] * noise
        np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=1e-6)
        assert drawn.dtype == np.float32 and len(np.unique(chosen)) == 4

    def test_other_objectives_draw_from_it(self, images):
        """The MMD compares with samples of the prior that the model has."""
        prior = priors.LearnedMixture(2, 3, seed=0)
        model = models.info_vae(SHAPE, 2, units=(8,), prior=prior, seed=0)
        history = model.fit(images, batch_size=32, verbose=0).history
        assert np.isfinite(history["mmd_loss"]).all()
        noise = np.random.default_rng(0).standard_normal((64, 3), "float32")
        evidence = model.evidence(ops.convert_to_tensor(images))
        evidence = evidence._replace(normal=lambda shape: tensor(noise))
        _, terms = model.objective(evidence)
        expected = objectives.mmd(
            evidence.z[0], prior.distribution().transform(tensor(noise)), "rbf"
        )
        assert array(terms["mmd_loss"])[0] == pytest.approx(float(array(expected)), rel=1e-5)

    def test_it_may_be_a_part_of_a_product(self, rng):
        """Its noise is one wider than its code; the other parts' is where it should be."""
        parts = randomised(priors.LearnedMixture(2, 3), rng), priors.StandardNormal(2)
        product = priors.ProductPrior(parts)
        noise = rng.standard_normal((9, 5)).astype("float32")
        z = array(product.distribution().transform(tensor(noise)))
        np.testing.assert_allclose(z[:, 2:], noise[:, 3:], rtol=1e-6)
        expected = array(parts[0].distribution().transform(tensor(noise[:, :3])))
        np.testing.assert_allclose(z[:, :2], expected, rtol=1e-6)
        found = array(product.distribution().log_prob(tensor(z)))
        normal = reference.normal_log_prob(z[:, 2:], 0.0, 0.0).sum(-1)
        own = array(parts[0].distribution().log_prob(tensor(z[:, :2])))
        np.testing.assert_allclose(found, own + normal, rtol=1e-5)
        assert product.sample(3, np.random.default_rng(0)).shape == (3, 4)

    def test_bad_arguments(self):
        for components in (0, 2.5):
            with pytest.raises(ValueError, match=f"Received: components={components}"):
                models.mixture_vae(SHAPE, 2, units=(4,), components=components)
