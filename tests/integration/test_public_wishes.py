"""What users of other VAEs asked for in public, written as they would write it here."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_vae import likelihoods, models, zoo

pytestmark = pytest.mark.turns

X = np.random.default_rng(0).random((32, 6)).astype("float32")


def own(name):
    return keras.saving.register_keras_serializable("test_wishes", name)


def vae(**options):
    return models.vae((6,), 2, units=(4,), likelihood="normal", seed=0, **options)


@own("MeanAndVariance")
class MeanAndVariance(likelihoods.Likelihood):
    """The decoder gives the mean and the log-variance of each value."""

    def data_shape(self, output_shape):
        return (*output_shape[:-1], output_shape[-1] // 2)

    def log_prob(self, x, outputs, training=False):
        mean, log_var = ops.split(outputs, 2, axis=-1)
        each = np.log(2 * np.pi) + log_var + ops.square(x - mean) / ops.exp(log_var)
        return -0.5 * ops.sum(each, axis=-1)

    def mean(self, outputs):
        return ops.split(outputs, 2, axis=-1)[0]


@own("Tokens")
class Tokens(likelihoods.Likelihood):
    """The decoder gives the logits of each token of a text."""

    data_range = (0, 3)

    def data_shape(self, output_shape):
        return output_shape[:-1]

    def log_prob(self, x, outputs, training=False):
        one_hot = ops.one_hot(ops.cast(x, "int32"), outputs.shape[-1])
        return ops.sum(one_hot * ops.log_softmax(outputs), axis=(-2, -1))

    def mean(self, outputs):
        return ops.cast(ops.argmax(outputs, axis=-1), "float32")


class TestOutputsOfAnotherShape:
    """Variances per pixel; masks of several classes; texts."""

    def test_mean_and_variance(self, tmp_path):
        # A subclassed or unbuilt encoder is built on the shape of the data.
        encoder = keras.Sequential([layers.Dense(4)])
        decoder = keras.Sequential([keras.Input((2,)), layers.Dense(12)])
        model = models.VAE(encoder, decoder, 2, likelihood=MeanAndVariance(), seed=0)
        assert model.data_shape == (6,) and model.input_shape == (None, 6)
        model.fit(X, epochs=2, verbose=0)
        z = model.encode(X)
        outputs = decoder.predict(z, verbose=0)
        mean, log_var = outputs[:, :6], outputs[:, 6:]
        expected = -0.5 * (np.log(2 * np.pi) + log_var + (X - mean) ** 2 / np.exp(log_var))
        np.testing.assert_allclose(model.log_px(X, z), expected.sum(axis=1), rtol=1e-4)
        np.testing.assert_allclose(model.reconstruct(X), mean, atol=1e-5)
        assert model.log_likelihood(X[:2], samples=10).shape == (2,)
        assert model.decoder_model().output_shape == (None, 6)
        zoo.save(model, tmp_path / "preset", trusted=True)
        loaded = zoo.load(tmp_path / "preset", trusted=True)
        np.testing.assert_allclose(loaded.reconstruct(X), mean, atol=1e-5)

    def test_texts(self):
        x = np.random.default_rng(0).integers(0, 4, (64, 1)).repeat(5, axis=1)
        text = keras.Input((5,))
        encoder = keras.Model(text, layers.Flatten()(layers.Embedding(4, 3)(text)))
        decoder = keras.Sequential([keras.Input((2,)), layers.Dense(20), layers.Reshape((5, 4))])
        model = models.VAE(encoder, decoder, 2, likelihood=Tokens(), seed=0)
        model.compile(keras.optimizers.Adam(0.1))
        model.fit(x, epochs=20, verbose=0)
        z = model.encode(x)
        logits = decoder.predict(z, verbose=0)
        logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        expected = np.take_along_axis(logits, x[..., None], axis=-1).sum(axis=(1, 2))
        np.testing.assert_allclose(model.log_px(x, z), expected, rtol=1e-4)
        assert (model.reconstruct(x) == x).mean() > 0.7

    @pytest.mark.once
    def test_a_decoder_that_does_not_fit(self):
        encoder = keras.Sequential([keras.Input((6,)), layers.Dense(4)])
        decoder = keras.Sequential([keras.Input((2,)), layers.Dense(12)])
        with pytest.raises(ValueError, match="`data_shape` of the likelihood.*Received.*Normal"):
            models.VAE(encoder, decoder, 2, likelihood="normal")
        model = models.VAE(encoder, decoder, 2, likelihood=MeanAndVariance())
        with pytest.raises(ValueError, match="`data_shape` of the likelihood"):
            model.likelihood = "normal"
        assert model.data_shape == (6,)


def test_sequences_of_several_lengths(tmp_path):
    """Padded with NaN, which the encoder replaces and the likelihood leaves out."""
    x = X[..., None].copy()
    x[::2, 4:] = np.nan
    series = keras.Input((6, 1))
    known = layers.Masking(-1.0)(ops.where(ops.isnan(series), -1.0, series))
    encoder = keras.Model(series, layers.LSTM(4)(known))
    code = keras.Input((2,))
    h = layers.LSTM(4, return_sequences=True)(layers.RepeatVector(6)(code))
    decoder = keras.Model(code, layers.Dense(1)(h))
    likelihood = likelihoods.Observed(likelihoods.Normal(0.1))
    model = models.VAE(encoder, decoder, 2, likelihood=likelihood, seed=0)
    model.compile(keras.optimizers.Adam(0.02))
    losses = model.fit(x, epochs=10, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    z = model.encode(x)
    error = (x - model.decode(z)) ** 2
    expected = np.nansum(-0.5 * (np.log(2 * np.pi * 0.1) + error / 0.1), axis=(1, 2))
    np.testing.assert_allclose(model.log_px(x, z), expected, rtol=1e-4)
    zoo.save(model, tmp_path / "preset")
    np.testing.assert_allclose(zoo.load(tmp_path / "preset").encode(x), z, atol=1e-5)


def test_train_on_batch():
    found = []
    for by_fit in (True, False):
        model = vae()
        model.compile("adam")
        if by_fit:
            model.fit(X, batch_size=32, shuffle=False, verbose=0, fast=False)
        else:
            logs = model.train_on_batch(X, return_dict=True)
            assert set(logs) == {"loss", "reconstruction_loss", "kl_loss"}
            assert int(ops.convert_to_numpy(model.step)) == 1
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.once
class TestScaledData:
    def test_a_scaler_rounds(self):
        """As `MinMaxScaler` gives it: 1.0000001."""
        x = X.copy()
        x[0], x[1] = 1 + 1e-6, -1e-6
        model = vae()
        model.fit(x, verbose=0)
        np.testing.assert_array_equal(model.encode(x), model.encode(np.clip(x, 0, 1)))

    def test_more_than_rounding_is_refused(self):
        with pytest.raises(ValueError, match="must lie in"):
            vae().encode(X + 0.01)

    def test_missing_values_stay_missing(self):
        model = models.vae((6,), 2, likelihood=likelihoods.Observed("normal"), units=(4,))
        x = np.where(X < 0.3, np.nan, X * (1 + 1e-6) / X.max()).astype("float32")
        found, best = (model.log_px(a, np.zeros((32, 2))) for a in (x, np.minimum(x, 1)))
        np.testing.assert_array_equal(found, best)
        assert x[~np.isnan(x)].max() > 1


@pytest.mark.once
class TestRefusalsWithAWayOut:
    def test_sparse_matrices(self):
        sparse = pytest.importorskip("scipy.sparse")
        for use in (vae().fit, vae().encode):
            with pytest.raises(TypeError, match=r"give `x.toarray\(\)`.*Received: a sparse"):
                use(sparse.csr_matrix(X))

    def test_names_as_labels(self):
        model = models.cvae((6,), 2, units=(4,), likelihood="normal", num_classes=2, seed=0)
        y = np.array(["cat", "dog"] * 16)
        with pytest.raises(ValueError, match="np.unique.y, return_inverse=True.*Received.*U3"):
            model.fit(X, y)
        names, labels = np.unique(y, return_inverse=True)
        model.fit(X, labels, verbose=0)
        np.testing.assert_array_equal(names[labels], y)

    @pytest.mark.parametrize("shape", [(6,), (4, 4, 4, 4, 1)])
    def test_convolutions_of_vectors_and_of_more_axes(self, shape):
        with pytest.raises(ValueError, match="Received"):
            models.vae(shape, 2, network="conv")

    def test_several_inputs(self):
        parts = [keras.Input((3,)), keras.Input((3,))]
        encoder = keras.Model(parts, layers.Concatenate()(parts))
        decoder = keras.Sequential([keras.Input((2,)), layers.Dense(6)])
        with pytest.raises(ValueError, match="one array, which the encoder divides.*Received: 2"):
            models.VAE(encoder, decoder, 2, likelihood="normal")
        whole = keras.Input((6,))
        encoder = keras.Model(whole, encoder([whole[:, :3], whole[:, 3:]]))
        models.VAE(encoder, decoder, 2, likelihood="normal").fit(X, verbose=0)


@pytest.mark.parametrize("rank", [1, 3])
def test_networks_of_series_and_volumes(rank):
    conv = {1: layers.Conv1D, 3: layers.Conv3D}[rank]
    shape = (*(4,) * rank, 1)
    x = np.random.default_rng(0).random((8, *shape)).astype("float32")
    encoder = keras.Sequential([keras.Input(shape), conv(2, 3, data_format="channels_last")])
    decoder = keras.Sequential(
        [keras.Input((2,)), layers.Dense(4**rank), layers.Reshape(shape)]
        + [conv(1, 3, padding="same", data_format="channels_last")]
    )
    model = models.VAE(encoder, decoder, "normal", likelihood="normal", seed=0)
    losses = model.fit(x, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    means = decoder.predict(model.encode(x), verbose=0)
    np.testing.assert_allclose(model.reconstruct(x), means, atol=1e-5)
