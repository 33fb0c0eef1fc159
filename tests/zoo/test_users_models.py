"""Models of users pass the wall as before: deep, nested, large, mixed precision, own parts."""

import time

import keras
import numpy as np
import pytest

from keras_vae import likelihoods, models, zoo
from keras_vae.zoo import bounds, building
from tests.support.presets import same_weights

pytestmark = pytest.mark.turns


def vae(encoder, decoder):
    """A model of networks of one's own: 8 numbers, 2 latent dimensions."""
    return models.VAE(encoder, decoder, posterior=2, likelihood=likelihoods.Normal(), seed=0)


def chain(name, start, layers, width=4):
    """A network of many layers, the last of which has `width` units."""
    x = entry = keras.Input((start,), name=f"{name}_in")
    for i in range(layers // 3):
        h = keras.layers.Dense(6, activation="gelu", name=f"{name}_{i}")(x)
        h = keras.layers.LayerNormalization(name=f"{name}_norm_{i}")(h)
        x = h if i == 0 else keras.layers.Add(name=f"{name}_add_{i}")([x, h])
    out = keras.layers.Dense(width, name=f"{name}_out")(x)
    return keras.Model(entry, out, name=name)


def deep():
    return vae(chain("encoder", 8, 300), chain("decoder", 2, 30, 8))


def nested():
    """Networks in networks, one of them called eight times, and one that is used twice."""
    block = chain("block", 6, 9, 6)
    inner = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(6, "relu"), chain("inner", 6, 9, 6)]
    )
    entry = keras.Input((8,))
    x = keras.layers.Dense(6)(entry)
    for _ in range(8):
        x = block(x)
    x = inner(inner(x))
    return vae(keras.Model(entry, x, name="encoder"), chain("decoder", 2, 6, 8))


def mixed():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return vae(chain("encoder", 8, 6), chain("decoder", 2, 6, 8))
    finally:
        keras.config.set_dtype_policy(before)


def means():
    """A layer that keeps numbers which are no weights."""
    entry = keras.Input((8,))
    x = keras.layers.Normalization(mean=np.arange(8.0), variance=np.ones(8))(entry)
    encoder = keras.Model(entry, keras.layers.Dense(4)(x), name="encoder")
    return vae(encoder, chain("decoder", 2, 6, 8))


@pytest.mark.parametrize("make", [deep, nested, mixed, means])
def test_it_loads_as_it_was(make, tmp_path):
    model = make()
    path = zoo.save(model, tmp_path / "preset")
    model.save(tmp_path / "m.keras")
    x = np.random.default_rng(0).uniform(size=(3, 8)).astype("float32")
    for source in (path, tmp_path / "m.keras"):
        loaded = zoo.load(source)
        same_weights(model.get_weights(), loaded.get_weights())
        np.testing.assert_array_equal(model.encode(x), loaded.encode(x))
    fresh = zoo.load(path, weights=None)
    assert [w.shape for w in fresh.get_weights()] == [w.shape for w in model.get_weights()]
    # Without weights the initial ones are those of the initializers, not zeros.
    kernel = next(w for w in fresh.encoder.get_weights() if w.ndim == 2)
    assert np.std(kernel) > 0


@keras.saving.register_keras_serializable("tests")
class Own(keras.layers.Layer):
    """A layer of the caller's own: it may ask for what the wall would refuse."""

    def __init__(self, many, **kwargs):
        super().__init__(**kwargs)
        self.many = list(many)

    def build(self, shape):
        self.start = self.add_weight(shape=(3,), initializer=self._ones, name="start")

    def _ones(self, shape, dtype=None):
        self.initialised = True
        return np.ones(shape, dtype or "float32")

    def call(self, x):
        return x * self.start[0]

    def get_config(self):
        return {**super().get_config(), "many": self.many, "units": 2**40}

    @classmethod
    def from_config(cls, config):
        config.pop("units")
        return cls(**config)


def test_objects_of_ones_own_stay_outside(tmp_path):
    entry = keras.Input((8,))
    x = keras.layers.Dense(4)(Own(range(1_000), name="own\twith a tab")(entry))
    model = vae(keras.Model(entry, x, name="encoder"), chain("decoder", 2, 6, 8))
    path = zoo.save(model, tmp_path / "preset", trusted=True)
    loaded = zoo.load(path, trusted=True)
    same_weights(model.get_weights(), loaded.get_weights())


@pytest.mark.slow
@pytest.mark.once
def test_fifty_million_parameters_take_the_time_that_they_took(tmp_path):
    entry, start = keras.Input((8,)), keras.Input((2,))
    wide = keras.layers.Dense(5_000)(keras.layers.Dense(10_000)(entry))
    encoder = keras.Model(entry, wide, name="encoder")
    decoder = keras.Model(start, keras.layers.Dense(8)(start), name="decoder")
    model = vae(encoder, decoder)
    model.save(tmp_path / "m.keras")
    assert model.count_params() > 50 * 10**6
    times = {"zoo": [], "keras": []}
    for _ in range(3):
        began = time.process_time()
        zoo.load(tmp_path / "m.keras", compile=False)
        times["zoo"].append(time.process_time() - began)
        began = time.process_time()
        keras.saving.load_model(tmp_path / "m.keras", compile=False)
        times["keras"].append(time.process_time() - began)
    # Keras' own loader copies less and checks nothing; the weights are not drawn at random here.
    assert min(times["zoo"]) < 2 * min(times["keras"])


def test_the_budget_is_asked_by_thread_and_ends():
    with bounds.budget(10**6):
        assert building.is_vae(vae(chain("encoder", 8, 3), chain("decoder", 2, 3, 8)))
    vae(chain("encoder", 8, 3), chain("decoder", 2, 3, 8))
