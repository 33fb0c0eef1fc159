"""VAE/GAN and adversarial autoencoder: losses against NumPy, and where gradients flow."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import layers, likelihoods, models, objectives, zoo
from keras_vae.models import discriminators
from tests.support import SHAPE, array, tensor

pytestmark = pytest.mark.turns

D = 3


def gan(**kwargs):
    defaults = {"units": (8,), "seed": 0, "discriminator_units": (4,)}
    return models.vae_gan(SHAPE, D, **{**defaults, **kwargs})


def aae(**kwargs):
    defaults = {"units": (8,), "seed": 0, "discriminator_units": (16,)}
    return models.adversarial_autoencoder(SHAPE, D, **{**defaults, **kwargs})


def weights(part):
    return [w.copy() for w in part.get_weights()]


def moved(before, after):
    return max(np.abs(a - b).max() for a, b in zip(before, after, strict=True))


def softplus(x):
    return np.logaddexp(0.0, x)


def linear(rng, loss="logistic", **options):
    """A VAE/GAN of linear maps whose every number is known."""
    model = models.vae_gan(
        (4,), 2, units=(), seed=0, discriminator_units=(3,), loss=loss,
        likelihood=likelihoods.Normal(1.0, data_range=None), **options,
    )  # fmt: skip
    model.set_weights(
        [
            value if variable is model.step else rng.normal(size=value.shape)
            for variable, value in zip(model.weights, model.get_weights(), strict=True)
        ]
    )
    return model


def told(model, x):
    """Features and logits of the linear model's discriminator, NumPy."""
    first, bias, last, last_bias = (w.astype("float64") for w in weights(model.discriminator))
    hidden = x @ first + bias
    hidden = np.where(hidden > 0, hidden, 0.2 * hidden)
    return hidden, (hidden @ last + last_bias)[:, 0]


class TestOracle:
    """Every term of a linear model against NumPy."""

    @pytest.mark.parametrize("loss", ["logistic", "hinge"])
    def test_vae_gan(self, rng, loss):
        model = linear(rng, loss, weight=0.7, pixel_weight=0.3, beta=2.0)
        x, noise = rng.normal(size=(5, 4)), rng.normal(size=(1, 5, 2))
        drawn = rng.normal(size=(5, 2))
        evidence = model.evidence(tensor(x), noise=tensor(noise), training=True)
        evidence = evidence._replace(normal=lambda shape: tensor(drawn))
        found, terms = model.objective(evidence)
        mean, log_var = array(evidence.q.mean), array(evidence.q.log_var)
        z = mean + np.exp(0.5 * log_var) * noise[0]
        kernel, bias = weights(model.decoder)
        decoded, sampled = z @ kernel + bias, drawn @ kernel + bias
        features, real = told(model, x)
        rebuilt, fake = told(model, decoded)
        _, other = told(model, sampled)
        distance = 0.5 * ((features - rebuilt) ** 2).sum(-1)
        if loss == "logistic":
            generator = softplus(-fake) + softplus(-other)
            judge = softplus(-real) + softplus(fake) + softplus(other)
        else:
            generator = -fake - other
            judge = np.maximum(0, 1 - real) + np.maximum(0, 1 + fake) + np.maximum(0, 1 + other)
        accuracy = ((real > 0) * 1.0 + (fake < 0) + (other < 0)) / 3
        pixels = 0.5 * ((x - decoded) ** 2).sum(-1) + 2 * np.log(2 * np.pi)
        kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).sum(-1)
        expected = {
            "reconstruction_loss": pixels,
            "kl_loss": kl,
            "feature_loss": distance,
            "adversarial_loss": generator,
            "discriminator_loss": judge,
            "discriminator_accuracy": accuracy,
        }
        assert set(terms) == set(model.objective.terms) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(array(terms[name]), value, rtol=2e-4, atol=1e-4)
        total = 2.0 * kl + distance + 0.3 * pixels + 0.7 * generator
        np.testing.assert_allclose(array(found), total, rtol=2e-4, atol=1e-4)
        both = tensor(np.concatenate([decoded, sampled]))
        step = array(model.discriminator_loss(tensor(x), both))
        assert step == pytest.approx(judge.mean(), rel=1e-4)
        w = np.arange(5.0)
        step = array(model.discriminator_loss(tensor(x), both, tensor(w)))
        assert step == pytest.approx((w * judge).mean(), rel=1e-4)

    def test_adversarial_autoencoder(self, rng):
        model = aae(weight=0.7)
        z, drawn = rng.normal(size=(5, D)), rng.normal(size=(5, D))
        x = tensor(rng.random((5, *SHAPE)))
        evidence = model.evidence(x, noise=tensor(np.zeros((1, 5, D))), training=True)
        evidence = evidence._replace(z=tensor(z[None]), normal=lambda shape: tensor(drawn))
        loss, terms = model.objective(evidence)
        _, fake = told(model, z)
        _, real = told(model, drawn)
        generator, judge = softplus(-fake), softplus(-real) + softplus(fake)
        np.testing.assert_allclose(array(terms["adversarial_loss"]), generator, rtol=1e-4)
        np.testing.assert_allclose(array(terms["discriminator_loss"]), judge, rtol=1e-4)
        accuracy = ((real > 0) * 1.0 + (fake < 0)) / 2
        np.testing.assert_allclose(array(terms["discriminator_accuracy"]), accuracy)
        total = array(terms["reconstruction_loss"]) + 0.7 * generator
        np.testing.assert_allclose(array(loss), total, rtol=1e-4)
        step = array(model.discriminator_loss(tensor(drawn), tensor(z)))
        assert step == pytest.approx(judge.mean(), rel=1e-4)

    def test_r1_is_half_the_squared_gradient_at_the_data(self, rng):
        model = linear(rng, gradient_penalty=3.0)
        plain = linear(np.random.default_rng(0))
        plain.set_weights(model.get_weights())
        x, fakes = rng.normal(size=(5, 4)), tensor(rng.normal(size=(10, 4)))
        first, bias, last, _ = weights(model.discriminator)
        slope = np.where(x @ first + bias > 0, 1.0, 0.2) * last[:, 0] @ first.T
        added = array(model.discriminator_loss(tensor(x), fakes))
        added -= array(plain.discriminator_loss(tensor(x), fakes))
        assert added == pytest.approx(1.5 * (slope**2).sum(-1).mean(), rel=1e-3)

    def test_the_ratio_is_that_of_the_gradients_of_the_outputs(self, rng):
        model = linear(rng, adaptive=True)
        x, noise, drawn = rng.normal(size=(5, 4)), np.zeros((1, 5, 2)), rng.normal(size=(5, 2))
        evidence = model.evidence(tensor(x), noise=tensor(noise))
        evidence = evidence._replace(normal=lambda shape: tensor(drawn))
        kernel, bias = weights(model.decoder)
        decoded = array(evidence.z[0]) @ kernel + bias
        generated = np.concatenate([decoded, drawn @ kernel + bias])
        first, own, last, _ = weights(model.discriminator)

        def slopes(x):
            return np.where(x @ first + own > 0, 1.0, 0.2)

        apart = told(model, decoded)[0] - told(model, x)[0]
        error = (apart * slopes(decoded)) @ first.T
        chance = -1 / (1 + np.exp(told(model, generated)[1]))
        generator = (chance[:, None] * slopes(generated) * last[:, 0]) @ first.T
        expected = np.linalg.norm(error) / np.linalg.norm(generator)
        found = array(evidence.discriminator(evidence).ratio)
        assert found == pytest.approx(expected, rel=1e-3)


class TestGradients:
    """By one step of gradient descent: what moves what."""

    def stepped(self, model, images, rate=0.1):
        names = ("encoder", "posterior_layer", "decoder", "discriminator")
        before = {name: weights(getattr(model, name)) for name in names}
        model.compile(keras.optimizers.SGD(rate))
        model.fit(images, batch_size=64, shuffle=False, verbose=0)
        return {
            name: [b - a for a, b in zip(before[name], weights(getattr(model, name)), strict=True)]
            for name in names
        }

    def test_the_generators_loss_moves_the_decoder_only(self, images):
        steps = {w: self.stepped(gan(weight=w), images, 1e-3) for w in (0.0, 1.0, 3.0)}
        for part in ("encoder", "posterior_layer"):
            assert moved(steps[0.0][part], steps[3.0][part]) < 1e-6
            assert max(np.abs(step).max() for step in steps[0.0][part]) > 1e-5
        for none, one, three in zip(*(steps[w]["decoder"] for w in steps), strict=True):
            np.testing.assert_allclose(three - none, 3 * (one - none), rtol=1e-2, atol=2e-6)
        assert moved(steps[0.0]["decoder"], steps[1.0]["decoder"]) > 1e-5
        # The discriminator's own step does not see the weight.
        assert moved(steps[0.0]["discriminator"], steps[3.0]["discriminator"]) < 1e-6

    def test_of_codes_it_moves_the_encoder_only(self, images):
        steps = {w: self.stepped(aae(weight=w), images, 1e-2) for w in (0.0, 50.0)}
        assert moved(steps[0.0]["decoder"], steps[50.0]["decoder"]) < 1e-6
        assert moved(steps[0.0]["encoder"], steps[50.0]["encoder"]) > 1e-4

    @pytest.mark.parametrize("make", [gan, aae])
    def test_without_a_step_of_its_own_each_stays(self, images, make):
        still = self.stepped(make(discriminator_learning_rate=1e-2), images, 0.0)
        for part in ("encoder", "posterior_layer", "decoder"):
            assert all((step == 0).all() for step in still[part])
        assert max(np.abs(step).max() for step in still["discriminator"]) > 1e-3
        still = self.stepped(make(discriminator_learning_rate=0.0), images, 1e-2)
        assert all((step == 0).all() for step in still["discriminator"])
        assert max(np.abs(step).max() for step in still["encoder"]) > 1e-5

    def test_before_the_first_step_it_does_not_count(self, images):
        late, never = gan(weight=5.0, start_step=1), gan(weight=0.0)
        first = [self.stepped(model, images, 1e-3)["decoder"] for model in (late, never)]
        assert moved(*first) < 1e-7
        second = [self.stepped(model, images, 1e-3)["decoder"] for model in (late, never)]
        assert moved(*second) > 1e-5


class TestTraining:
    @pytest.mark.slow
    def test_codes_come_to_have_the_moments_of_the_prior(self, images):
        model = aae(weight=20.0, discriminator_learning_rate=5e-3, discriminator_units=(16, 16))
        model.compile(keras.optimizers.Adam(3e-3))
        # 600 steps: to begin an epoch takes longer than a step.
        model.fit(np.tile(images, (60, 1, 1, 1)), batch_size=64, epochs=10, verbose=0)
        z = model.encode(images)
        assert (np.abs(z.mean(0)) < 0.6).all() and (np.abs(np.log(z.std(0))) < 0.7).all()

    @pytest.mark.parametrize(
        "options",
        [
            {"spectral": True, "loss": "hinge", "gradient_penalty": 1.0, "adaptive": True},
            {"augmentation": layers.DifferentiableAugmentation(seed=0), "beta": 0.0},
        ],
    )
    def test_options_train_are_saved_and_go_on(self, images, options, tmp_path):
        model = gan(**options)
        history = model.fit(images, batch_size=32, epochs=2, verbose=0).history
        assert set(history) == {"loss", *model.objective.terms}
        assert all(np.isfinite(values).all() for values in history.values())
        assert 0.0 <= history["discriminator_accuracy"][-1] <= 1.0
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        runs = []
        for m in (model, loaded):
            assert m.discriminator_optimizer is not None
            m.fit(images, batch_size=64, shuffle=False, verbose=0)
            runs.append(weights(m.discriminator) + weights(m.decoder))
        assert moved(*runs) < 1e-6
        zoo.save(model, tmp_path / "preset", golden=(images[:2],))
        other = zoo.load(tmp_path / "preset")
        assert moved(weights(model), weights(other)) == 0.0
        assert np.isfinite(other.fit(images, verbose=0).history["loss"]).all()

    def test_a_conditional_one(self, images):
        model = gan(condition=None)
        plain = model.plain()
        assert type(plain) is models.VAE
        np.testing.assert_array_equal(plain.encode(images), model.encode(images))
        assert type(aae().plain().objective) is objectives.Reconstruction


class TestSpectralLayers:
    @pytest.mark.parametrize("kind", ["dense", "convolution"])
    def test_the_norm_is_one_after_some_passes(self, kind, rng):
        if kind == "dense":
            layer, x = discriminators.SpectralDense(5), rng.normal(size=(3, 4))
        else:
            layer = discriminators.SpectralConv2D(5, 3, data_format="channels_last")
            x = rng.normal(size=(3, 4, 4, 2))
        layer(tensor(x))
        layer.kernel.assign(3.0 * rng.normal(size=layer.kernel.shape))
        for _ in range(60):
            layer(tensor(x), training=True)
        matrix = array(layer.kernel).reshape(-1, 5)
        found = array(layer._normalised(False)).reshape(-1, 5)
        np.testing.assert_allclose(found, matrix / np.linalg.norm(matrix, 2), rtol=1e-3, atol=1e-4)
        before = array(layer.direction)
        layer(tensor(x))
        np.testing.assert_array_equal(array(layer.direction), before)

    def test_outputs_are_those_of_the_divided_kernel(self, rng):
        layer = discriminators.SpectralConv2D(
            5, 4, 2, padding="same", data_format="channels_last", activation="relu"
        )
        x = tensor(rng.normal(size=(3, 8, 8, 2)))
        found = array(layer(x))
        plain = keras.layers.Conv2D(
            5, 4, 2, padding="same", data_format="channels_last", activation="relu"
        )
        plain(x)
        plain.set_weights([array(layer._normalised(False)), array(layer.bias)])
        np.testing.assert_allclose(found, array(plain(x)), atol=1e-5)


@pytest.mark.once
class TestErrors:
    @pytest.mark.parametrize(
        "make, options, match",
        [
            (gan, {"loss": "wasserstein"}, "`loss` must be one of .* Received: loss='wasserst"),
            (gan, {"weight": -1}, "weight=-1"),
            (gan, {"pixel_weight": -1}, "pixel_weight=-1"),
            (gan, {"start_step": -1}, "`start_step` must be an integer of at least 0"),
            (gan, {"gradient_penalty": -1.0}, "gradient_penalty=-1.0"),
            (gan, {"discriminator_units": ()}, r"positive integers. Received: \(\)"),
            (aae, {"discriminator_units": (0,)}, r"positive integers. Received: \(0,\)"),
            (gan, {"augmentation": keras.layers.Dropout(0.1)}, "must draw once .* Dropout"),
        ],
    )
    def test_wrong_values_are_refused(self, make, options, match):
        with pytest.raises(ValueError, match=match):
            make(**options)

    def test_discriminators_that_do_not_fit(self):
        model, other = gan(), aae()
        parts = (model.encoder, model.decoder, model.posterior_layer)
        with pytest.raises(ValueError, match=r"take data \(8, 8, 1\) and give features and one"):
            models.VAEGAN(*parts, discriminator=other.discriminator)
        with pytest.raises(ValueError, match=r"take codes \(3,\) and give one logit"):
            models.AdversarialAutoencoder(
                *parts, discriminator=keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
            )

    def test_a_model_without_discriminator(self, images):
        model = models.vae(SHAPE, 2, units=(4,), objective=objectives.FeatureMatching())
        with pytest.raises(ValueError, match="needs a model with a discriminator"):
            model.evaluate(images, verbose=0)
        assert ops.convert_to_numpy(model.step) == 0
