"""The blocks of `keras_vae/bring_your_own.md`, each run by itself, and what each says."""

import re
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_vae
from keras_vae import zoo
from tests.support import ROOT, make_images

PAGE = (ROOT / "keras_vae" / "bring_your_own.md").read_text(encoding="utf-8")
PARTS = re.split(r"^### ", PAGE, flags=re.MULTILINE)
BACKENDS = {"# PyTorch": "torch", "# TensorFlow": "tensorflow", "# JAX": "jax"}
# No backend changes what these show.
ONCE = {
    "A DataFrame",
    "A pretrained network",
    "Early stopping",
    "Encoder and decoder as Keras models",
    "Exported with classes of one's own",
    "Metrics of this library",
    "Reconstructions as training goes",
}


def blocks(text):
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


(PREPARED,) = blocks(PARTS[0])
BLOCKS = {part.splitlines()[0]: blocks(part) for part in PARTS[1:]}
CHECKS = {}


def check(title):
    def add(function):
        CHECKS[title] = function
        return function

    return add


def cases():
    for title in BLOCKS:
        first = BLOCKS[title][0].splitlines()[0]
        marks = [pytest.mark.once if title in ONCE else pytest.mark.turns]
        if first in BACKENDS:
            other = keras.backend.backend() != BACKENDS[first]
            marks = [pytest.mark.skipif(other, reason=f"runs on {first[2:]}")]
        yield pytest.param(title, marks=marks, id=title.replace(" ", "-"))


class Table:
    """As much of a pandas DataFrame as the page needs, where pandas is not installed."""

    def __init__(self, array, columns):
        self.array, self.columns = np.asarray(array), list(columns)
        self.shape, self.dtypes = self.array.shape, [self.array.dtype] * self.array.shape[1]

    def __len__(self):
        return len(self.array)

    def __iter__(self):
        return iter(self.columns)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype)


def read_csv(path):
    with open(path) as file:
        columns = file.readline().strip().split(",")
        return Table(np.loadtxt(file, delimiter=","), columns)


@pytest.fixture
def x(tmp_path, monkeypatch, rng):
    """Pictures, in every file that a block reads."""
    import h5py

    x = make_images(rng, 64, (28, 28, 1))
    monkeypatch.chdir(tmp_path)
    np.save("digits.npy", x)
    with h5py.File("digits.h5", "w") as file:
        file["x"] = x
    (tmp_path / "pictures").mkdir()
    for i, picture in enumerate(x):
        keras.utils.save_img(f"pictures/{i:02}.png", picture * 255, scale=False)
    rows = rng.standard_normal((64, 3)) * 0.2 + [3.0, 0.0, -3.0]
    np.savetxt("rows.csv", rows, delimiter=",", header="a,b,c", comments="")
    try:
        import pandas  # noqa: F401
    except ImportError:
        stub = types.SimpleNamespace(read_csv=read_csv, DataFrame=Table)
        monkeypatch.setitem(sys.modules, "pandas", stub)
    (own,) = BLOCKS["A subclassed network"]
    imports = "import keras\nfrom keras import layers\n"
    (tmp_path / "mine.py").write_text(imports + own.split("\n\ndecoder")[0])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return x


def prepared():
    """The names that each block starts with."""
    names = {"__name__": "__main__"}
    exec(compile(PREPARED, "bring_your_own.md", "exec"), names)
    return names


def test_every_block_is_checked():
    assert set(CHECKS) == set(BLOCKS) and all(len(found) == 1 for found in BLOCKS.values())
    assert ONCE <= set(BLOCKS)
    longest = max(block.count("\n") for (block,) in BLOCKS.values())
    assert longest <= 18


@pytest.mark.parametrize("title", cases())
def test_block(title, x, tmp_path):
    if title == "A DataLoader":
        pytest.importorskip("torch")
    if title.startswith("Exported"):
        pytest.importorskip("tensorflow")
    names = prepared()
    before = names["model"].get_weights()
    (block,) = BLOCKS[title]
    exec(compile(block, title, "exec"), names)
    CHECKS[title](types.SimpleNamespace(**names, before=before))


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def history(names):
    return names.model.history.history


def learns(names):
    losses = history(names)["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def means(names, model, x):
    """Outputs of the networks for the codes of x, by Keras alone."""
    return model.decoder.predict(model.encode(x), verbose=0)


def same_codes(one, other, x):
    np.testing.assert_allclose(one.encode(x), other.encode(x), atol=1e-5)


def trained_on(x, optimizer):
    """The model of the first lines, trained by `fit` for one epoch in order."""
    model = prepared()["model"]
    model.compile(optimizer)
    model.fit(x, batch_size=32, verbose=0, shuffle=False)
    return model


def close(one, other, atol):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


@check("A functional network")
def _(names):
    learns(names)
    logits = means(names, names.model, names.x)
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(names.model.reconstruct(names.x), expected, atol=1e-5)


@check("A subclassed network")
def _(names):
    learns(names)
    names.model.save("m.keras")
    loaded = keras.models.load_model("m.keras", custom_objects={"Encoder": names.Encoder})
    same_codes(loaded, names.model, names.x)


@check("A pretrained network")
def _(names):
    learns(names)
    photos = names.photos[:4]
    pooled = names.base.predict(2 * numpy(ops.image.resize(photos, (96, 96))) - 1, verbose=0)
    features = names.model.encoder.predict(photos, verbose=0)
    np.testing.assert_allclose(features, pooled, atol=1e-4)
    frozen = {id(v) for v in names.base.weights}
    assert not frozen & {id(v) for v in names.model.trainable_variables}


@check("A part of a model that is replaced")
def _(names):
    assert names.model.decoder.count_params() == 9 * 784
    found = means(names, names.model, names.x)
    np.testing.assert_allclose(names.model.reconstruct(names.x), found, atol=1e-5)


@check("Pictures in a folder")
def _(names):
    learns(names)
    ordered = keras.utils.image_dataset_from_directory(
        "pictures", labels=None, color_mode="grayscale", image_size=(28, 28), shuffle=False
    ).map(lambda pictures: pictures / 255)
    # Rounded to 256 grey levels.
    np.testing.assert_allclose(names.model.encode(ordered), names.model.encode(names.x), atol=0.05)


@check("A tf.data.Dataset")
def _(names):
    assert len(history(names)["val_loss"]) == 2
    np.testing.assert_allclose(names.z, names.model.encode(names.x), atol=1e-5)


@check("A DataLoader")
def _(names):
    learns(names)
    np.testing.assert_allclose(names.z, names.model.encode(names.x), atol=1e-5)


@check("A DataFrame")
def _(names):
    rows = np.asarray(names.rows)
    assert rows.shape == (100, 3) and list(names.rows.columns) == ["a", "b", "c"]
    # With noise: the learned variance is hardly trained, about 1.
    assert 0.7 < rows.std(axis=0).mean() < 1.5


@check("A table of mixed types")
def _(names):
    learns(names)
    assert list(names.rows) == list(names.table) and len(names.rows["age"]) == 1000
    assert {k: v.dtype for k, v in names.rows.items()} == {
        k: v.dtype for k, v in names.table.items()
    }
    missing = names.table["city"] == None  # noqa: E711
    assert missing.any() and set(names.whole["city"]) == {"Lima", "Madrid"}
    for name, values in names.table.items():
        known = ~missing if name == "city" else slice(None)
        np.testing.assert_array_equal(names.whole[name][known], values[known])


@check("Series of different lengths")
def _(names):
    assert names.series.shape == (32, 12, 1) and np.isnan(names.series).any()
    assert names.scores.shape == (32,) and np.isfinite(names.scores).all()


@check("Counts")
def _(names):
    assert names.rows.shape == (100, 12) and (names.rows == np.round(names.rows)).all()
    assert names.model.decoder.output_shape == (None, 24)
    # Hardly trained: both of e^0.
    assert 0.5 < names.rows.mean() < 4.0 and (names.rows == 0).any()


@check("An HDF5 file")
def _(names):
    np.testing.assert_allclose(names.z, names.model.encode(names.x), atol=1e-5)
    learns(names)
    assert int(numpy(names.model.step)) == 4


@check("Noisy in, clean out")
def _(names):
    learns(names)
    noisy = names.x + names.noise
    alone = prepared()["model"]
    losses = [m.evaluate(noisy, names.x, verbose=0)[0] for m in (names.model, alone)]
    assert losses[0] < losses[1]
    outputs = names.model.decode(names.model.encode(np.clip(noisy, 0, 1)))
    np.testing.assert_allclose(names.clean, outputs, atol=1e-5)


@check("An objective")
def _(names):
    found = history(names)
    # |KL - 5| of examples that all have less than 5.
    expected = np.array(found["reconstruction_loss"]) + 5 - np.array(found["kl_loss"])
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)
    names.model.save("m.keras")
    objects = {"TargetKL": names.TargetKL}
    assert keras.models.load_model("m.keras", custom_objects=objects).objective.target == 5.0


@check("A likelihood")
def _(names):
    z, mean = names.model.encode(names.x), names.model.reconstruct(names.x)
    each = -np.abs(names.x - mean) / 0.1 - np.log(0.2)
    expected = each.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(names.model.log_px(names.x, z), expected, rtol=1e-4)
    draws, centres = (names.model.sample(64, seed=0, noise=n) for n in (True, False))
    # The mean absolute error of a Laplace distribution is b.
    np.testing.assert_allclose(np.abs(draws - centres).mean(), 0.1, rtol=0.05)


@check("A likelihood of several outputs per value")
def _(names):
    model = names.model
    assert model.data_shape == (28, 28, 1)
    z = model.encode(names.x)
    outputs = model.decoder.predict(z, verbose=0)
    mean, log_var = outputs[..., :1], outputs[..., 1:]
    each = np.log(2 * np.pi) + log_var + (names.x - mean) ** 2 / np.exp(log_var)
    expected = -0.5 * each.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(model.log_px(names.x, z), expected, rtol=1e-4)
    np.testing.assert_allclose(model.reconstruct(names.x), mean, atol=1e-5)
    learns(names)


def weights_of_kl(names):
    columns = (np.array(history(names)[n]) for n in ("loss", "reconstruction_loss", "kl_loss"))
    loss, reconstruction, kl = columns
    return (loss - reconstruction) / kl


@check("KL annealing by a schedule")
def _(names):
    # Two steps an epoch: the mean weight of epoch i is about that of step 2 i + 1/2.
    found = weights_of_kl(names)
    np.testing.assert_allclose(found, (2 * np.arange(10) + 0.5) / 20, atol=0.03)
    loss, reconstruction, kl = names.model.evaluate(names.x, verbose=0)
    assert loss == pytest.approx(reconstruction + kl, rel=1e-5)


@check("KL annealing by a callback")
def _(names):
    np.testing.assert_allclose(weights_of_kl(names), [0, 1 / 3, 2 / 3, 1, 1], atol=1e-2)


@check("Reconstructions as training goes")
def _(names):
    one, two = (np.load(f"epoch-{i}.npy") for i in range(2))
    assert one.shape == (4, 28, 28, 1) and np.abs(one - two).max() > 1e-4
    np.testing.assert_allclose(two, names.model.reconstruct(names.x[:4]), atol=1e-5)


@check("Early stopping")
def _(names):
    best = min(history(names)["val_loss"])
    if len(history(names)["val_loss"]) < 20:
        assert names.stop.stopped_epoch == len(history(names)["val_loss"]) - 1
    assert names.stop.best == pytest.approx(best)


@check("Metrics of Keras")
def _(names):
    error = np.mean((names.model.reconstruct(names.x) - names.x) ** 2)
    assert history(names)["val_mse"][-1] == pytest.approx(error, rel=1e-4)


@check("Metrics of this library")
def _(names):
    report = keras_vae.metrics.collapse_report(names.model, names.x)
    assert "latent dimensions are active" in str(report)
    assert names.bound == names.model.log_likelihood(names.x, samples=50).mean()


@check("A loop on PyTorch")
def _(names):
    assert int(numpy(names.model.step)) == 2
    # PyTorch's Adam has another epsilon than Keras': compared without one.
    (block,) = BLOCKS["A loop on PyTorch"]
    exec(block.replace("optim.Adam", "optim.SGD"), plain := prepared())
    close(plain["model"], trained_on(names.x, keras.optimizers.SGD(1e-3)), atol=1e-5)


@check("A loop on TensorFlow")
def _(names):
    close(names.model, trained_on(names.x, keras.optimizers.Adam(1e-3)), atol=1e-6)


@check("A loop on JAX")
def _(names):
    close(names.model, trained_on(names.x, keras.optimizers.Adam(1e-3)), atol=1e-6)


@check("Classes of one's own")
def _(names):
    for loaded in (names.again, names.same, zoo.load("mine", trusted=True)):
        same_codes(loaded, names.model, names.x)
        assert type(loaded.encoder.layers[-1]) is names.Doubled
    with pytest.raises(ValueError, match="trusted=True"):
        zoo.load("mine")


@check("An autoencoder of diffusers")
def _(names):
    assert {f.name for f in Path("mine").iterdir()} >= {
        *("config.json", "diffusion_pytorch_model.safetensors"),
    }
    shift = names.codes / 0.18215 - names.vae.encode(names.photos)
    np.testing.assert_allclose(shift, 0.0, atol=1e-5)
    again = zoo.load("mine")
    # The encoder is what it was, and the decoder is not.
    np.testing.assert_allclose(again.encode(names.photos), names.vae.encode(names.photos))
    moved = again.decode(names.codes, scaled=True) - names.vae.decode(names.codes, scaled=True)
    assert np.abs(moved).max() > 1e-4


@check("Encoder and decoder as Keras models")
def _(names):
    encoder = keras.models.load_model("encoder.keras")
    codes = encoder.predict(names.x, verbose=0)
    np.testing.assert_allclose(codes, names.model.encode(names.x), atol=1e-5)
    expected = names.model.decode(np.zeros((4, 8), "float32"))
    np.testing.assert_allclose(names.pictures, expected, atol=1e-5)


@check("Exported with classes of one's own")
def _(names):
    import tensorflow as tf

    served = tf.saved_model.load("served").signatures["encode"]
    found = served(image=tf.constant(names.x))["mean"].numpy()
    np.testing.assert_allclose(found, names.model.encode(names.x), atol=1e-4)


@pytest.mark.once
@pytest.mark.parametrize("name", ["README.md", "README.es.md"])
def test_the_readmes_link_to_it(name):
    assert "(keras_vae/bring_your_own.md)" in (ROOT / name).read_text(encoding="utf-8")
