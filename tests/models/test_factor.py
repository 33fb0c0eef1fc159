"""FactorVAE: two optimizers that leave each other's weights alone, and what the terms are."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, models, objectives, zoo
from keras_vae.models import factor
from tests.support import SHAPE, array, tensor


def tiny(**kwargs):
    defaults = {"units": (8,), "seed": 0, "discriminator_units": (16,)}
    return models.factor_vae(SHAPE, 3, **{**defaults, **kwargs})


def weights(part):
    return [w.copy() for w in part.get_weights()]


def moved(before, after):
    return max(np.abs(a - b).max() for a, b in zip(before, after))


class TestPermutation:
    def test_it_keeps_every_marginal_and_changes_the_joint(self, rng):
        z = rng.normal(size=(500, 1)) + 0.1 * rng.normal(size=(500, 3))
        found = array(factor.permuted(tensor(z), tensor(rng.normal(size=(500, 3)))))
        np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(np.float32(z), axis=0))
        off = np.triu_indices(3, 1)
        assert (np.corrcoef(z.T)[off] > 0.98).all()
        assert (np.abs(np.corrcoef(found.T)[off]) < 0.2).all()

    def test_the_order_of_the_noise_is_the_shuffle(self):
        z = np.arange(6.0).reshape(3, 2)
        noise = np.array([[0.2, 3.0], [0.1, 1.0], [0.3, 2.0]])
        found = array(factor.permuted(tensor(z), tensor(noise)))
        np.testing.assert_array_equal(found, [[2.0, 3.0], [0.0, 5.0], [4.0, 1.0]])

    def test_one_code_is_itself(self):
        z = tensor([[1.0, 2.0]])
        np.testing.assert_array_equal(array(factor.permuted(z, z)), array(z))


class TestObjective:
    def test_it_is_the_elbo_and_the_weighted_log_odds(self, images):
        x = ops.convert_to_tensor(images[:6])
        noise = np.random.default_rng(1).standard_normal((2, 6, 3), "float32")
        plain = models.vae(SHAPE, 3, units=(8,), seed=0)
        elbo, plain_terms = plain.objective(plain.evidence(x, noise=noise))
        for gamma in (0.0, 2.5):
            model = tiny(gamma=gamma)
            evidence = model.evidence(x, noise=noise)
            loss, terms = model.objective(evidence)
            odds = array(model.logits(evidence.z)).mean(0)
            np.testing.assert_allclose(array(terms["tc_loss"]), odds, rtol=1e-6)
            np.testing.assert_allclose(array(loss), array(elbo) + gamma * odds, rtol=1e-6)
            np.testing.assert_allclose(array(terms["kl_loss"]), array(plain_terms["kl_loss"]))
            assert np.abs(odds).max() > 1e-4

    def test_log_odds_are_those_of_the_network(self, rng):
        model = tiny()
        z = rng.normal(size=(2, 5, 3)).astype("float32")
        first, bias, last, last_bias = (w.astype("float64") for w in weights(model.discriminator))
        hidden = z @ first + bias
        hidden = np.where(hidden > 0, hidden, 0.2 * hidden)
        expected = (hidden @ last + last_bias)[..., 0]
        np.testing.assert_allclose(array(model.logits(tensor(z))), expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("n", [1, 2, 6, 7])
    def test_discriminator_loss_is_the_cross_entropy_of_two_halves(self, n, rng):
        model = tiny()
        z, noise = rng.normal(size=(2, n, 3)).astype("float32")
        own, others = z[: -(-n // 2)], z[n // 2 :]
        shuffled = np.take_along_axis(others, noise[n // 2 :].argsort(0), 0)
        said = 1 / (1 + np.exp(-array(model.logits(tensor(own)))))
        shuffled_said = 1 / (1 + np.exp(-array(model.logits(tensor(shuffled)))))
        expected = -0.5 * (np.log(said).mean() + np.log(1 - shuffled_said).mean())
        found = array(model.discriminator_loss(tensor(z), tensor(noise)))
        assert found == pytest.approx(expected, rel=1e-5)

    def test_a_model_without_discriminator_is_refused(self, images):
        model = models.vae(SHAPE, 2, units=(4,), objective=objectives.DensityRatio())
        with pytest.raises(ValueError, match="needs a model with a discriminator"):
            model.evaluate(images, verbose=0)


@pytest.mark.turns
class TestTwoOptimizers:
    """Asserted by values: what one step does to the weights of the other."""

    def test_no_gradient_of_the_discriminator_reaches_the_vae(self, images):
        """With γ = 0 a step of the VAE is that of the plain one, to the last bit but one."""
        model, plain = tiny(gamma=0.0), models.vae(SHAPE, 3, units=(8,), seed=0)
        rival = weights(model.discriminator)
        for m in (model, plain):
            m.compile(keras.optimizers.SGD(0.01))
            m.fit(images, batch_size=64, shuffle=False, verbose=0)
        for part in ("encoder", "posterior_layer", "decoder"):
            for mine, theirs in zip(weights(getattr(model, part)), weights(getattr(plain, part))):
                np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)
        assert moved(rival, weights(model.discriminator)) > 1e-5

    def test_without_a_step_of_its_own_the_vae_stays(self, images):
        model = tiny(gamma=50.0, discriminator_learning_rate=0.01)
        parts = (model.encoder, model.posterior_layer, model.decoder)
        before = [weights(p) for p in parts]
        rival = weights(model.discriminator)
        model.compile(keras.optimizers.SGD(0.0))
        model.fit(images, batch_size=16, epochs=2, verbose=0)
        for old, part in zip(before, parts):
            assert moved(old, weights(part)) == 0.0
        assert moved(rival, weights(model.discriminator)) > 0.01

    def test_without_a_step_of_its_own_the_discriminator_stays(self, images):
        model = tiny(gamma=50.0, discriminator_learning_rate=0.0)
        rival, encoder = weights(model.discriminator), weights(model.encoder)
        model.compile(keras.optimizers.Adam(0.01))
        model.fit(images, batch_size=16, epochs=2, verbose=0)
        assert moved(rival, weights(model.discriminator)) == 0.0
        assert moved(encoder, weights(model.encoder)) > 0.01

    def test_the_total_correlation_does_reach_the_encoder(self, images):
        """By one step of gradient descent: γ times the gradient that γ = 1 adds."""
        steps = {}
        for gamma in (0.0, 1.0, 3.0):
            model = tiny(gamma=gamma)
            before = weights(model.encoder)
            model.compile(keras.optimizers.SGD(0.1))
            model.fit(images, batch_size=64, shuffle=False, verbose=0)
            steps[gamma] = [a - b for a, b in zip(weights(model.encoder), before)]
        for plain, one, three in zip(*steps.values()):
            np.testing.assert_allclose(three - plain, 3 * (one - plain), atol=1e-5)
        assert max(np.abs(one - plain).max() for plain, one, _ in zip(*steps.values())) > 1e-5

    @pytest.mark.slow
    def test_the_log_odds_come_to_be_the_total_correlation(self, rng):
        """Codes of a normal with correlation 0.9: -½ log(1 - 0.81) = 0.83 nats."""
        model = models.factor_vae(
            (2,), 2, units=(), seed=0, discriminator_units=(32, 32),
            discriminator_learning_rate=5e-3, likelihood=likelihoods.Normal(1.0, data_range=None),
        )  # fmt: skip
        model.posterior_layer.set_weights(
            [np.hstack([np.eye(2), np.zeros((2, 2))]), np.array([0.0, 0.0, -20.0, -20.0])]
        )
        model.compile(keras.optimizers.SGD(0.0))
        first = rng.normal(size=(4000, 1))
        x = np.hstack([first, 0.9 * first + 0.19**0.5 * rng.normal(size=(4000, 1))])
        x = x.astype("float32")
        model.fit(x, batch_size=500, epochs=40, verbose=0)
        found = model.evaluate(x, verbose=0, return_dict=True)["tc_loss"]
        assert found == pytest.approx(-0.5 * np.log(1 - 0.81), abs=0.2)
        # Of codes without correlation there is none.
        alone = rng.normal(size=(4000, 2)).astype("float32")
        model.fit(alone, batch_size=500, epochs=40, verbose=0)
        assert model.evaluate(alone, verbose=0, return_dict=True)["tc_loss"] == pytest.approx(
            0.0, abs=0.1
        )


@pytest.mark.turns
class TestFiles:
    def test_training_goes_on_exactly_where_it_was(self, images, tmp_path):
        model = tiny(discriminator_learning_rate=0.01)
        model.fit(images, batch_size=32, epochs=2, verbose=0)
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        runs = []
        for m in (model, loaded):
            m.fit(images, batch_size=32, shuffle=False, verbose=0)
            runs.append(weights(m.discriminator) + weights(m.encoder))
        assert moved(*runs) < 1e-6
        slots = [array(v) for v in loaded.discriminator_optimizer.variables]
        assert slots[0] == 6 and max(np.abs(s).max() for s in slots[2:]) > 0

    def test_a_preset_holds_no_moments(self, images, tmp_path):
        model = tiny(gamma=3.0)
        model.fit(images, verbose=0)
        zoo.save(model, tmp_path / "preset")
        loaded = zoo.load(tmp_path / "preset")
        assert loaded.objective.gamma == 3.0
        assert moved(weights(model.discriminator), weights(loaded.discriminator)) == 0.0
        assert zoo.info(tmp_path / "preset")["parameters"] == model.count_params() - 1
        loaded.fit(images, verbose=0)

    def test_plain_is_the_vae_alone(self, images, tmp_path):
        model = tiny()
        model.fit(images, verbose=0)
        plain = model.plain()
        assert type(plain) is models.VAE
        np.testing.assert_array_equal(plain.encode(images), model.encode(images))
        rest = plain.count_params() + model.discriminator.count_params()
        assert rest == model.count_params()
        assert np.isfinite(plain.fit(images, verbose=0).history["loss"]).all()

    def test_an_error_in_a_step_loses_neither_network(self, images):
        model = tiny()
        model.fit(images, verbose=0)
        before = weights(model.discriminator), weights(model.encoder)

        class Broken(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            model.fit(images, batch_size=16, verbose=0, callbacks=[Broken()])
        assert moved(before[1], weights(model.encoder)) > 0
        for variable in model.discriminator_optimizer.variables:
            assert np.isfinite(array(variable)).all()
        history = model.fit(images, batch_size=16, verbose=0).history
        assert np.isfinite(history["tc_loss"]).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match="gamma=-1"):
        tiny(gamma=-1)
    with pytest.raises(ValueError, match=r"positive integers. Received: \(0,\)"):
        tiny(discriminator_units=(0,))
    model = tiny()
    with pytest.raises(ValueError, match=r"codes \(3,\) and give one logit. Received: .*\(2,\)"):
        models.FactorVAE(
            model.encoder,
            model.decoder,
            model.posterior_layer,
            discriminator=factor.discriminator_network(2, (4,)),
        )
