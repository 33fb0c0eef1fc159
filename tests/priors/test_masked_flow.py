"""The masked autoregressive flow: what it computes, what it learns, models that use it."""

import keras
import numpy as np
import pytest

from keras_vae import flows, likelihoods, models, priors, zoo
from tests.support import SHAPE, array, make_images, reference, tensor
from tests.support.autodiff import jacobian

pytestmark = pytest.mark.turns


def random_prior(rng, d=4, condition_dim=None):
    """Layers with random weights, and moments that are not those of a standard normal."""
    prior = priors.MaskedFlow(d, condition_dim, steps=3, units=16, seed=0)
    prior.set_weights([0.4 * rng.normal(size=w.shape) for w in prior.get_weights()])
    prior.mean.assign(rng.normal(size=d))
    prior.deviation.assign(np.exp(0.5 * rng.normal(size=d)))
    return prior


def test_it_starts_as_a_normal_of_the_codes_moments(rng):
    prior = priors.MaskedFlow(3, seed=0)
    codes = rng.normal(size=(50, 3)) * [1.0, 2.0, 0.1] + [0.0, 5.0, -1.0]
    prior.adapt(codes)
    expected = reference.normal_log_prob(codes, codes.mean(0), 2 * np.log(codes.std(0))).sum(-1)
    found = array(prior.distribution().log_prob(tensor(codes)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("condition_dim", [None, 2])
def test_samples_and_densities_are_those_of_one_map(condition_dim, rng):
    """The density of a sample is that of its noise over the determinant of the Jacobian."""
    prior = random_prior(rng, condition_dim=condition_dim)
    condition = None if condition_dim is None else tensor(rng.normal(size=(1, condition_dim)))
    p = prior.distribution(condition)
    noise = rng.normal(size=(1, 4))
    z, log_prob = p.transform_and_log_prob(tensor(noise))
    np.testing.assert_allclose(array(p.log_prob(z)), array(log_prob), atol=2e-3)
    matrix = jacobian(lambda u: p.transform(u[None])[0], noise[0])
    expected = reference.normal_log_prob(noise, 0, 0).sum() - np.log(np.abs(np.linalg.det(matrix)))
    np.testing.assert_allclose(array(log_prob), expected, atol=2e-3)
    loss = prior.training_loss(z, condition, None, None)
    np.testing.assert_allclose(
        -array(loss) - np.log(array(prior.deviation)).sum(), array(log_prob), atol=2e-3
    )
    if condition is not None:
        other = prior.distribution(condition + 1.0).log_prob(z)
        assert np.abs(array(other) - array(log_prob)).max() > 0.01
        with pytest.raises(ValueError, match=r"conditional.*\(n, 2\).*condition=None"):
            prior.distribution()


def test_each_dimension_depends_on_those_before_it(rng):
    made = flows.MADE(4, 0, units=12, seed=0)
    made.set_weights([rng.normal(size=w.shape) for w in made.get_weights()])
    flow = flows.MaskedAffine(made)
    # The inverse turns the order around first.
    matrix = jacobian(lambda z: flow.inverse(z[None])[0][0], rng.normal(size=4))[:, ::-1]
    assert (np.triu(matrix, 1) == 0).all() and (np.tril(matrix) != 0)[np.tril_indices(4)].all()
    z = tensor(rng.normal(size=(2, 3, 4)))
    back, log_det = flow.inverse(flow(z)[0])
    np.testing.assert_allclose(array(back), array(z), atol=2e-3)
    np.testing.assert_allclose(array(flow(z)[1]), array(log_det), atol=2e-3)


def linear_model(d):
    """An autoencoder whose codes are its data."""
    likelihood = likelihoods.Normal(data_range=None)
    model = models.autoencoder((d,), d, units=(), likelihood=likelihood, seed=0)
    model.posterior_layer.set_weights([np.eye(d), np.zeros(d)])
    model.decoder.set_weights([np.eye(d), np.zeros(d)])
    return model


class TestModels:
    def test_it_recovers_the_density_of_a_correlated_normal(self, rng):
        factor = np.array([[1.0, 0.0, 0.0], [0.9, 0.5, 0.0], [-0.6, 0.4, 0.3]])
        mean = np.array([1.0, -2.0, 0.5])
        x = (rng.normal(size=(4096, 3)) @ factor.T + mean).astype("float32")
        model = linear_model(3)
        optimizer = keras.optimizers.Adam(3e-3)
        model.fit_sampler(x, "maf", epochs=25, batch_size=256, optimizer=optimizer)
        assert isinstance(model.prior, priors.MaskedFlow) and not model.prior.trainable_variables
        test = rng.normal(size=(500, 3)) @ factor.T + mean
        covariance = factor @ factor.T
        white = np.linalg.solve(factor, (test - mean).T)
        exact = -0.5 * ((white**2).sum(0) + 3 * np.log(2 * np.pi))
        exact -= np.log(np.diag(factor)).sum()
        found = array(model.prior.distribution().log_prob(tensor(test)))
        # Independent normals of the same moments are 2 nats off.
        assert abs((exact - found).mean()) < 0.05 and np.abs(exact - found).mean() < 0.15
        drawn = model.sample(8000, seed=0)
        np.testing.assert_allclose(drawn.mean(0), mean, atol=0.1)
        np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.12)

    def test_it_is_saved_and_loaded(self, tmp_path):
        x = make_images(np.random.default_rng(0), 64)
        model = models.vae(SHAPE, 2, units=(8,), seed=0)
        model.fit(x, epochs=2, verbose=0)
        before = model.decode(np.zeros((1, 2)))
        model.fit_sampler(x, "maf", epochs=2)
        np.testing.assert_array_equal(model.decode(np.zeros((1, 2))), before)
        bound = model.log_likelihood(x[:3], 50, verbose=False)
        assert np.isfinite(bound).all() and np.isfinite(model.evaluate(x, verbose=0)).all()
        model.save(tmp_path / "model.keras")
        zoo.save(model, tmp_path / "preset")
        for other in (
            keras.models.load_model(tmp_path / "model.keras"),
            zoo.load(tmp_path / "preset"),
        ):
            np.testing.assert_array_equal(other.sample(5, seed=1), model.sample(5, seed=1))
            np.testing.assert_allclose(
                other.log_likelihood(x[:3], 50, verbose=False), bound, rtol=1e-5
            )
        # Training the model goes on against N(0, I).
        assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()

    def test_conditions_and_what_it_refuses(self, rng):
        x, y = make_images(rng, 64), np.arange(64) % 2
        model = models.cvae(SHAPE, 2, units=(8,), num_classes=2, seed=0)
        model.fit_sampler(x, "maf", y, epochs=3)
        assert model.prior.condition_dim == 2
        assert model.sample(4, seed=0, condition=1).shape == (4, *SHAPE)
        assert np.isfinite(model.log_likelihood(x[:3], 5, condition=y[:3], verbose=False)).all()
        with pytest.raises(ValueError, match="`steps` must be"):
            priors.MaskedFlow(2, steps=0)
        maps = models.autoencoder((8, 8, 1), 2, network="conv", units=(4,), maps=True)
        with pytest.raises(ValueError, match="depend on each other.*Received: kind=.maf."):
            maps.fit_sampler(x, "maf")
