"""The VampPrior: a mixture of posteriors of pseudo-inputs."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, models, priors
from tests.support import SHAPE, array, reference, tensor
from tests.support.autodiff import gradient

pytestmark = pytest.mark.turns


class TestVampPrior:
    def model(self, **kwargs):
        return models.vamp_vae(SHAPE, 3, units=(8,), components=4, seed=0, **kwargs)

    def test_log_prior_is_numpy_s_from_the_encoded_pseudo_inputs(self, rng):
        model = self.model()
        inputs = array(model.prior.inputs()).astype("float32")
        q = model.posterior(inputs)
        z = rng.normal(size=(2, 5, 3))
        each = reference.normal_log_prob(z[..., None, :], q.mean, q.log_var).sum(-1)
        expected = np.logaddexp.reduce(each, axis=-1) - np.log(4)
        found = array(model.prior.distribution().log_prob(tensor(z)))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

    def test_pseudo_inputs_stay_in_the_range_of_the_data(self):
        for likelihood, low, high in (
            ("bernoulli", 0.0, 1.0),
            (likelihoods.Normal(data_range=(-1.0, 1.0)), -1.0, 1.0),
            (likelihoods.Normal(data_range=None), -np.inf, np.inf),
        ):
            model = self.model(likelihood=likelihood)
            raw = 30 * np.random.default_rng(0).normal(size=(4, *SHAPE))
            model.prior.set_weights([raw])
            found = array(model.prior.inputs())
            assert low <= found.min() and found.max() <= high
            if np.isfinite(low):
                assert found.min() < low + 0.01 and found.max() > high - 0.01
            else:
                np.testing.assert_allclose(found, raw, rtol=1e-6)

    def test_its_gradient_reaches_pseudo_inputs_and_encoder(self, images):
        model = self.model()
        x = ops.convert_to_tensor(images[:8])
        before = [w.copy() for w in (*model.prior.get_weights(), *model.encoder.get_weights())]
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(images, verbose=0)
        after = (*model.prior.get_weights(), *model.encoder.get_weights())
        assert all(np.abs(a - b).max() > 0 for a, b in zip(before, after))
        # Of the encoder's weights alone: the mixture moves with them.
        z = model.evidence(x).z
        kernel = model.encoder.layers[-1].kernel

        def log_prior(value):
            with keras.StatelessScope([(kernel, value)]):
                return ops.sum(model.prior.distribution().log_prob(ops.stop_gradient(z)))

        slope = gradient(log_prior, array(kernel).astype("float32"))
        assert np.abs(slope).max() > 1e-4

    def test_no_weight_is_counted_twice(self):
        model, plain = self.model(), models.vae(SHAPE, 3, units=(8,), seed=0)
        assert model.count_params() == plain.count_params() + 4 * 64
        names = [w.path for w in model.trainable_variables]
        assert len(names) == len(set(names)) == len(plain.trainable_variables) + 1

    def test_what_it_needs_of_its_model(self):
        with pytest.raises(ValueError, match="give it to a `VAE` first"):
            priors.VampPrior(2, 3).distribution()
        from keras_vae import conditions

        with pytest.raises(ValueError, match="unconditional model.*condition=<"):
            self.model(condition=conditions.Labels(3))
        with pytest.raises(ValueError, match="Received: posterior=FlowPosterior"):
            models.flow_vae(SHAPE, 2, units=(4,), prior=priors.VampPrior(2, 3, SHAPE))
        with pytest.raises(ValueError, match=r"Received: \(3,\) and data \(8, 8, 1\)"):
            models.vae(SHAPE, 2, units=(4,), prior=priors.VampPrior(2, 3, (3,)))

    def test_a_model_of_the_same_parts_has_the_same_prior(self, images):
        """`with_directions` builds another model around the prior."""
        model = self.model()
        y = (np.arange(64) % 2)[:, None]
        other = model.with_directions(images, y, ["odd"])
        np.testing.assert_array_equal(model.sample(5, seed=0), other.sample(5, seed=0))
