"""The model against closed forms: losses, bounds, sampling, saving."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import metrics, models, objectives, posteriors
from keras_vae.training import kernels
from tests.support import SHAPE, array, make_images, reference, registry
from tests.support.linear import linear_gaussian


class TestObjective:
    def test_every_term_equals_the_numpy_reference(self, rng):
        """Given weights and noise, on every backend: 1e-5 of each term."""
        model = models.vae((6,), 2, units=(), likelihood="bernoulli", beta=3.0, seed=0)
        x = rng.random((5, 6)).astype("float32")
        noise = rng.normal(size=(4, 5, 2)).astype("float32")
        kernel, bias = (array(w) for w in model.posterior_layer.get_weights())
        mean, raw = np.split(x @ kernel + bias, 2, axis=-1)
        log_var = 10 * np.tanh(raw / 10)
        z = mean + np.exp(log_var / 2) * noise
        weights, out_bias = (array(w) for w in model.decoder.get_weights())
        nll = -reference.bernoulli_log_prob(x, z @ weights + out_bias).sum(-1)
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)

        evidence = model.evidence(ops.convert_to_tensor(x), noise=ops.convert_to_tensor(noise))
        loss, terms = model.objective(evidence)
        np.testing.assert_allclose(array(terms["reconstruction_loss"]), nll.mean(0), rtol=1e-5)
        np.testing.assert_allclose(array(terms["kl_loss"]), kl, rtol=1e-5)
        np.testing.assert_allclose(array(loss), nll.mean(0) + 3.0 * kl, rtol=1e-5)

        log_pz = reference.normal_log_prob(z, 0.0, 0.0).sum(-1)
        log_qz = reference.normal_log_prob(z, mean, log_var).sum(-1)
        expected = -nll + log_pz - log_qz
        np.testing.assert_allclose(array(evidence.log_weights), expected, rtol=1e-5)

    def test_beta_one_is_the_plain_vae_and_beta_zero_an_autoencoder(self, images):
        def losses(make, **kwargs):
            model = make(SHAPE, 2, units=(8,), seed=0, **kwargs)
            return model.evaluate(images, verbose=0, return_dict=True)

        plain, one = losses(models.vae), losses(models.beta_vae, beta=1.0)
        assert plain == one
        zero = losses(models.beta_vae, beta=0.0)
        assert zero["loss"] == pytest.approx(zero["reconstruction_loss"], rel=1e-6)
        four = losses(models.beta_vae)
        assert four["loss"] == pytest.approx(plain["reconstruction_loss"] + 4 * plain["kl_loss"])

    def test_kl_without_a_closed_form_is_estimated(self, images):
        """The Monte Carlo KL of the same evidence agrees with the exact one."""
        model = models.vae(SHAPE, 2, units=(8,), seed=0)
        model.objective = objectives.ELBO(samples=2000)
        evidence = model.evidence(ops.convert_to_tensor(images[:4]))
        exact = array(evidence.kl)

        class Unknown:
            def __init__(self, p):
                self.log_prob = p.log_prob

        estimate = array(evidence._replace(p=Unknown(evidence.p)).kl)
        ratio = array(evidence.q.log_prob(evidence.z) - evidence.p.log_prob(evidence.z))
        assert (np.abs(estimate - exact) < 5 * ratio.std(0) / 2000**0.5).all()

    def test_losses_do_not_depend_on_the_batch_size(self, images):
        model = models.vae(SHAPE, 2, units=(8,), seed=0)
        noise = np.zeros((1, len(images), 2), "float32")
        whole, _ = model.objective(model.evidence(ops.convert_to_tensor(images), noise=noise))
        one, _ = model.objective(
            model.evidence(ops.convert_to_tensor(images[:1]), noise=noise[:, :1])
        )
        assert array(one)[0] == pytest.approx(array(whole)[0], rel=1e-5)


class TestBound:
    def test_it_reaches_the_exact_likelihood_of_a_linear_gaussian_model(self, rng):
        model, x, exact = linear_gaussian(rng)
        bound = model.log_likelihood(x, samples=4000, verbose=False)
        np.testing.assert_allclose(bound, exact, atol=0.1)
        assert bound.mean() == pytest.approx(exact.mean(), abs=0.02)

    def test_it_rises_with_the_number_of_samples_and_stays_below(self, rng):
        model, x, exact = linear_gaussian(rng)
        x, exact = np.repeat(x, 50, axis=0), np.repeat(exact, 50)
        means = [model.log_likelihood(x, samples=k, verbose=False).mean() for k in (1, 5, 50)]
        assert means[0] < means[1] < means[2] <= exact.mean() + 0.02

    def test_one_sample_is_the_elbo_in_expectation(self, rng):
        model, x, _ = linear_gaussian(rng)
        x = np.repeat(x[:2], 4000, axis=0)
        bound = model.log_likelihood(x, samples=1, verbose=False)
        error = 5 * bound.std() / len(bound) ** 0.5
        logs = model.evaluate(x, verbose=0, return_dict=True)
        assert -bound.mean() == pytest.approx(logs["loss"], abs=2 * error)
        terms = metrics.elbo(model, x, samples=2)
        assert terms["elbo"].mean == pytest.approx(bound.mean(), abs=2 * error)
        assert terms["kl"].mean == pytest.approx(logs["kl_loss"], rel=1e-5)
        assert terms["reconstruction"].mean == pytest.approx(terms["elbo"].mean + terms["kl"].mean)

    def test_it_is_the_numpy_formula(self, rng):
        """K samples folded into chunks give log-mean-exp over all of them."""
        model, x, _ = linear_gaussian(rng)
        whole = model.log_likelihood(x[:3], samples=30, verbose=False)
        chunks = model.log_likelihood(x[:3], samples=30, batch_size=7, verbose=False)
        assert np.abs(whole - chunks).max() < 0.5 and (whole != chunks).any()
        draws = np.random.default_rng(0).standard_normal((30, 3, 2), "float32")
        evidence = model.evidence(ops.convert_to_tensor(x[:3]), noise=draws)
        expected = reference.logmeanexp(array(evidence.log_weights))
        np.testing.assert_allclose(whole, expected, rtol=1e-5)

    def test_calls_that_are_put_together_have_the_same_noise(self, rng, monkeypatch):
        """Of 25 images and 230 samples: calls of 100 and of 30, or of 200 and of 30."""
        model, x, _ = linear_gaussian(rng)
        found = []
        for calls in (1, 2):
            monkeypatch.setattr(kernels, "CALLS_IN_ONE", calls)
            found.append(model.log_likelihood(x[:25], samples=230, verbose=False))
        np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
        explicit = model.log_likelihood(x[:25], samples=230, batch_size=1000, verbose=False)
        np.testing.assert_allclose(explicit, found[0], rtol=1e-6)

    def test_a_last_batch_that_is_not_full_changes_nothing(self, rng):
        model, x, exact = linear_gaussian(rng)
        bound = model.log_likelihood(x[:7], samples=500, batch_size=300, verbose=False)
        np.testing.assert_allclose(bound, exact[:7], atol=0.3)

    def test_dynamic_models_score_binary_pixels(self, images):
        model = models.vae(SHAPE, 2, units=(8,), likelihood="dynamic_bernoulli", seed=0)
        binary = model.likelihood.observe_numpy(images, np.random.default_rng(0))
        grey = model.log_likelihood(images[:5], samples=1, seed=0, verbose=False)
        assert set(np.unique(binary)) == {0.0, 1.0}
        plain = models.vae(SHAPE, 2, units=(8,), likelihood="bernoulli", seed=0)
        again = plain.log_likelihood(images[:5], samples=1, seed=0, verbose=False)
        assert np.abs(grey - again).min() > 1e-3


class TestInference:
    @pytest.fixture(scope="class")
    def model(self):
        return models.vae(SHAPE, 3, "conv", units=(4,), hidden=8, seed=0)

    def test_shapes_types_and_determinism(self, model, images):
        for name, expected in {
            "encode": (64, 3),
            "reconstruct": (64, *SHAPE),
        }.items():
            first, second = (getattr(model, name)(images) for _ in range(2))
            assert first.shape == expected and first.dtype == np.float32
            np.testing.assert_array_equal(first, second)

    @pytest.mark.parametrize("n, batch_size", [(1, 256), (5, 2), (64, 64), (64, 1)])
    def test_batches_change_nothing(self, model, images, n, batch_size):
        whole = model.reconstruct(images)[:n]
        np.testing.assert_allclose(
            model.reconstruct(images[:n], batch_size=batch_size), whole, atol=1e-6
        )

    def test_reconstruct_is_decode_of_encode_and_what_call_gives(self, model, images):
        expected = model.decode(model.encode(images))
        np.testing.assert_allclose(model.reconstruct(images), expected, atol=1e-6)
        np.testing.assert_allclose(array(model(images)), expected, atol=1e-6)
        np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-6)

    def test_posterior_takes_and_gives_numpy(self, model, images):
        q = model.posterior(images[:4])
        z = q.sample(7, 0)
        assert z.shape == (7, 4, 3) and isinstance(z, np.ndarray)
        expected = reference.normal_log_prob(z, q.mean, q.log_var).sum(-1)
        np.testing.assert_allclose(q.log_prob(z), expected, rtol=1e-4)
        kl = reference.normal_kl(q.mean, q.log_var, 0.0, 0.0).sum(-1)
        np.testing.assert_allclose(q.kl(model.prior), kl, rtol=1e-4, atol=1e-6)

    def test_sample_decodes_the_prior_by_seed(self, model):
        z = np.random.default_rng(5).standard_normal((6, 3), "float32")
        np.testing.assert_allclose(model.sample(6, seed=5), model.decode(z), atol=1e-6)
        assert np.abs(model.sample(6, seed=5) - model.sample(6, seed=6)).max() > 1e-4

    def test_interpolation_is_the_straight_line(self, model, images):
        way = model.interpolate(images[:2], images[2:4], steps=5)
        a, b = model.encode(images[:2]), model.encode(images[2:4])
        assert way.shape == (2, 5, *SHAPE)
        for i, t in enumerate(np.linspace(0, 1, 5)):
            line = ((1 - t) * a + t * b).astype("float32")
            np.testing.assert_allclose(way[:, i], model.decode(line), atol=1e-6)

    def test_traversal_changes_one_dimension(self, model, images):
        values = [-1.0, 0.0, 2.0]
        way = model.traverse(images[:2], dim=1, values=values)
        z = model.encode(images[:2])
        for i, value in enumerate(values):
            z[:, 1] = value
            np.testing.assert_allclose(way[:, i], model.decode(z), atol=1e-6)

    def test_compiled_functions_see_new_weights(self, images):
        model = models.vae(SHAPE, 2, units=(8,), seed=0)
        before = model.encode(images)
        model.set_weights([w * 0 for w in model.get_weights()])
        assert np.abs(before).max() > 0 and (model.encode(images) == 0).all()

    def test_edit_changes_the_named_attribute_only(self, images):
        model = models.cvae(
            SHAPE, 2, units=(8,), condition_dim=2, condition_names=("Big", "Red"), seed=0
        )
        y = np.random.default_rng(0).random((64, 2)).astype("float32")
        z = model.encode(images, condition=y)
        changed = y.copy()
        changed[:, 1] = 1.0
        edited = model.edit(images, y, Red=1)
        np.testing.assert_allclose(edited, model.decode(z, condition=changed), atol=1e-6)
        np.testing.assert_allclose(
            model.edit(images, y), model.reconstruct(images, condition=y), atol=1e-6
        )
        changed[:, 1] = np.linspace(0, 1, 64)
        edited = model.edit(images, y, Red=changed[:, 1])
        np.testing.assert_allclose(edited, model.decode(z, condition=changed), atol=1e-6)
        with pytest.raises(ValueError, match="Did you mean 'Red'"):
            model.edit(images, y, Rad=1)

    def test_a_conditional_model_samples_what_is_asked(self, images):
        model = models.cvae(SHAPE, 2, units=(8,), num_classes=3, seed=0)
        z = np.random.default_rng(0).standard_normal((3, 2), "float32")
        each = model.sample(3, condition=[0, 1, 2], seed=0)
        np.testing.assert_allclose(each, model.decode(z, condition=[0, 1, 2]), atol=1e-6)
        np.testing.assert_allclose(
            model.sample(3, condition=1, seed=0), model.decode(z, condition=[1, 1, 1])
        )
        bound = model.log_likelihood(images[:3], 20, condition=[0, 1, 2], verbose=False)
        assert bound.shape == (3,) and (bound < 0).all()


class TestSaving:
    @pytest.mark.turns
    @pytest.mark.parametrize("make", [models.vae, models.cvae])
    @pytest.mark.parametrize("network", ["dense", "conv", "residual"])
    def test_keras_file_and_weights_file(self, make, network, images, tmp_path):
        extra = {"num_classes": 3} if make is models.cvae else {}
        model = make(SHAPE, 2, network, units=(4,), seed=0, likelihood="normal", **extra)
        y = np.arange(64) % 3 if extra else None
        model.fit(images, y, batch_size=32, verbose=0)
        model.save(tmp_path / "m.keras")
        model.save_weights(tmp_path / "m.weights.h5")
        expected = model.reconstruct(images, condition=y)
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(loaded.reconstruct(images, condition=y), expected)
        assert plain(loaded.get_config()) == plain(model.get_config())
        fresh = make(SHAPE, 2, network, units=(4,), seed=1, likelihood="normal", **extra)
        fresh.compile("adam")
        fresh.load_weights(tmp_path / "m.weights.h5")
        np.testing.assert_array_equal(fresh.reconstruct(images, condition=y), expected)
        # Training goes on: same losses from the loaded model, its optimizer included.
        first, second = (
            m.fit(images, y, batch_size=64, verbose=0, shuffle=False).history["loss"]
            for m in (model, loaded)
        )
        assert second == pytest.approx(first, rel=1e-5)

    def test_auto_stays_auto(self, tmp_path):
        """It means another thing on another backend, where the file may be loaded."""
        model = models.vae(SHAPE, 2, units=(4,), seed=0)
        model.compile("adam")
        auto = model.jit_compile
        for asked, kept in (("auto", "auto"), (not auto, not auto)):
            model.compile("adam", jit_compile=asked)
            assert model.get_compile_config()["jit_compile"] == kept
            model.save(tmp_path / "m.keras", overwrite=True)
            loaded = keras.saving.load_model(tmp_path / "m.keras")
            assert loaded.jit_compile == (auto if asked == "auto" else asked)

    def test_an_interrupted_save_keeps_the_previous_file(self, images, tmp_path, monkeypatch):
        model = models.vae(SHAPE, 2, units=(4,), seed=0)
        for name, save in {
            "m.keras": model.save,
            "m.weights.h5": model.save_weights,
        }.items():
            save(tmp_path / name)
            before = (tmp_path / name).read_bytes()
            monkeypatch.setattr(
                type(model.decoder), "save_own_variables", _full_disk, raising=False
            )
            with pytest.raises(OSError, match="No space"):
                save(tmp_path / name, overwrite=True)
            monkeypatch.undo()
            assert (tmp_path / name).read_bytes() == before
            assert [p.name for p in tmp_path.iterdir()] == [name]
            (tmp_path / name).unlink()

    def test_the_same_seed_gives_the_same_model(self, images):
        first, second, other = (
            models.vae(SHAPE, 2, units=(4,), seed=s).encode(images) for s in (3, 3, 4)
        )
        np.testing.assert_array_equal(first, second)
        assert np.abs(first - other).max() > 1e-3


def plain(config):
    """A configuration as JSON holds it, without the shapes that layers were built with."""
    if isinstance(config, dict):
        return {k: plain(v) for k, v in config.items() if k not in ("build_config", "dtype")}
    return [plain(v) for v in config] if isinstance(config, (list, tuple)) else config


def _full_disk(*args, **kwargs):
    raise OSError("No space left on device")


class TestParts:
    def test_parts_that_do_not_fit_are_refused(self):
        small = models.vae(SHAPE, 2, units=(4,))
        large = models.vae((4, 4, 1), 3, units=(4,))
        with pytest.raises(ValueError, match="codes of shape.*2"):
            models.VAE(small.encoder, large.decoder, posteriors.DiagonalNormal(2))
        with pytest.raises(ValueError, match="data shape"):
            models.VAE(large.encoder, small.decoder, posteriors.DiagonalNormal(2))
        with pytest.raises(ValueError, match="latent dimensions. Received: 2 and 3"):
            models.VAE(
                small.encoder, small.decoder, posteriors.DiagonalNormal(2), prior=large.prior
            )
        conditional = models.cvae(SHAPE, 2, units=(4,), num_classes=3)
        with pytest.raises(ValueError, match="must have 1 input"):
            models.VAE(conditional.encoder, conditional.decoder, posteriors.DiagonalNormal(2))
        with pytest.raises(ValueError, match="Give one of"):
            models.cvae(SHAPE, 2)

    def test_a_network_of_ones_own_takes_part(self, images):
        encoder = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten()])
        decoder = keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(64), keras.layers.Reshape(SHAPE)]
        )
        model = models.VAE(encoder, decoder, posteriors.DiagonalNormal(2))
        before = model.evaluate(images, verbose=0, return_dict=True)["loss"]
        model.fit(images, epochs=5, verbose=0)
        assert model.evaluate(images, verbose=0, return_dict=True)["loss"] < before

    def test_make_images_is_in_range(self):
        x = make_images(np.random.default_rng(0), 3)
        assert x.min() >= 0 and x.max() <= 1


@pytest.mark.once
@pytest.mark.parametrize("name", ["flow_vae", "iaf_vae", "joint_vae", "flow_prior_vae"])
def test_a_frozen_part_is_frozen_all_through_once_loaded(name):
    model = registry.make(name)
    for part in ("posterior_layer", "prior"):
        getattr(model, part).trainable = False
    loaded = type(model).from_config(model.get_config())
    frozen = [*loaded.posterior_layer.variables, *loaded.prior.variables]
    assert not any(v.trainable for v in frozen)
    assert len(loaded.trainable_variables) == len(model.trainable_variables) > 0
