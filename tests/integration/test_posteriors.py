"""What all posteriors have in common: limits, and bounds on an exact likelihood."""

import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, metrics, models
from tests.support import SHAPE, array, make_images, reference

pytestmark = pytest.mark.turns


class TestLimits:
    """Models whose extra parts are gone are the plain VAE, to 1e-6."""

    def losses(self, make, **kwargs):
        model = make(SHAPE, 3, units=(8,), seed=4, **kwargs)
        x = make_images(np.random.default_rng(0), 6)
        noise = np.random.default_rng(1).standard_normal((2, 6, 3), "float32")
        extra = getattr(model.posterior_layer, "extra", None)
        if extra is not None:
            extra.set_weights([0 * w for w in extra.get_weights()])
        loss, terms = model.objective(model.evidence(ops.convert_to_tensor(x), noise=noise))
        return {"loss": array(loss), **{k: array(v) for k, v in terms.items()}}

    @pytest.mark.parametrize(
        "make, options",
        [
            (models.flow_vae, {"flows": 0}),
            (models.flow_vae, {"flows": 0, "kind": "radial"}),
            (models.iaf_vae, {"steps": 0}),
            (models.full_covariance_vae, {}),
        ],
    )
    def test_zero_flows_and_an_empty_factor(self, make, options):
        plain, limit = self.losses(models.vae), self.losses(make, **options)
        assert set(plain) == set(limit)
        for name in plain:
            np.testing.assert_allclose(limit[name], plain[name], rtol=1e-6, atol=1e-6)


class TestBounds:
    @pytest.mark.parametrize(
        "make, options",
        [
            (models.flow_vae, {"flows": 3}),
            (models.flow_vae, {"flows": 3, "kind": "radial"}),
            (models.iaf_vae, {"steps": 2}),
            (models.full_covariance_vae, {}),
        ],
    )
    def test_every_posterior_s_bound_reaches_the_exact_likelihood(self, make, options, rng):
        """The decoder of a linear-Gaussian model, proposals that are any but right."""
        weights, bias, variance = rng.normal(size=(5, 2)), rng.normal(size=5), 0.5
        model = make(
            (5,), 2, units=(), seed=0, **options,
            likelihood=likelihoods.Normal(variance, data_range=None),
        )  # fmt: skip
        layer = model.posterior_layer
        layer.set_weights([0.3 * w for w in layer.get_weights()])
        if make is models.full_covariance_vae:  # what is below its diagonal starts as 0
            layer.extra.set_weights([0.2 * rng.normal(size=w.shape) for w in layer.extra.weights])
        model.decoder.set_weights([weights.T, bias])
        x = rng.normal(size=(6, 2)) @ weights.T + bias + variance**0.5 * rng.normal(size=(6, 5))
        x = x.astype("float32")
        exact = reference.linear_gaussian(x, weights, bias, variance)
        bound = model.log_likelihood(x, samples=20_000, verbose=False)
        np.testing.assert_allclose(bound, exact, atol=0.15)
        terms = metrics.elbo(model, x, samples=20)
        assert terms["elbo"].mean < exact.mean()
        # Its divergence comes from samples of their own.
        assert terms["reconstruction"].mean == pytest.approx(terms["elbo"].mean + terms["kl"].mean)
        assert terms["kl"].mean > 0
