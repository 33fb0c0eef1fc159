"""Flow matching: exact fields of normal codes, densities, training, models that use it."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models, priors, zoo
from keras_vae.export.signatures import signatures
from keras_vae.models.flow_training import FlowAlone
from tests.support import SHAPE, array, autodiff, reference, tensor
from tests.support.autodiff import jacobian


class Exact(priors.FlowMatching):
    """The field that carries N(0, I) to N(m + y, s²) exactly, in place of a network."""

    def velocity(self, u, times, condition=None, guidance=None, other=None):
        shape = (-1,) + (1,) * (len(u.shape) - 1)
        t = ops.reshape(times, shape)
        mean = self.m
        if guidance is not None:
            # The velocity is linear in y, so that guidance from y to y' is another condition.
            condition = other + guidance[:, None] * (condition - other)
        if condition is not None:
            mean = mean + ops.reshape(condition[:, :1], shape)
        variance = self.s**2
        slope = (t * variance - (1 - t)) / (ops.square(1 - t) + ops.square(t) * variance)
        return mean + slope * (u - t * mean)


def exact(code_shape, rng, **options):
    prior = Exact(code_shape, width=4, depth=1, steps=60, **options)
    prior.m = tensor(rng.normal(size=prior.code_shape))
    prior.s = tensor(rng.uniform(0.5, 1.5, prior.code_shape))
    prior.mean.assign(np.linspace(-1, 1, prior.latent_dim))
    prior.deviation.assign(np.linspace(0.5, 2, prior.latent_dim))
    mean, deviation = array(prior.mean), array(prior.deviation)
    return prior, mean + deviation * array(prior.m), deviation * array(prior.s)


def shaken(prior, scale=0.5):
    rng = np.random.default_rng(2)
    # The moments stay: a deviation must be above 0.
    for variable in prior.field.weights:
        variable.assign(array(variable) + scale * rng.standard_normal(variable.shape))
    return prior


@pytest.mark.parametrize("code_shape", [3, (2, 2, 3)])
@pytest.mark.parametrize("method", ["heun", "midpoint"])
class TestExactField:
    def test_samples_are_mean_plus_deviation_times_noise(self, code_shape, method, rng):
        prior, mean, deviation = exact(code_shape, rng, method=method)
        noise = np.random.default_rng(5).standard_normal((6, *prior.code_shape), "float32")
        found = prior.sample(6, np.random.default_rng(5))
        np.testing.assert_allclose(found, mean + deviation * noise, atol=2e-3)
        np.testing.assert_allclose(
            array(prior.distribution().transform(tensor(noise))), found, atol=1e-5
        )
        np.testing.assert_allclose(prior.invert(found), noise, atol=2e-3)
        np.testing.assert_allclose(array(prior.distribution().center), mean, atol=2e-3)

    @pytest.mark.parametrize("probes", [None, 2])
    def test_density_is_that_of_the_normal(self, code_shape, method, probes, rng):
        """Of a diagonal Jacobian one vector of signs gives the divergence exactly."""
        prior, mean, deviation = exact(code_shape, rng, method=method, probes=probes)
        z = mean + deviation * rng.normal(size=(2, 5, *prior.code_shape))
        each = reference.normal_log_prob(z, mean, 2 * np.log(deviation))
        expected = each.reshape(2, 5, -1).sum(-1)
        found = array(prior.distribution().log_prob(tensor(z)))
        assert found.shape == (2, 5)
        np.testing.assert_allclose(found, expected, atol=1e-2)


class TestCondition:
    def test_a_condition_moves_samples_and_density(self, rng):
        prior, mean, deviation = exact(2, rng, condition_dim=1)
        y = np.linspace(-1, 1, 5)[:, None]
        means = mean + array(prior.deviation) * y
        noise = np.random.default_rng(1).standard_normal((5, 2), "float32")
        found = prior.sample(5, np.random.default_rng(1), tensor(y))
        np.testing.assert_allclose(found, means + deviation * noise, atol=2e-3)
        z = means + deviation * rng.normal(size=(3, 5, 2))
        expected = reference.normal_log_prob(z, means, 2 * np.log(deviation)).sum(-1)
        p = prior.distribution(tensor(y))
        np.testing.assert_allclose(array(p.log_prob(tensor(z))), expected, atol=1e-2)
        np.testing.assert_allclose(array(p.log_prob(tensor(z[0]))), expected[0], atol=1e-2)

    def test_guidance_goes_beyond_the_condition(self, rng):
        prior = shaken(priors.FlowMatching(2, 1, 8, 1, condition_dropout=0.1, seed=0), 0.3)
        u, t, y = (tensor(rng.normal(size=shape)) for shape in ((4, 2), (4,), (4, 1)))
        with_it = array(prior.velocity(u, t, y))
        at = {g: array(prior.velocity(u, t, y, tensor(np.full(4, g)))) for g in (0.0, 1.0, 3.0)}
        np.testing.assert_allclose(at[1.0], with_it, atol=1e-5)
        np.testing.assert_allclose(at[3.0], at[0.0] + 3 * (with_it - at[0.0]), atol=1e-5)
        other = array(prior.velocity(u, t, -y, tensor(np.zeros(4))))
        np.testing.assert_allclose(other, at[0.0], atol=1e-6)
        assert np.abs(at[3.0] - with_it).max() > 0.05
        # Away from another condition it is at most 1 before the start.
        prior.transport_start = 0.02
        assert 0 < np.sum(array(t) < 0.02) < 4
        low, high = (array(prior.velocity(u, t, c)) for c in (-y, y))
        for g in (0.5, 3.0):
            found = array(prior.velocity(u, t, y, tensor(np.full(4, g)), -y))
            for i, time in enumerate(array(t)):
                by = min(g, 1.0) if time < 0.02 else g
                np.testing.assert_allclose(found[i], low[i] + by * (high[i] - low[i]), atol=1e-5)
        p = prior.distribution(y, steps=4, guidance=3.0)
        noise = np.random.default_rng(0).standard_normal((4, 2), "float32")
        found = prior.sample(4, np.random.default_rng(0), y, steps=4, guidance=3.0)
        np.testing.assert_allclose(array(p.transform(tensor(noise))), found, atol=1e-5)


@pytest.mark.turns
class TestDivergence:
    @pytest.mark.parametrize("code_shape", [3, (2, 1, 2)])
    def test_it_is_the_trace_of_the_jacobian(self, code_shape, rng):
        prior = shaken(priors.FlowMatching(code_shape, None, 8, 2, heads=2, probes=None, seed=0))
        size = int(np.prod(prior.code_shape))
        u, t = rng.normal(size=(3, *prior.code_shape)), tensor([0.1, 0.5, 0.9])
        found = array(prior._divergence(tensor(u), t, None, None))
        for i in range(3):

            def one(flat, i=i):
                x = ops.reshape(flat, (1, *prior.code_shape))
                return ops.reshape(prior.velocity(x, t[i : i + 1]), (-1,))

            expected = np.trace(jacobian(one, u[i].reshape(-1)))
            assert found[i] == pytest.approx(expected, rel=1e-3, abs=1e-4)
        assert np.abs(found).max() > 0.05
        estimate = priors.FlowMatching(code_shape, None, 8, 2, heads=2, probes=4000, seed=0)
        estimate.set_weights(prior.get_weights())
        rough = array(estimate._divergence(tensor(u), t, None, None))
        np.testing.assert_allclose(rough, found, atol=0.1 * size * np.abs(found).max())

    @pytest.mark.skipif(
        keras.backend.backend() == "tensorflow",
        reason="the second derivative of Keras' LayerNormalization on TensorFlow is not exact",
    )
    def test_the_gradient_of_the_density_is_its_slope(self, rng):
        """It holds the second derivative of the velocity."""
        prior = shaken(priors.FlowMatching((2, 1, 2), None, 8, 1, heads=2, seed=0))
        z = rng.normal(size=(1, 2, 1, 2)).astype("float32")

        def density(z):
            return ops.sum(prior.distribution(steps=2).log_prob(z))

        slope = autodiff.gradient(density, z).ravel()
        steps = 1e-2 * np.eye(4, dtype="float32").reshape(4, *z.shape)
        rise = [(float(array(density(z + h))) - float(array(density(z - h)))) / 2e-2 for h in steps]
        np.testing.assert_allclose(slope, rise, rtol=0.01, atol=5e-3)

    def test_more_than_a_few_numbers_are_estimated(self):
        assert priors.FlowMatching(33, width=4, depth=1).probes == "auto"
        small = shaken(priors.FlowMatching((3, 3, 4), None, 8, 1, heads=2, seed=0))
        z = tensor(np.random.default_rng(0).normal(size=(2, 3, 3, 4)))
        first, second = (array(small.distribution(steps=2).log_prob(z)) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def fitted(prior, codes, y=None, epochs=40, condition=None, **options):
    """The prior after training on codes."""
    prior.adapt(codes)
    prior.trainable = True
    trainer = FlowAlone(prior, condition, keras.random.SeedGenerator(0))
    trainer.compile(keras.optimizers.Adam(3e-3))
    history = trainer.fit(codes, y, batch_size=250, epochs=epochs, verbose=0, **options).history
    prior.trainable = False
    return history["loss"]


@pytest.mark.turns
class TestTraining:
    @pytest.mark.slow
    def test_of_a_normal_it_learns_moments_and_density(self, rng):
        factor = np.array([[1.0, 0.0], [0.8, 0.4]])
        codes = (rng.normal(size=(4000, 2)) @ factor.T + [1.0, -2.0]).astype("float32")
        prior = priors.FlowMatching(2, width=32, depth=2, seed=0)
        fitted(prior, codes)
        drawn = prior.sample(4000, np.random.default_rng(0))
        np.testing.assert_allclose(drawn.mean(0), [1.0, -2.0], atol=0.12)
        np.testing.assert_allclose(np.cov(drawn.T), factor @ factor.T, atol=0.15)
        covariance = factor @ factor.T
        rest = codes[:500] - [1.0, -2.0]
        exponent = np.einsum("ni,ij,nj->n", rest, np.linalg.inv(covariance), rest)
        expected = -0.5 * (exponent + np.log(np.linalg.det(2 * np.pi * covariance)))
        found = array(prior.distribution().log_prob(tensor(codes[:500])))
        assert found.mean() == pytest.approx(expected.mean(), abs=0.12)
        assert np.corrcoef(found, expected)[0, 1] > 0.95

    @pytest.mark.slow
    @pytest.mark.turns
    def test_two_modes_of_maps_are_both_drawn(self, rng):
        """Maps that are all near 1 or all near -1: no normal draws them."""
        signs = rng.choice([-1.0, 1.0], (2000, 1, 1, 1))
        codes = (signs + 0.1 * rng.normal(size=(2000, 2, 2, 2))).astype("float32")
        prior = priors.FlowMatching((2, 2, 2), width=32, depth=2, heads=2, seed=0)
        losses = fitted(prior, codes, epochs=60)
        assert losses[-1] < 0.5 * losses[0]
        drawn = prior.sample(400, np.random.default_rng(0)).reshape(400, 8)
        alike = np.abs(drawn.mean(-1)) > 0.8
        assert alike.mean() > 0.9
        assert 0.35 < (drawn.mean(-1) > 0).mean() < 0.65

    def test_loss_is_the_squared_error_of_the_velocity(self, rng):
        prior = shaken(priors.FlowMatching(2, 1, 8, 1, seed=0), 0.3)
        prior.mean.assign([1.0, 2.0])
        prior.deviation.assign([0.5, 2.0])
        z, noise, y = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), rng.normal(size=(4, 1))
        t = np.array([0.0, 0.25, 0.5, 1.0])
        u = (z - [1.0, 2.0]) / [0.5, 2.0]
        x_t = (1 - t)[:, None] * noise + t[:, None] * u
        v = array(prior.velocity(tensor(x_t), tensor(t), tensor(y)))
        found = array(prior.matching_loss(tensor(z), tensor(y), tensor(noise), tensor(t)))
        np.testing.assert_allclose(found, ((v - (u - noise)) ** 2).sum(-1), rtol=1e-4)

    def test_before_training_it_is_standard_normal(self, rng):
        prior = priors.FlowMatching(3, width=8, depth=1)
        noise = np.random.default_rng(0).standard_normal((4, 3), "float32")
        np.testing.assert_array_equal(prior.sample(4, np.random.default_rng(0)), noise)
        expected = reference.normal_log_prob(noise, 0.0, 0.0).sum(-1)
        found = array(prior.distribution(steps=1).log_prob(tensor(noise)))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert prior.trainable_variables == []


@pytest.mark.turns
class TestModels:
    @pytest.fixture
    def conditional(self, images):
        model = models.cvae(
            SHAPE, 2, units=(8,), condition_dim=2, condition_names=("Big", "Red"), seed=0
        )
        y = np.random.default_rng(0).random((64, 2)).astype("float32")
        return model, y

    def test_fit_sampler_trains_one_and_it_is_saved(self, images, conditional, tmp_path):
        model, y = conditional
        assert model.fit_sampler(images, "flow", y, epochs=3, batch_size=32) is model
        assert isinstance(model.prior, priors.FlowMatching)
        drawn = model.sample(5, y[:5], seed=1, steps=4, guidance=2.0)
        assert drawn.shape == (5, *SHAPE)
        np.testing.assert_array_equal(drawn, model.sample(5, y[:5], seed=1, steps=4, guidance=2.0))
        z = model.prior.sample(5, np.random.default_rng(1), tensor(y[:5]), 4, 2.0)
        np.testing.assert_allclose(drawn, model.decode(z, y[:5]), atol=1e-5)
        for n in (1, 3):
            assert model.sample(n, y[0], seed=2, batch_size=2).shape == (n, *SHAPE)
        model.save(tmp_path / "m.keras")
        zoo.save(model, tmp_path / "preset", golden=(images[:2], y[:2]))
        loaded = keras.models.load_model(tmp_path / "m.keras")
        for other in (loaded, zoo.load(tmp_path / "preset")):
            assert len(other.trainable_variables) == len(model.trainable_variables)
            assert not any(v.trainable for v in other.prior.variables)
            found = other.sample(5, y[:5], seed=1, steps=4, guidance=2.0)
            np.testing.assert_array_equal(found, drawn)
            assert np.isfinite(other.fit(images, y, verbose=0).history["loss"]).all()

    def test_fit_leaves_it_alone_and_fit_prior_leaves_the_model_alone(self, images, conditional):
        model, y = conditional
        plain = models.cvae(SHAPE, 2, units=(8,), condition_dim=2, seed=0)
        model.prior = priors.FlowMatching(2, 2, 8, 1, seed=3)
        before = model.prior.get_weights()
        losses = [
            m.fit(images, y, shuffle=False, verbose=0).history["loss"] for m in (model, plain)
        ]
        # It trains as with N(0, I).
        np.testing.assert_allclose(*losses, rtol=1e-3)
        for old, new in zip(before, model.prior.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        codes = model.encode(images, y)
        history = model.fit_prior(
            images, y, epochs=2, verbose=0, validation_data=(images[:9], y[:9])
        ).history
        assert set(history) == {"loss", "val_loss"} and np.isfinite(history["loss"]).all()
        np.testing.assert_array_equal(model.encode(images, y), codes)
        moved = [
            np.abs(old - new).max()
            for old, new in zip(before, model.prior.get_weights(), strict=True)
        ]
        assert max(moved) > 1e-3
        assert np.isfinite(model.log_likelihood(images[:3], 4, y[:3], verbose=False)).all()

    def test_codes_of_one_condition_become_those_of_another(self, conditional, rng):
        model, y = conditional
        prior, mean, deviation = exact(2, rng, condition_dim=2)
        model.prior = prior
        z = rng.normal(size=(64, 2)).astype("float32")
        y_new = 1 - y
        moved = array(prior.deviation) * (y_new - y)[:, :1]
        found = model.transport(z, y, y_new)
        np.testing.assert_allclose(found, z + moved, atol=1e-2)
        for guidance in (0.0, 2.5):
            found = model.transport(z, y, y_new, guidance=guidance)
            np.testing.assert_allclose(found, z + guidance * moved, atol=1e-2)
        prior.transport_guidance = 0.5
        np.testing.assert_allclose(model.transport(z, y, y_new), z + 0.5 * moved, atol=1e-2)
        np.testing.assert_allclose(model.transport(z, y, y), z, atol=1e-2)

    def test_edits_carry_the_code(self, rng):
        model = models.cvae(
            SHAPE, 2, units=(8,), condition_dim=2, condition_names=("a", "b"), seed=0
        )
        images = rng.uniform(size=(6, *SHAPE)).astype("float32")
        y = np.float32([[0, 0], [1, 0], [0, 1], [1, 1], [0, 0], [1, 1]])
        model.prior, mean, deviation = exact(2, rng, condition_dim=2)
        model.prior.transport_guidance = 2.0
        z, asked = model.encode(images, y), y.copy()
        asked[:, 0] = 1.0
        moved = array(model.prior.deviation) * (asked - y)[:, :1]
        for strength in (0.0, 0.5, 1.0, 1.5):
            # The decoder is told no more than what is asked for.
            told = y + min(strength, 1.0) * (asked - y)
            expected = model.decode(z + 2.0 * strength * moved, told)
            found = model.edit(images, y, strength=strength, a=1.0)
            np.testing.assert_allclose(found, expected, atol=5e-3)
            same = y[:, 0] == 1.0
            np.testing.assert_array_equal(found[same], model.reconstruct(images, y)[same])
        changes = np.abs(model.edit(images, y, a=1.0) - model.reconstruct(images, y))
        assert changes[y[:, 0] == 0].max() > 0.02

    def test_a_network_of_half_precision_knows_times_exactly(self, rng):
        options = {"condition_dim": 2, "width": 8, "depth": 1, "heads": 2, "seed": 0}
        whole = shaken(priors.FlowMatching((2, 2, 3), **options), 0.3)
        half = priors.FlowMatching((2, 2, 3), **options, dtype="mixed_bfloat16")
        half = type(half).from_config(half.get_config())
        half.set_weights(whole.get_weights())
        u, y = tensor(rng.normal(size=(5, 2, 2, 3))), tensor(rng.normal(size=(5, 2)))
        for times in (np.full(5, 0.7), np.full(5, 0.7004)):
            found, expected = (p.velocity(u, tensor(times), y) for p in (half, whole))
            assert keras.backend.standardize_dtype(found.dtype) == "float32"
            assert 0 < np.abs(array(found) - array(expected)).max() < 0.1
            np.testing.assert_allclose(array(found), array(expected), atol=0.1)
        features = [array(half.field.features_of(tensor([t]))) for t in (0.7, 0.7004)]
        assert 0.01 < np.abs(features[0] - features[1]).max() < 0.1

    def test_guidance_leads_away_from_the_other_condition(self, rng):
        prior = shaken(priors.FlowMatching(2, 2, 8, 1, condition_dropout=0.1, seed=0), 0.5)
        u, times = tensor(rng.normal(size=(5, 2))), tensor(rng.uniform(size=5))
        y, other = tensor(rng.normal(size=(5, 2))), tensor(rng.normal(size=(5, 2)))
        each = [array(prior.velocity(u, times, condition)) for condition in (y, other)]
        found = prior.velocity(u, times, y, tensor(np.full(5, 3.0)), other)
        np.testing.assert_allclose(array(found), 3.0 * each[0] - 2.0 * each[1], atol=1e-5)

    def test_an_autoencoder_gets_a_prior(self, images):
        model = models.autoencoder(SHAPE, 2, units=(8,), seed=0)
        model.fit_sampler(images, "flow", epochs=2)
        assert model.can_sample and model.sample(3, seed=0).shape == (3, *SHAPE)
        assert set(signatures(model)) == {"encode", "decode", "reconstruct", "sample"}

    def test_the_exported_sample_is_that_of_the_model(self, conditional):
        model, y = conditional
        model.prior = shaken(priors.FlowMatching(2, 2, 8, 1, steps=3, seed=0), 0.3)
        signature = signatures(model)["sample"]
        noise = np.random.default_rng(4).standard_normal((6, 2), "float32")
        found = signature.call(noise=tensor(noise), condition=tensor(y[:6]))["image"]
        np.testing.assert_allclose(array(found), model.sample(6, y[:6], seed=4), atol=1e-5)
        reference_ = signature.reference(noise=noise, condition=y[:6])["image"]
        np.testing.assert_allclose(array(found), reference_, atol=1e-5)

    def test_the_exported_transport_is_that_of_the_model(self, conditional, rng):
        model, y = conditional
        model.prior = shaken(priors.FlowMatching(2, 2, 8, 1, steps=3, seed=0), 0.3)
        signature = signatures(model)["transport"]
        z, guidance = rng.normal(size=(6, 2)).astype("float32"), np.float32([0, 1, 2, 3, 1, 0.5])
        given = {"z": z, "condition": y[:6], "new_condition": 1 - y[:6], "guidance": guidance}
        found = array(signature.call(**{k: tensor(v) for k, v in given.items()})["z"])
        np.testing.assert_allclose(found, signature.reference(**given)["z"], atol=1e-5)
        for i in range(6):
            alone = model.transport(z[i : i + 1], y[i : i + 1], 1 - y[i : i + 1], None, guidance[i])
            np.testing.assert_allclose(found[i : i + 1], alone, atol=1e-5)
        assert np.abs(found[3] - z[3]).max() > 0.1


@pytest.mark.once
class TestErrors:
    @pytest.mark.parametrize(
        "options, match",
        [
            ({"code_shape": (2, 3)}, r"\(height, width, channels\). Received: code_shape=\(2, 3\)"),
            ({"width": 10}, "multiple of `heads`. Received: width=10, heads=4"),
            ({"method": "rk4"}, "`method` must be one of .* Received: method='rk4'"),
            ({"steps": 0}, "`steps` must be an integer of at least 1"),
            ({"probes": 0}, "`probes` must be an integer of at least 1"),
            ({"condition_dropout": 0.1}, "has none to drop"),
        ],
    )
    def test_wrong_values_are_refused(self, options, match):
        with pytest.raises(ValueError, match=match):
            priors.FlowMatching(**{"code_shape": 2, **options})

    def test_what_a_model_refuses(self, images):
        model = models.vae(SHAPE, 2, units=(8,), seed=0)
        with pytest.raises(ValueError, match="belong to a prior that is a `priors.FlowMatching`"):
            model.sample(2, steps=4)
        with pytest.raises(ValueError, match="`fit_prior` trains a prior by flow matching"):
            model.fit_prior(images)
        with pytest.raises(ValueError, match="with `condition_dim`. Received: prior=Standard"):
            model.transport(np.zeros((2, 2)), 0, 1)
        with pytest.raises(TypeError, match="closed form, without training. Received: epochs"):
            model.fit_sampler(images, "normal", epochs=3)
        before = model.prior
        with pytest.raises(ValueError, match="must have shape"):
            model.fit_sampler(images[:, :4], "flow")
        assert model.prior is before
        model.prior = priors.FlowMatching(2, width=8, depth=1)
        with pytest.raises(ValueError, match="give `condition=` of a conditional model"):
            model.sample(2, guidance=2.0)

    def test_guidance_needs_dropout(self):
        model = models.cvae(SHAPE, 2, units=(8,), num_classes=3, seed=0)
        model.prior = priors.FlowMatching(2, 3, 8, 1)
        with pytest.raises(ValueError, match="not trained to do without its condition"):
            model.sample(2, condition=1, guidance=2.0)
        with pytest.raises(ValueError, match="This prior is conditional"):
            model.prior.sample(2, np.random.default_rng(0))


class TestBackends:
    """Numbers that all backends give for the same seeds and weights."""

    def test_vectors(self):
        prior = shaken(priors.FlowMatching(2, 2, 8, 1, steps=4, seed=0, condition_dropout=0.1), 0.3)
        y = tensor([[0.2, 0.9], [1.0, 0.0]])
        found = prior.sample(2, np.random.default_rng(0), y, guidance=2.0)
        expected = [[1.64796, -2.60432], [0.61474, -1.61176]]
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_maps(self):
        prior = shaken(priors.FlowMatching((2, 2, 3), None, 8, 1, heads=2, steps=4, seed=0), 0.3)
        found = prior.sample(2, np.random.default_rng(0))
        np.testing.assert_allclose(found[:, 1, 0, 2], [-0.24441, -0.44098], atol=1e-5)
        density = array(prior.distribution(steps=4).log_prob(ops.ones((2, 2, 2, 3))))
        np.testing.assert_allclose(density, [-28.3278] * 2, atol=1e-3)
