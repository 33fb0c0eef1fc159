"""Models of attributes: modulation, augmentation, directions, edits, the fitted prior."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import distributions, initializers, layers, models, networks, priors
from tests.support import array
from tests.support.faces import NAMES, SHAPE, small

pytestmark = pytest.mark.turns


@pytest.fixture
def faces(rng):
    x = rng.random((13, *SHAPE), dtype="float32")
    y = (rng.random((13, 5)) < 0.4).astype("float32")
    # Of each attribute there are examples with it and without it.
    y[:2] = [[1] * 5, [0] * 5]
    return x, y


class TestModulation:
    def test_it_is_scale_and_shift_of_each_channel(self, rng):
        x = rng.normal(size=(2, 3, 4, 5)).astype("float32")
        y = rng.normal(size=(2, 6)).astype("float32")
        layer = layers.FeatureModulation()
        inputs = [ops.convert_to_tensor(x), ops.convert_to_tensor(y)]
        np.testing.assert_array_equal(array(layer(inputs)), x)
        kernel, bias = rng.normal(size=(6, 10)), rng.normal(size=10)
        layer.set_weights([kernel, bias])
        found = array(layer(inputs))
        scale, shift = np.split(y @ kernel + bias, 2, axis=-1)
        expected = x * (1 + scale[:, None, None]) + shift[:, None, None]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    def test_every_stage_of_both_networks_has_one(self):
        model = small()
        for network in (model.encoder, model.decoder):
            kinds = [type(layer).__name__ for layer in network.layers]
            assert kinds.count("FeatureModulation") == 2

    def test_all_stages_have_the_same_shapes(self):
        for shape in ((16, 16, 3), (14, 11, 1)):
            for stages in networks.STAGES:
                encoder, decoder = networks.build(
                    "conv", shape, 4, (4, 8), stages=stages, hidden=256
                )
                assert encoder.output_shape[1:] == (256,)
                assert decoder.output_shape[1:] == shape

    def test_it_needs_a_condition_and_a_known_kind_of_stages(self):
        with pytest.raises(ValueError, match="there is none"):
            networks.build("conv", SHAPE, 4, film=True)
        with pytest.raises(ValueError, match="Received: stages='big'"):
            networks.build("conv", SHAPE, 4, stages="big")

    def test_it_comes_back_from_its_configuration(self, faces, tmp_path):
        model = small()
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(
            loaded.reconstruct(faces[0], faces[1]), model.reconstruct(faces[0], faces[1])
        )


class TestAugment:
    def test_nothing_happens_outside_training(self, faces):
        x = ops.convert_to_tensor(faces[0])
        np.testing.assert_array_equal(array(layers.Augment(seed=0)(x)), array(x))

    def test_each_change_alone_is_what_it_says(self, faces):
        x = faces[0]

        def changed(**options):
            off = {"shift": 0, "blur": 0.0, "contrast": 0.0, "noise": 0.0}
            layer = layers.Augment(**{**off, **options}, seed=0)
            return array(layer(ops.convert_to_tensor(x), training=True))

        def flipped_or_not(found):
            straight = np.abs(found - x).max((1, 2, 3)) < 1e-6
            turned = np.abs(found - x[:, :, ::-1]).max((1, 2, 3)) < 1e-6
            return straight, turned

        straight, turned = flipped_or_not(changed())
        assert (straight | turned).all() and straight.any() and turned.any()
        noisy = changed(noise=0.1)
        nearest = np.minimum(
            np.abs(noisy - x).std((1, 2, 3)), np.abs(noisy - x[:, :, ::-1]).std((1, 2, 3))
        )
        assert (nearest < 0.1).all() and nearest.max() > 0.01
        softened = changed(blur=1.0)
        taps = np.array([1, 4, 6, 4, 1]) / 16
        full = np.pad(x.astype("float64"), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
        full = sum(t * full[:, i : i + 16] for i, t in enumerate(taps))
        full = sum(t * full[:, :, i : i + 16] for i, t in enumerate(taps))
        way = np.stack([full - x, (full - x)[:, :, ::-1]])
        done = np.stack([softened - x, softened - x[:, :, ::-1]])
        share = (way * done).sum((2, 3, 4)) / np.square(way).sum((2, 3, 4))
        left = np.abs(done - share[:, :, None, None, None] * way).max((2, 3, 4)).min(0)
        assert (left < 1e-5).all() and share.max() > 0.3
        np.testing.assert_allclose(changed(contrast=0.5).mean(), 0.5, atol=0.02)
        moved = changed(shift=3)
        inner = moved[:, 3:-3, 3:-3]
        flips = np.stack([x, x[:, :, ::-1]])
        found = [
            (np.abs(inner - flips[:, :, 3 + r : 13 + r, 3 + c : 13 + c]).max((2, 3, 4)) < 1e-6)
            .any(0)
            .all()
            for r in range(-3, 4)
            for c in range(-3, 4)
        ]
        assert sum(found) == 1


class TestInitialWeights:
    def test_he_keeps_the_size_of_signals_forth_and_back(self, rng):
        x = rng.normal(size=(64, 16, 16, 32)).astype("float32")
        for layer, stride in ((keras.layers.Conv2D, None), (keras.layers.Conv2DTranspose, 2)):
            made = layer(
                64,
                4,
                2,
                padding="valid",
                kernel_initializer=initializers.HeUniform(0, upsampling=stride),
            )
            found = array(made(ops.convert_to_tensor(x)))[:, 2:-2, 2:-2]
            # Twice the input's: a ReLU then halves it.
            assert np.square(found).mean() == pytest.approx(2 * np.square(x).mean(), rel=0.1)
        again = initializers.HeUniform.from_config(initializers.HeUniform(3, 2).get_config())
        np.testing.assert_array_equal(
            array(again((4, 4, 2, 3))), array(initializers.HeUniform(3, 2)((4, 4, 2, 3)))
        )


class TestDirections:
    @pytest.fixture
    def plain(self):
        return models.vae(SHAPE, 4, "conv", (4, 8), "normal", seed=0)

    def test_a_direction_is_mean_with_minus_mean_without(self, plain, faces):
        x, y = faces
        model = plain.with_directions(x, y, NAMES)
        codes = plain.encode(x)
        for i, name in enumerate(NAMES):
            has = y[:, i] > 0.5
            expected = codes[has].mean(0) - codes[~has].mean(0)
            np.testing.assert_allclose(model.directions.vector(name), expected, atol=1e-5)

    def test_edit_goes_along_it(self, plain, faces, tmp_path):
        x, y = faces
        model = plain.with_directions(x, y, NAMES)
        np.testing.assert_allclose(model.edit(x), model.reconstruct(x), atol=1e-6)
        z = model.encode(x) + 2.0 * model.directions.vector("b")
        expected = model.decode(z)
        np.testing.assert_allclose(model.edit(x, b=2), expected, atol=1e-5)
        values = np.linspace(-1, 1, len(x))
        z = model.encode(x) + values[:, None] * model.directions.vector("b")
        np.testing.assert_allclose(model.edit(x, b=values), model.decode(z), atol=1e-5)
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(loaded.edit(x, b=2), model.edit(x, b=2))

    def test_what_it_refuses(self, plain, faces):
        x, y = faces
        with pytest.raises(ValueError, match="no named attributes to edit"):
            plain.edit(x, a=1)
        model = plain.with_directions(x, y, NAMES)
        with pytest.raises(ValueError, match="Unknown condition name"):
            model.edit(x, z=1)
        with pytest.raises(ValueError, match="none of one kind for c"):
            plain.with_directions(x, np.where([0, 0, 1, 0, 0], 1, y), NAMES)
        with pytest.raises(ValueError, match="Received: \\(13, 4\\) and \\(13, 4\\)"):
            plain.with_directions(x, y[:, :4], NAMES)
        with pytest.raises(ValueError, match="edited by its condition"):
            small().with_directions(x, y, NAMES)


class TestBadInput:
    def test_edit_takes_a_number_or_one_for_each_face(self, faces):
        model, (x, y) = small(), faces
        # Modulation starts as the identity, and has to be there to be seen.
        for layer in model.decoder.layers:
            if isinstance(layer, layers.FeatureModulation):
                layer.set_weights([np.ones(w.shape) * 0.1 for w in layer.weights])
        ones = model.edit(x, y, b=1)
        np.testing.assert_array_equal(ones, model.edit(x, y, b=np.ones(13)))
        np.testing.assert_array_equal(ones, model.edit(x, y, b=[True] * 13))
        assert np.abs(ones - model.edit(x, y, b=0)).max() > 1e-4
        assert model.edit(x[:1], y[:1], b=1).shape == (1, *SHAPE)
        for bad in ([1, 0], np.ones((13, 5)), "yes", float("nan")):
            with pytest.raises(ValueError, match="`b` must be"):
                model.edit(x, y, b=bad)

    def test_attributes_of_another_length_and_unknown_names(self, faces):
        model, (x, y) = small(), faces
        with pytest.raises(ValueError, match="Received: shape \\(13, 4\\)"):
            model.edit(x, y[:, :4], a=1)
        with pytest.raises(ValueError, match="Unknown condition name"):
            model.edit(x, y, smile=1)

    def test_grey_pictures_and_originals_are_refused_with_the_way_out(self, faces):
        model, (x, y) = small(), faces
        with pytest.raises(ValueError, match="np.repeat\\(x, 3, axis=-1\\)"):
            model.encode(x[..., :1], y)
        with pytest.raises(ValueError, match="np.stack"):
            model.encode(x[..., 0], y)
        with pytest.raises(ValueError, match="crop_faces\\(x, size=16\\)"):
            model.encode(np.zeros((2, 218, 178, 3)), y[:2])


class TestFullCovariance:
    @pytest.fixture
    def normal(self, rng):
        factor = np.tril(rng.normal(size=(3, 3)))
        factor[np.diag_indices(3)] = [0.5, 1.5, 2.0]
        mean = rng.normal(size=(5, 3))
        tensors = [ops.convert_to_tensor(v, "float32") for v in (mean, factor)]
        return mean, factor, distributions.MultivariateNormal(*tensors)

    def test_log_prob_is_the_formula(self, normal, rng):
        mean, factor, p = normal
        x = rng.normal(size=(4, 5, 3))
        covariance = factor @ factor.T
        rest = x - mean
        expected = -0.5 * (
            np.einsum("kni,ij,knj->kn", rest, np.linalg.inv(covariance), rest)
            + np.linalg.slogdet(2 * np.pi * covariance)[1]
        )
        np.testing.assert_allclose(array(p.log_prob(x.astype("float32"))), expected, rtol=1e-4)
        entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
        assert array(p.entropy()) == pytest.approx(entropy, rel=1e-5)
        np.testing.assert_allclose(array(p.variance), np.diag(covariance), rtol=1e-5)

    def test_kl_from_a_diagonal_normal_is_the_formula(self, normal, rng):
        mean, factor, p = normal
        m, log_var = rng.normal(size=(2, 5, 3))
        q = distributions.Normal(*(ops.convert_to_tensor(v, "float32") for v in (m, log_var)))
        precision = np.linalg.inv(factor @ factor.T)
        expected = 0.5 * (
            np.exp(log_var) @ np.diag(precision)
            + np.einsum("ni,ij,nj->n", m - mean, precision, m - mean)
            - 3
            + np.linalg.slogdet(factor @ factor.T)[1]
            - log_var.sum(-1)
        )
        np.testing.assert_allclose(array(q.kl(p)), expected, rtol=1e-4)
        z = q.sample(100_000, seed=1)
        ratio = array(q.log_prob(z) - p.log_prob(z))
        error = ratio.std(0) / 100_000**0.5
        assert (np.abs(ratio.mean(0) - expected) < 5 * error + 1e-3).all()

    def test_with_a_diagonal_factor_it_is_the_diagonal_normal(self, rng):
        m, log_var = rng.normal(size=(2, 5, 3)).astype("float32")
        q = distributions.Normal(ops.convert_to_tensor(m), ops.convert_to_tensor(log_var))
        scale = np.array([0.5, 1.0, 2.0], "float32")
        p = distributions.MultivariateNormal(ops.zeros((3,)), ops.convert_to_tensor(np.diag(scale)))
        diagonal = distributions.Normal(ops.zeros((3,)), ops.convert_to_tensor(2 * np.log(scale)))
        np.testing.assert_allclose(array(q.kl(p)), array(q.kl(diagonal)), rtol=1e-5)
        np.testing.assert_allclose(array(p.transform(m)), m * scale, rtol=1e-6)

    def test_samples_have_its_mean_and_covariance(self, normal):
        mean, factor, p = normal
        z = array(p.sample(100_000, seed=0))
        assert z.shape == (100_000, 5, 3)
        np.testing.assert_allclose(z.mean(0), mean, atol=0.05)
        np.testing.assert_allclose(np.cov(z[:, 0].T), factor @ factor.T, atol=0.08)


class TestLinearNormal:
    def test_fit_finds_the_moments_of_codes(self, rng):
        y = (rng.random((20_000, 2)) < 0.5).astype("float32")
        slope, bias = rng.normal(size=(2, 3)), rng.normal(size=3)
        factor = np.tril(rng.normal(size=(3, 3))) + 2 * np.eye(3)
        mean = y @ slope + bias + rng.normal(size=(20_000, 3)) @ factor.T
        prior = priors.LinearNormal(3, 2)
        prior.fit(mean, np.full_like(mean, 0.25), y)
        np.testing.assert_allclose(array(prior.slope), slope, atol=0.15)
        np.testing.assert_allclose(array(prior.bias), bias, atol=0.15)
        covariance = array(prior.factor) @ array(prior.factor).T
        np.testing.assert_allclose(covariance, factor @ factor.T + 0.25 * np.eye(3), atol=0.3)
        assert np.triu(array(prior.factor), 1).any() == np.False_
        assert prior.trainable_variables == []

    def test_samples_follow_the_condition_and_are_those_of_its_distribution(self, rng):
        prior = priors.LinearNormal(3, 2)
        y = (rng.random((50, 2)) < 0.5).astype("float32")
        prior.fit(rng.normal(size=(50, 3)), None, y)
        drawn = prior.sample(50, np.random.default_rng(5), ops.convert_to_tensor(y))
        noise = np.random.default_rng(5).standard_normal((50, 3), dtype="float32")
        expected = array(prior.distribution(ops.convert_to_tensor(y)).transform(noise))
        np.testing.assert_allclose(drawn, expected, atol=1e-5)
        assert drawn.dtype == np.float32

    def test_unfitted_it_is_the_standard_normal(self, rng):
        noise = rng.standard_normal((4, 3)).astype("float32")
        p = priors.LinearNormal(3).distribution()
        np.testing.assert_array_equal(array(p.transform(noise)), noise)

    def test_a_fitted_prior_is_nearer_to_the_codes_and_is_sampled_from(self, faces, tmp_path):
        x, y = (np.concatenate([a] * 3) for a in faces)
        model = small()
        fitted = model.with_fitted_prior(x, y)
        kl = [array(m.posterior(x, y).kl(m.prior_of(y, len(x)))).mean() for m in (model, fitted)]
        assert kl[1] < kl[0]
        fitted.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(
            loaded.sample(4, condition=y[:4], seed=1), fitted.sample(4, condition=y[:4], seed=1)
        )

    def test_what_it_refuses(self):
        prior = priors.LinearNormal(3, 2)
        with pytest.raises(ValueError, match="more than 5 examples"):
            prior.fit(np.zeros((5, 3)))
        with pytest.raises(ValueError, match="Received: None"):
            prior.fit(np.zeros((9, 3)))
        with pytest.raises(ValueError, match="This prior is conditional"):
            prior.distribution()


class TestAutoencoder:
    @pytest.fixture
    def model(self):
        return models.autoencoder(SHAPE, 4, "conv", (4, 8), "normal", seed=0)

    def test_its_loss_is_the_reconstruction_alone(self, model, faces):
        x = faces[0]
        z = model.encode(x)
        expected = -model.log_px(x, z).mean()
        found = model.evaluate(x, verbose=0, return_dict=True)
        assert set(found) == {"loss", "reconstruction_loss"}
        assert found["loss"] == pytest.approx(expected, rel=1e-5)
        history = model.fit(x, epochs=5, verbose=0).history["loss"]
        assert history[-1] < history[0]

    def test_its_code_has_no_noise(self, model, faces):
        q = model.posterior(faces[0])
        np.testing.assert_array_equal(q.sample(3, seed=0)[2], q.mean)
        assert q.variance.max() == 0
        with pytest.raises(ValueError, match="Codes without noise have no density"):
            model.log_likelihood(faces[0], 3)

    def test_it_samples_once_a_prior_is_fitted(self, model, faces, tmp_path):
        with pytest.raises(ValueError, match="no prior to sample from"):
            model.sample(2)
        fitted = model.with_fitted_prior(faces[0])
        drawn = fitted.sample(2000, seed=0)
        codes = fitted.prior.sample(20_000, np.random.default_rng(0))
        np.testing.assert_allclose(codes.mean(0), model.encode(faces[0]).mean(0), atol=0.05)
        assert drawn.shape == (2000, *SHAPE)
        fitted.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(loaded.sample(2, seed=1), fitted.sample(2, seed=1))
