"""Single attributes, draws from p(x|z), seeds, sizes, and names in errors."""

import keras
import numpy as np
import pytest

from keras_vae import likelihoods, models, networks, zoo

pytestmark = pytest.mark.turns

X = np.random.default_rng(0).random((40, 5)).astype("float32")


class TestSingleAttributes:
    def test_every_way_to_give_them(self):
        y = np.linspace(0, 1, 40).astype("float32")
        ways = {
            "(n,)": (y, lambda m: m.fit(X, y, verbose=0, shuffle=False)),
            "(n, 1)": (y[:, None], lambda m: m.fit(X, y[:, None], verbose=0, shuffle=False)),
            "batches": (
                y,
                lambda m: m.fit(((X[i : i + 32], y[i : i + 32]) for i in (0, 32)), verbose=0),
            ),
        }
        losses, codes = [], []
        for given, fit in ways.values():
            model = models.cvae((5,), 2, units=(4,), likelihood="normal", condition_dim=1, seed=0)
            losses.append(fit(model).history["loss"][0])
            codes.append(model.encode(X, given))
        np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
        np.testing.assert_allclose(codes[0], codes[1], atol=1e-5)
        one, other = (model.sample(3, condition=c, seed=0) for c in (0.3, np.full((3, 1), 0.3)))
        np.testing.assert_array_equal(one, other)


MEAN = np.full((20000, 2), 0.3, "float32")


@pytest.mark.once
class TestDraws:
    @pytest.mark.parametrize(
        "likelihood, variance",
        [
            (likelihoods.Bernoulli(), 0.3 * 0.7),
            (likelihoods.Normal(0.04), 0.04),
            (likelihoods.Observed(likelihoods.Normal(0.04)), 0.04),
        ],
    )
    def test_moments(self, likelihood, variance):
        drawn = likelihood.sample(MEAN, np.random.default_rng(0))
        assert drawn.dtype == np.float32 and drawn.shape == MEAN.shape
        np.testing.assert_allclose(drawn.mean(), 0.3, atol=0.01)
        np.testing.assert_allclose(drawn.var(), variance, rtol=0.03)

    @pytest.mark.parametrize("a", [1.0, 10.0])
    def test_logcosh(self, a):
        likelihood = likelihoods.LogCosh(a)
        t = np.linspace(-60, 60, 400001).astype("float32")
        tensor = keras.ops.convert_to_tensor(t)
        density = keras.ops.exp(likelihood.log_prob_each(tensor, 0.0 * tensor))
        density = keras.ops.convert_to_numpy(density)
        variance = np.sum(t**2 * density) * (t[1] - t[0])
        drawn = likelihood.sample(MEAN, np.random.default_rng(0))
        np.testing.assert_allclose(drawn.mean(), 0.3, atol=0.04)
        np.testing.assert_allclose(drawn.var(), variance, rtol=0.05)

    def test_there_are_none_of_a_loss(self):
        model = models.ms_ssim_vae((12, 12, 1), 2, units=(2,), hidden=4, seed=0)
        with pytest.raises(ValueError, match="without `noise`.*MSSSIM"):
            model.sample(2, noise=True)


@pytest.mark.parametrize("paper", [models.vae, models.auxiliary_vae], ids=lambda p: p.__name__)
def test_samples_with_noise(paper):
    model = paper((5,), 2, units=(4,), likelihood=likelihoods.Normal(0.25), seed=0)
    means, drawn = (model.sample(4000, seed=1, noise=noise) for noise in (False, True))
    np.testing.assert_allclose((drawn - means).std(), 0.5, rtol=0.03)
    np.testing.assert_array_equal(drawn, model.sample(4000, seed=1, noise=True))


class TestSeeds:
    def test_samples_follow_the_seed_of_keras(self):
        model = models.vae((5,), 2, units=(4,), seed=0)
        found = []
        for seed in (1, 1, 2):
            keras.utils.set_random_seed(seed)
            found.append([model.sample(2), model.sample(2)])
        np.testing.assert_array_equal(found[0], found[1])
        assert not np.array_equal(found[0], found[2])
        assert not np.array_equal(found[0][0], found[0][1])

    @pytest.mark.parametrize("fast", [True, False])
    def test_twice_the_same_model(self, fast):
        found = []
        for _ in range(2):
            keras.utils.set_random_seed(3)
            model = models.vae((5,), 2, units=(4,), likelihood="normal", seed=0)
            model.fit(X, epochs=2, batch_size=8, verbose=0, fast=fast)
            found.append(model.get_weights())
        for one, other in zip(*found, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.once
class TestSizes:
    def test_the_default_network_grows_with_the_picture(self):
        known = {28: 2, 64: 2, 65: 3, 128: 3, 256: 4}
        for size, stages in known.items():
            encoder, _ = networks.build("conv", (size, size, 1), 2, hidden=2)
            blocks = [la for la in encoder.layers if type(la).__name__ == "SpaceToDepth"]
            assert len(blocks) == stages
        model = models.vae((256, 256, 3), network="conv")
        assert model.count_params() < 12e6

    def test_numbers_of_numpy_and_a_bare_length(self):
        for shape, dim, units in (
            (5, np.int64(2), np.array([4, 3])),
            (np.int64(5), 2, (np.int64(4), 3)),
            ((np.int64(5),), np.int32(2), [4, 3]),
        ):
            model = models.vae(shape, dim, units=units, likelihood="normal", seed=0)
            assert model.data_shape == (5,) and model.latent_dim == 2
            assert type(model).from_config(model.get_config()).data_shape == (5,)


@pytest.mark.once
def test_errors_name_the_users_files_and_no_other(tmp_path):
    model = models.vae((5,), 2, units=(4,), seed=0)
    zoo.save(model, tmp_path / "preset")
    (tmp_path / "preset" / "model.weights.h5").write_bytes(b"no weights")
    (tmp_path / "m.keras").write_bytes(b"no model")
    for path in (tmp_path / "preset", tmp_path / "m.keras"):
        with pytest.raises(ValueError) as caught:
            zoo.load(path)
        assert "keras_vae-" not in str(caught.value)
    for name in ("m", "m.zip"):
        with pytest.raises(ValueError) as caught:
            model.save(tmp_path / name)
        assert str(caught.value).endswith(f"Received: {tmp_path / name}")


@pytest.mark.once
class TestPackagedFeatures:
    def test_digits(self):
        model = models.dfc_vae((28, 28, 1), 2, units=(2, 2), hidden=4, seed=0)
        network = model.likelihood.network
        assert len(network.outputs) == 4 and not network.trainable_variables
        x = np.random.default_rng(0).random((4, 28, 28, 1)).astype("float32")
        model.fit(x, verbose=0)

    def test_faces(self):
        model = models.dfc_vae((64, 64, 3), 2, units=(2, 2), hidden=4, seed=0)
        assert len(model.likelihood.network.outputs) == 4

    def test_other_data(self):
        with pytest.raises(ValueError, match="Give `features`.*input_shape=.32, 32, 3."):
            models.dfc_vae((32, 32, 3))
