"""Every packaged preset with real digits.

Each preset reproduces its golden values on every backend (zoo/test_presets.py). The backends
agree on its codes, pictures, samples and bound (test_backends.py). So each is judged on one.
"""

import keras
import numpy as np
import pytest

from keras_vae import likelihoods, zoo
from tools.demo import digits

MNIST = zoo.list_models("mnist_*")
# The share of digits that each must tell from all others, and the error of its
# reconstructions beside that of the mean digit: of those that are meant to give up detail
# (two dimensions, few nats, independent or nearly noiseless codes, half of the pixels unseen).
DETAIL = {
    "mnist_2d": (0.25, 0.8),
    "mnist_adgm": (0.5, 0.5),
    "mnist_annealed": (0.95, 0.3),
    "mnist_beta": (0.9, 0.3),
    "mnist_beta_tc": (0.9, 0.35),
    "mnist_dip": (0.9, 0.3),
    "mnist_joint": (0.35, 0.6),
    "mnist_miwae": (0.7, 0.55),
    "mnist_swae": (0.9, 0.35),
    "mnist_wae": (0.9, 0.35),
}
# How far the ink of samples is from that of digits where the card says that they are poor.
INK = {"mnist_categorical": 0.35, "mnist_dfc": 0.2}
# Likewise how many pixels are decided.
DECIDED = {"mnist_2d": 0.7, "mnist_dfc": 0.6, "mnist_joint": 0.7}


def data_of(model, n=None):
    x, y = digits()
    return x[:n], (None if model.condition is None else y[:n])


@pytest.mark.turns
@pytest.mark.parametrize("name", MNIST)
def test_it_knows_digits(name):
    """Reconstructions are nearer to their digit than to any other one."""
    model = zoo.load(name)
    x, y = data_of(model, 200)
    rebuilt = model.reconstruct(x, condition=y)
    distances = np.square(rebuilt[:, None] - x[None]).sum((2, 3, 4))
    nearest = (distances.argmin(1) == np.arange(200)).mean()
    told, error = DETAIL.get(name, (0.99, 0.3))
    assert nearest >= told
    empty = np.square(x - x.mean(0)).sum((1, 2, 3)).mean()
    assert np.diag(distances).mean() < error * empty


@pytest.mark.turns
@pytest.mark.parametrize("name", MNIST)
def test_samples_look_like_digits_more_than_noise_does(name):
    """Samples have the ink of digits, and their pixels are decided."""
    model = zoo.load(name)
    x, y = data_of(model)
    drawn = model.sample(len(x), condition=y, seed=0)
    if isinstance(model.likelihood, likelihoods.Normal | likelihoods.LogCosh):
        # Means of any number: nearly all of them are grey values.
        assert ((drawn > -0.1) & (drawn < 1.1)).mean() > 0.95
    else:
        assert drawn.min() >= 0 and drawn.max() <= 1
    assert drawn.mean() == pytest.approx(x.mean(), rel=INK.get(name, 0.15))
    decided = (np.minimum(drawn, 1 - drawn) < 0.1).mean()
    assert decided > DECIDED.get(name, 0.75)


@pytest.mark.turns
@pytest.mark.slow
@pytest.mark.parametrize("name", MNIST)
def test_fine_tuning_for_one_epoch_lowers_the_loss(name):
    model = zoo.load(name)
    x, y = data_of(model, 320)
    inverted = 1.0 - x
    before = model.evaluate(inverted, y, verbose=0, return_dict=True)["loss"]
    model.fit(inverted, y, epochs=1, batch_size=32, verbose=0)
    after = model.evaluate(inverted, y, verbose=0, return_dict=True)["loss"]
    assert after < 0.8 * before


@pytest.mark.parametrize("name", MNIST[:1])
def test_a_frozen_encoder_stays_bit_identical(name):
    model = zoo.load(name)
    x, y = data_of(model, 64)
    model.encoder.trainable = False
    before = [w.copy() for w in model.encoder.get_weights()]
    decoder = model.decoder.get_weights()[0].copy()
    model.fit(1.0 - x, y, verbose=0)
    for old, new in zip(before, model.encoder.get_weights()):
        np.testing.assert_array_equal(old, new)
    assert (decoder != model.decoder.get_weights()[0]).any()


@pytest.mark.turns
@pytest.mark.parametrize("name", MNIST)
def test_it_saves_and_comes_back(name, tmp_path):
    model = zoo.load(name)
    x, y = data_of(model, 8)
    expected = model.reconstruct(x, condition=y)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.reconstruct(x, condition=y), expected)
