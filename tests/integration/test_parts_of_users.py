"""Networks and other parts as users bring them: taken, or refused with what to give."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_vae import likelihoods, models, objectives, posteriors

pytestmark = pytest.mark.turns

SHAPE = (6, 6, 1)


@pytest.fixture
def x():
    return np.random.default_rng(0).random((8, *SHAPE)).astype("float32")


class Encoder(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat, self.dense = layers.Flatten(), layers.Dense(5)

    def call(self, x):
        return self.dense(self.flat(x))


class Decoder(keras.Model):
    def __init__(self, last=None):
        super().__init__()
        self.dense, self.shape_of_data = layers.Dense(36, last), layers.Reshape(SHAPE)

    def call(self, z):
        return self.shape_of_data(self.dense(z))


def encoder():
    return keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(5)])


def decoder(*last):
    return keras.Sequential([keras.Input((3,)), layers.Dense(36), layers.Reshape(SHAPE), *last])


def built(network, shape):
    network(np.zeros((1, *shape), "float32"))
    return network


ENCODERS = {
    "subclassed": Encoder,
    "subclassed and built": lambda: built(Encoder(), SHAPE),
    "a Sequential without Input": lambda: keras.Sequential([layers.Flatten(), layers.Dense(5)]),
    "maps": lambda: keras.Sequential([keras.Input(SHAPE), layers.Conv2D(2, 3)]),
    "a layer": layers.Flatten,
}
DECODERS = {
    "subclassed": Decoder,
    "subclassed and built": lambda: built(Decoder(), (3,)),
    "a Sequential without Input": lambda: keras.Sequential(
        [layers.Dense(36), layers.Reshape(SHAPE)]
    ),
}


def works(model, x):
    model.fit(x, verbose=0)
    assert model.encode(x).shape == (len(x), 3)
    outputs = ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(model.reconstruct(x), outputs, atol=1e-5)


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoders(x, kind):
    works(models.VAE(ENCODERS[kind](), decoder(), posteriors.DiagonalNormal(3)), x)


@pytest.mark.parametrize("kind", DECODERS)
def test_decoders(x, kind):
    works(models.VAE(encoder(), DECODERS[kind](), posteriors.DiagonalNormal(3)), x)


@pytest.mark.once
@pytest.mark.parametrize("part", [3, np.int64(3), "normal", posteriors.DiagonalNormal])
def test_posteriors(x, part):
    model = models.VAE(encoder(), decoder(), part)
    assert isinstance(model.posterior_layer, posteriors.DiagonalNormal)
    works(model, x)


def tutorial():
    x = keras.Input(SHAPE)
    h = layers.Flatten()(x)
    return keras.Model(x, [layers.Dense(3)(h) for _ in range(3)])


REFUSED = {
    "an encoder of mean, log-variance and sample": ({"encoder": tutorial}, "end the encoder"),
    "a function": ({"encoder": lambda: len}, "Keras model or layer"),
    "no model": ({"decoder": lambda: 5}, "Keras model or layer"),
    "a subclassed encoder of other data": (
        {"encoder": lambda: built(keras.Sequential([layers.Dense(3)]), (4,))},
        "outputs in data shape",
    ),
    "a decoder of two outputs": (
        {
            "decoder": lambda: keras.Model(
                z := keras.Input((3,)), [layers.Dense(36)(z), layers.Dense(36)(z)]
            )
        },
        "one tensor",
    ),
    "a posterior's unknown name": ({"posterior": lambda: "gaussian"}, "DiagonalNormal"),
    "a posterior of no dimensions": ({"posterior": lambda: 0}, "DiagonalNormal"),
    "a class whose dimensions nobody says": (
        {"posterior": lambda: "normal", "decoder": Decoder},
        "latent dimensions is not known",
    ),
    "an objective's class": ({"objective": lambda: objectives.ELBO}, "instance, not a class"),
    "an objective's name": ({"objective": lambda: "elbo"}, "objectives.ELBO"),
    "a prior's name": ({"prior": lambda: "normal"}, "priors.StandardNormal"),
    "a number of classes": ({"condition": lambda: 10}, "conditions.Labels"),
}


@pytest.mark.once
@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case):
    changed, text = REFUSED[case]
    parts = {"encoder": encoder, "decoder": decoder, "posterior": lambda: 3, **changed}
    with pytest.raises(ValueError, match=f"(?s){text}.*Received"):
        models.VAE(**{name: make() for name, make in parts.items()})


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="needs PyTorch's modules")
def test_a_module_of_pytorch():
    import torch

    with pytest.raises(ValueError, match="TorchModuleWrapper"):
        models.VAE(torch.nn.Linear(36, 5), decoder(), 3)


def ends():
    sigmoid = layers.Activation("sigmoid")
    z = keras.Input((3,))
    h = layers.Reshape(SHAPE)(layers.Dense(36)(z))
    nested = keras.Sequential([keras.Input((3,)), layers.Dense(36, "sigmoid")])
    return {
        "Dense": keras.Sequential(
            [keras.Input((3,)), layers.Dense(36, "sigmoid"), layers.Reshape(SHAPE)]
        ),
        "Conv2DTranspose": decoder(layers.Conv2DTranspose(1, 3, padding="same", activation="relu")),
        "Activation": decoder(sigmoid),
        "tanh": decoder(layers.Activation("tanh")),
        "hard sigmoid": decoder(layers.Activation("hard_sigmoid")),
        "Softmax": decoder(layers.Softmax()),
        "ReLU": decoder(layers.ReLU()),
        "softplus": decoder(layers.Activation("softplus")),
        "a function of Keras": keras.Model(z, ops.sigmoid(h)),
        "sigmoid, scaled": keras.Model(z, ops.sigmoid(h) * 2 - 1),
        "one's own function": decoder(layers.Activation(lambda x: ops.clip(x, 0.0, 1.0))),
        "a nested model": keras.Sequential([keras.Input((3,)), nested, layers.Reshape(SHAPE)]),
        "a subclassed one": built(Decoder("sigmoid"), (3,)),
    }


@pytest.mark.once
class TestLastActivation:
    @pytest.mark.parametrize("likelihood", ["bernoulli", "dynamic_bernoulli", "observed"])
    def test_bounded_ends_are_refused_where_logits_are_taken(self, likelihood):
        for name, network in ends().items():
            taken = likelihood
            if likelihood == "observed":
                taken = likelihoods.Observed(likelihoods.Bernoulli())
            with pytest.raises(ValueError, match="takes logits.*last activation out.*Received"):
                models.VAE(encoder(), network, 3, likelihood=taken)
                pytest.fail(name)

    def test_they_are_taken_where_means_are(self):
        for network in ends().values():
            models.VAE(encoder(), network, 3, likelihood="normal")

    def test_unbounded_ends_are_taken(self):
        for last in ([], [layers.Activation("linear")], [layers.LeakyReLU(0.2)]):
            models.VAE(encoder(), decoder(*last), 3)
        for network in (Decoder(), decoder(layers.Activation("tanh"), layers.Rescaling(20.0))):
            models.VAE(encoder(), network, 3)

    def test_our_own_builders(self):
        with pytest.raises(ValueError, match="'sigmoid'"):
            models.vae((8, 8, 1), 2, "conv", units=(2,), output_activation="sigmoid")

    def test_a_likelihood_that_is_set_later(self):
        model = models.VAE(encoder(), decoder(layers.Activation("sigmoid")), 3, likelihood="normal")
        with pytest.raises(ValueError, match="takes logits"):
            model.likelihood = "bernoulli"
        assert isinstance(model.likelihood, likelihoods.Normal)


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("stages", ["blocks", "compact", "strided"])
def test_channels_first_in_the_configuration(channels_first, stages):
    model = models.vae((10, 8, 3), 2, "residual", units=(4, 4), hidden=8, stages=stages, seed=0)
    x = np.random.default_rng(0).random((2, 10, 8, 3)).astype("float32")
    found = model.reconstruct(x)
    keras.config.set_image_data_format("channels_last")
    other = models.vae((10, 8, 3), 2, "residual", units=(4, 4), hidden=8, stages=stages, seed=0)
    np.testing.assert_allclose(found, other.reconstruct(x), atol=1e-6)


def test_channels_first_and_maps_of_codes(channels_first):
    model = models.vq_vae((8, 8, 1), 4, units=(4, 4), num_codes=8, seed=0)
    assert model.sample(2, seed=0).shape == (2, 8, 8, 1)
