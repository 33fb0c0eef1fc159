"""Denoising autoencoders."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import corruption, zoo
from keras_vae import models as m
from tests.support import SHAPE, array, tensor
from tests.support.autoencoders import cross_entropy, losses, pictures

pytestmark = pytest.mark.turns


class Negative(corruption.Corruption):
    """Turns pictures into their negatives: nothing is random."""

    def transform(self, x, noise):
        return 1.0 - x


class TestDenoising:
    def model(self, kind="masking", **kwargs):
        return m.denoising_autoencoder(
            SHAPE, 3, units=(8,), corruption=kind, seed=2, **kwargs
        )  # fmt: skip

    def test_the_code_is_of_the_corrupted_data_and_the_target_is_the_clean_data(self):
        """Swapped, or corrupted both, the loss is another number."""
        x = pictures()
        model, plain = self.model(Negative()), m.autoencoder(SHAPE, 3, units=(8,), seed=2)
        p = plain.reconstruct(1 - x).astype("float64")
        loss, _ = losses(model, x, training=True)
        np.testing.assert_allclose(loss, cross_entropy(x, p), rtol=1e-4)
        for wrong in (cross_entropy(1 - x, p), losses(plain, x)[0], losses(plain, 1 - x)[0]):
            assert np.abs(loss - wrong).min() > 1e-2

    def test_what_fit_logs_has_the_clean_target(self):
        """The step itself, not only the evidence: a constant code, and known pictures."""
        x = np.ones((16, *SHAPE), "float32")
        model = self.model(corruption.Masking(1.0))
        model.decoder.set_weights([0 * w for w in model.decoder.get_weights()])
        model.decoder.layers[-2].bias.assign(np.full(64, 2.0, "float32"))
        model.compile(keras.optimizers.SGD(0.0))
        clean = 64 * np.log1p(np.exp(-2.0))
        logged = model.fit(x, verbose=0).history["reconstruction_loss"][0]
        # All masked the target would be 0, and cost 64 log(1 + e²).
        assert logged == pytest.approx(clean, rel=1e-5)

    def test_nothing_is_corrupted_outside_training(self):
        x = pictures()
        model, plain = self.model(Negative()), m.autoencoder(SHAPE, 3, units=(8,), seed=2)
        np.testing.assert_allclose(losses(model, x)[0], losses(plain, x)[0], rtol=1e-6)
        logs = model.evaluate(x, verbose=0, return_dict=True)
        assert logs["loss"] == pytest.approx(losses(plain, x)[0].mean(), rel=1e-5)
        for method in ("encode", "reconstruct"):
            np.testing.assert_array_equal(getattr(model, method)(x), getattr(plain, method)(x))
        np.testing.assert_allclose(model.predict(x, verbose=0), plain.reconstruct(x), atol=1e-5)

    def test_denoise_is_reconstruct_and_takes_what_noise_made(self):
        model = self.model("gaussian")
        x = pictures()
        np.testing.assert_array_equal(model.denoise(x), model.reconstruct(x))
        noisy = corruption.Gaussian(1.0).corrupt(x)
        assert noisy.min() < 0 and noisy.max() > 1
        with pytest.raises(ValueError, match="must lie in"):
            model.reconstruct(noisy)
        rebuilt = array(model(tensor(noisy)))
        np.testing.assert_allclose(model.denoise(noisy), rebuilt, atol=1e-5)
        np.testing.assert_array_equal(model.denoise(noisy), model.denoise(noisy))
        with pytest.raises(ValueError, match="finite"):
            model.denoise(np.full_like(x, np.nan))
        with pytest.raises(ValueError, match="shape"):
            model.denoise(x[0])

    def test_noise_differs_from_step_to_step_and_follows_the_seed(self):
        """One repeated draw of noise would be learned by heart."""
        x = np.random.default_rng(0).random((20, *SHAPE), "float32")

        def logged(seed):
            keras.utils.set_random_seed(5)
            model = m.denoising_autoencoder(SHAPE, 3, units=(8,), corruption="masking", seed=seed)
            model.set_weights([w for w in self.model().get_weights()])
            model.compile(keras.optimizers.SGD(0.0))
            return model.fit(x, epochs=3, batch_size=20, shuffle=False, verbose=0).history["loss"]

        first = logged(1)
        assert len(set(first)) == 3
        np.testing.assert_array_equal(first, logged(1))

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["gaussian", "masking", "salt_and_pepper"])
    def test_it_removes_noise_and_better_than_an_autoencoder_that_saw_none(self, kind):
        x, held_out = pictures(400, 1), pictures(64, 2)
        noisy = corruption.get(kind).corrupt(held_out, seed=0)

        def error(make, **kwargs):
            model = make(SHAPE, 8, units=(32,), seed=0, likelihood="optimal_normal", **kwargs)
            model.likelihood.data_range = None
            model.compile(keras.optimizers.Adam(5e-3))
            model.fit(x, epochs=60, batch_size=50, verbose=0)
            return np.square(model.reconstruct(noisy) - held_out).mean()

        denoised = error(m.denoising_autoencoder, corruption=kind)
        assert denoised < 0.5 * np.square(noisy - held_out).mean()
        assert denoised < 0.8 * error(m.autoencoder)

    def test_corruption_is_saved_and_other_parts_keep_it(self, tmp_path, images):
        model = self.model(corruption.SaltAndPepper(0.4, -1.0, 1.0))
        zoo.save(model, tmp_path / "preset")
        model.save(tmp_path / "m.keras")
        for other in (
            zoo.load(tmp_path / "preset"),
            keras.saving.load_model(tmp_path / "m.keras"),
            model.with_fitted_prior(images),
        ):
            assert isinstance(other, m.DenoisingAutoencoder)
            assert other.corruption.get_config() == {"rate": 0.4, "low": -1.0, "high": 1.0}

    def test_a_variational_model_can_denoise_too(self):
        model = m.vae(
            SHAPE, 3, units=(8,), seed=2,
            model_class=lambda *a, **k: m.DenoisingAutoencoder(*a, corruption=Negative(), **k),
        )  # fmt: skip
        x = ops.convert_to_tensor(pictures())
        seen = array(model.evidence(x, training=True).q.mean)
        np.testing.assert_allclose(seen, model.encode(1 - pictures()), atol=1e-5)
