"""A critic of real pictures that teaches a conditional VAE to obey its attributes."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models
from tests.support import array
from tests.support.faces import NAMES, SHAPE, small

pytestmark = pytest.mark.turns

ZERO = dict.fromkeys(("control", "realism", "similarity"), 0.0)


def of_maps():
    return models.cvae(
        SHAPE,
        2,
        network="residual",
        units=(4, 8),
        likelihood="normal",
        seed=0,
        beta=2.0,
        condition_dim=5,
        condition_names=NAMES,
        maps=True,
        stages="strided",
        film=True,
    )


KINDS = pytest.mark.parametrize("build", [small, of_maps], ids=["vectors", "maps"])


def taught(build=small, frequencies=(0.4,) * 5, **options):
    return models.AttributeGAN(build(), frequencies, **{"seed": 0, "width": 4, **options})


@pytest.fixture
def faces(rng):
    x = rng.random((13, *SHAPE), dtype="float32")
    y = (rng.random((13, 5)) < 0.4).astype("float32")
    # Of each attribute there are examples with it and without it.
    y[:2] = [[1] * 5, [0] * 5]
    return x, y


class TestAttributeGAN:
    @KINDS
    def test_without_weights_it_is_the_plain_step(self, build, faces):
        """The same gradients reach the VAE, and the same loss is logged."""
        x, y = faces
        plain, scaffold = build(), taught(build, weights=ZERO)
        # Both draw their noise: without variance both take the mean.
        for model in (plain, scaffold):
            kernel, offset = (array(w) for w in model.posterior_layer.get_weights())
            half = kernel.shape[-1] // 2
            kernel[..., half:], offset[half:] = 0, -25.0
            model.posterior_layer.set_weights([kernel, offset])
        assert plain.posterior(x, y).variance.max() < 1e-4
        expected = plain.evaluate(x, y, verbose=0, return_dict=True)
        found = scaffold.evaluate(x, y, verbose=0, return_dict=True)
        for key in ("loss", "reconstruction_loss", "kl_loss"):
            assert found[key] == pytest.approx(expected[key], rel=1e-3)
        before = plain.decoder.get_weights()
        for model in (plain, scaffold):
            model.compile(keras.optimizers.SGD(1e-4))
            model.fit(x, y, batch_size=13, verbose=0)
        for a, b in zip(plain.decoder.get_weights(), scaffold.decoder.get_weights(), strict=True):
            np.testing.assert_allclose(array(a), array(b), atol=1e-4)
        after = plain.decoder.get_weights()
        moved = [np.abs(a - b).max() for a, b in zip(before, after, strict=True)]
        assert max(moved) > 1e-3

    def test_wanted_is_one_change_and_the_next_time_anothers_whole(self, faces):
        y = faces[1]
        wanted = array(taught().wanted(ops.convert_to_tensor(y)))
        assert wanted.shape == (7, 5)
        own, others = y[::2], np.roll(y, 1, axis=0)[::2]
        assert (np.abs(wanted - own)[::2].sum(axis=1) == 1).all()
        np.testing.assert_array_equal(wanted[1::2], others[1::2])

    def test_rare_values_and_the_focus_are_changed_more_often(self):
        n = 16000
        y = np.zeros((n, 5), "float32")
        y[: n // 2, 0] = 1
        model = taught(frequencies=[0.1, 0.5, 0.5, 0.5, 0.5], focus=[1, 1, 1, 1, 0])
        changed = np.abs(array(model.wanted(ops.convert_to_tensor(y))) - y[::2])[::2]
        # One over the frequency: 10 against 2 + 2 + 2, and 1.11 against 6.
        assert changed[: n // 8, 0].mean() == pytest.approx(10 / 16, abs=0.04)
        assert changed[n // 8 :, 0].mean() == pytest.approx(1.11 / 7.11, abs=0.04)
        assert changed[:, 4].sum() == 0

    @KINDS
    def test_the_terms_are_their_formulas(self, build, faces):
        """By a critic that is known in full: three linear layers of the pixels."""
        x, y = faces[0][:8], faces[1][:8]
        inputs = keras.Input(SHAPE)
        flat = keras.layers.Flatten()(inputs)

        def linear_of(width, seed):
            made = keras.initializers.RandomNormal(0, 0.1, seed)
            return keras.layers.Dense(width, kernel_initializer=made)

        def linear(width, seed):
            return linear_of(width, seed)(flat)

        critic = keras.Model(inputs, [linear(6, 1), linear(3, 2), linear(5, 3)])
        weights = {"control": 2.0, "realism": 3.0, "similarity": 5.0}
        reader = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), linear_of(5, 4)])
        scaffold = taught(build, critic=critic, weights=weights, readers=[reader])
        assert not reader.trainable_variables
        seen = {}
        keep = scaffold.generate

        def generate(z, condition=None, training=False):
            seen["outputs"], seen["condition"] = keep(z, condition, training), condition
            return seen["outputs"]

        scaffold.generate = generate
        tensors = [ops.convert_to_tensor(v) for v in (x, y)]
        wanted = scaffold.wanted(tensors[1])
        loss, (terms, (real, decoded)) = scaffold._judged(*tensors, wanted, None, False)
        wanted = array(wanted)
        pictures = array(scaffold.likelihood.mean(seen["outputs"]))
        np.testing.assert_array_equal(array(seen["condition"]), np.concatenate([y, wanted]))
        np.testing.assert_array_equal(array(real), x)
        judged = np.concatenate([pictures[:8][::2], pictures[8:]])
        np.testing.assert_allclose(array(decoded), judged, atol=1e-6)
        features, told, read = (array(found) for found in critic(judged))
        target = array(critic(x[::2])[0])
        sign = 2 * wanted - 1
        both = [np.log1p(np.exp(-sign * found)) for found in (read[4:], array(reader(judged[4:])))]
        expected = {
            "control": np.mean(both, axis=0).sum(-1),
            "realism": np.log1p(np.exp(-told)).mean(-1),
            "similarity": 0.5 * np.square(features[:4] - target).sum(-1),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(array(terms[f"{name}_loss"]), value, rtol=1e-3)
        parts = [array(terms[f"{n}_loss"]).mean() for n in ("reconstruction", "kl")]
        total = parts[0] + 2.0 * parts[1]
        total += sum(weights[name] * value.mean() for name, value in expected.items())
        assert float(array(loss)) == pytest.approx(total, rel=1e-3)
        flipped = wanted != y[::2]
        right = (sign * read[4:] > 0)[flipped].mean()
        assert float(array(terms["asked_and_read"])) == pytest.approx(right, abs=1e-6)

    def test_without_control_every_example_is_judged_as_it_is(self, faces):
        x, y = faces[0][:7], faces[1][:7]
        inputs = keras.Input(SHAPE)
        flat = keras.layers.Flatten()(inputs)
        critic = keras.Model(inputs, [keras.layers.Dense(width)(flat) for width in (6, 3, 5)])
        weights = {"control": 0.0, "realism": 3.0, "similarity": 5.0}
        scaffold = taught(of_maps, critic=critic, weights=weights)
        tensors = [ops.convert_to_tensor(v) for v in (x, y)]
        wanted = scaffold.wanted(tensors[1])
        loss, (terms, (real, decoded)) = scaffold._judged(*tensors, wanted, None, False)
        np.testing.assert_array_equal(array(real), x)
        decoded = array(decoded)
        assert decoded.shape == x.shape
        features, told, _ = (array(found) for found in critic(decoded))
        expected = {
            "realism": np.log1p(np.exp(-told)).mean(-1),
            "similarity": 0.5 * np.square(features - array(critic(x)[0])).sum(-1),
        }
        total = array(terms["reconstruction_loss"]).mean() + 2.0 * array(terms["kl_loss"]).mean()
        for name, value in expected.items():
            np.testing.assert_allclose(array(terms[f"{name}_loss"]), value, rtol=1e-3)
            total += weights[name] * value.mean()
        assert float(array(loss)) == pytest.approx(total, rel=1e-3)
        loss, _ = scaffold._judged(*tensors, None, None, True)
        assert np.isfinite(float(array(loss)))
        with pytest.raises(ValueError, match="`readers` teach by the term `control`"):
            taught(of_maps, weights=weights, readers=[critic])
        history = scaffold.fit(x, y, batch_size=3, verbose=0).history
        assert not {"control_loss", "asked_and_read"} & set(history)
        assert {"realism_loss", "similarity_loss", "told_apart"} < set(history)

    def test_the_critics_loss_is_its_formula(self, faces, rng):
        x, y = faces[0][:8], faces[1][:8]
        decoded = rng.random(x.shape, dtype="float32")
        inputs = keras.Input(SHAPE)
        flat = keras.layers.Flatten()(inputs)
        layer = keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(0, 0.1, 1))
        read = keras.layers.Dense(5, kernel_initializer=keras.initializers.RandomNormal(0, 0.1, 2))
        critic = keras.Model(inputs, [flat, layer(flat), read(flat)])
        scaffold = taught(critic=critic, gradient_penalty=4.0, robustness=0.0)
        tensors = [ops.convert_to_tensor(v) for v in (x, decoded, y)]
        _, told, attributes = (array(found) for found in critic(np.concatenate([x, decoded])))
        sign = 2 * y - 1
        expected = (
            np.log1p(np.exp(-told[:8])).mean()
            + np.log1p(np.exp(told[8:])).mean()
            + np.log1p(np.exp(-sign * attributes[:8])).sum(-1).mean()
            # The slope of a linear logit is its kernel, averaged over positions.
            + 2.0 * np.square(array(layer.kernel).mean(-1)).sum()
        )
        assert float(array(scaffold.critic_loss(*tensors))) == pytest.approx(expected, rel=1e-4)

    @pytest.mark.parametrize("weights", [{}, {"control": 0.0}], ids=["edits", "no edits"])
    def test_weights_of_examples_count_in_every_term(self, weights, faces):
        """The losses of single examples add up to that of all, and are linear in the weights."""
        x, y = faces[0][:8], faces[1][:8]
        inputs = keras.Input(SHAPE)
        flat = keras.layers.Flatten()(inputs)
        outputs = [keras.layers.Dense(width)(flat) for width in (6, 3, 5)]
        scaffold = taught(critic=keras.Model(inputs, outputs), weights=weights)
        tensors = [ops.convert_to_tensor(v) for v in (x, y)]
        wanted = scaffold.wanted(tensors[1])
        noise = scaffold.seed_generator.state
        start = array(noise)

        def found(weight):
            noise.assign(start)
            weight = None if weight is None else ops.convert_to_tensor(np.float32(weight))
            loss, (_, (real, decoded)) = scaffold._judged(*tensors, wanted, weight, False)
            critic = scaffold.critic_loss(real, decoded, tensors[1], weight)
            return np.array([float(array(loss)), float(array(critic))])

        one_each = sum(found(np.eye(8)[i]) for i in range(8))
        np.testing.assert_allclose(one_each, found(None), rtol=1e-4)
        np.testing.assert_allclose(found(np.full(8, 3.0)), 3 * found(None), rtol=1e-4)
        assert np.abs(found(np.eye(8)[0]) - found(np.eye(8)[2])).min() > 1e-6

    def test_the_attack_goes_uphill_by_its_length(self, faces):
        """Of a linear reader the worst step is known: Σ (p - y) kernel, to length ε."""
        x, y = faces[0][:4], faces[1][:4]
        inputs = keras.Input(SHAPE)
        flat = keras.layers.Flatten()(inputs)
        read = keras.layers.Dense(5, kernel_initializer=keras.initializers.RandomNormal(0, 0.1, 2))
        critic = keras.Model(inputs, [flat, keras.layers.Dense(1)(flat), read(flat)])
        scaffold = taught(critic=critic, gradient_penalty=0.0, robustness=0.7)
        tensors = [ops.convert_to_tensor(v) for v in (x, y)]
        kernel = array(read.kernel)
        p = 1 / (1 + np.exp(-(x.reshape(4, -1) @ kernel)))
        slope = (p - y) @ kernel.T
        step = 0.7 * slope / np.linalg.norm(slope, axis=1, keepdims=True)
        expected = x + step.reshape(x.shape)
        np.testing.assert_allclose(array(scaffold._attacked(*tensors)), expected, atol=1e-5)
        sign = 2 * y - 1
        missed = np.log1p(np.exp(-sign * (expected.reshape(4, -1) @ kernel))).sum(-1).mean()
        told = array(critic(np.concatenate([x, x]))[1])
        apart = np.log1p(np.exp(-told[:4])).mean() + np.log1p(np.exp(told[4:])).mean()
        found = scaffold.critic_loss(tensors[0], tensors[0], tensors[1])
        assert float(array(found)) == pytest.approx(missed + apart, rel=1e-4)

    @KINDS
    def test_only_what_should_learn_learns(self, build, faces):
        """Each of the two optimizers moves its own weights, all of them, and no others."""
        for rate, critic_rate in ((1e-3, 0.0), (0.0, 1e-3)):
            scaffold = taught(build, critic_learning_rate=critic_rate)
            scaffold.compile(keras.optimizers.Adam(rate))
            sides = scaffold.trainable_variables, scaffold.discriminator.trainable_variables
            before = [[array(v) for v in side] for side in sides]
            scaffold.fit(*faces, batch_size=4, epochs=2, verbose=0)
            for old, side, moves in zip(before, sides, (rate, critic_rate), strict=True):
                for value, variable in zip(old, side, strict=True):
                    moved = np.abs(value - array(variable)).max() > 0
                    assert moved == bool(moves), variable.path
        assert not {id(v) for v in sides[0]} & {id(v) for v in sides[1]}
        assert scaffold.plain().encoder is scaffold.encoder

    @KINDS
    def test_a_batch_of_one_and_what_comes_out(self, build, faces, tmp_path):
        scaffold = taught(build)
        scaffold.fit(faces[0][:1], faces[1][:1], verbose=0)
        model = scaffold.plain()
        assert type(model) is type(build()) and len(model.weights) == len(build().weights)
        edited = model.edit(*faces, b=1)
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        np.testing.assert_allclose(loaded.edit(*faces, b=1), edited, atol=1e-6)

    @pytest.mark.once
    @pytest.mark.slow
    def test_it_learns_to_obey_an_attribute_that_is_seen(self, rng):
        """Pictures are grey; with attribute a they are red, and edits learn that."""
        y = (rng.random((256, 5)) < 0.4).astype("float32")
        x = np.repeat(rng.uniform(0.3, 0.5, (256, 1, 1, 1)), 3, axis=-1) * np.ones((*SHAPE[:2], 3))
        x[..., 0] += 0.4 * y[:, :1, None]
        x = (x + 0.02 * rng.standard_normal(x.shape)).clip(0, 1).astype("float32")
        scaffold = taught(
            of_maps,
            focus=[1, 0.1, 0.1, 0.1, 0.1],
            weights={"control": 30.0, "realism": 10.0, "similarity": 0.1},
            critic_learning_rate=2e-3,
        )
        scaffold.compile(keras.optimizers.Adam(3e-3))
        scaffold.fit(x, y, epochs=25, batch_size=32, verbose=0)
        model = scaffold.plain()
        red = [model.edit(x, y, a=value)[..., 0].mean() for value in (0, 1)]
        assert 0.25 < red[1] - red[0] < 0.6, red

    def test_what_it_refuses(self):
        with pytest.raises(ValueError, match="must be numbers of at least 0"):
            taught(weights={"smear": 1.0})
        with pytest.raises(ValueError, match="one number for each of 5"):
            taught(frequencies=[0.5])
        with pytest.raises(ValueError, match="one number for each of 0"):
            taught(lambda: models.vae(SHAPE, 4, "conv", (4, 8), seed=0), frequencies=[0.5])
        with pytest.raises(ValueError, match="gradient_penalty"):
            taught(gradient_penalty=-1.0)
