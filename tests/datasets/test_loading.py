"""Values of the prepared data, and every way that reading them can go wrong."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from keras_vae import datasets
from keras_vae.datasets import loading, sprites
from tests.support import ROOT

HISTOGRAM = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


pytestmark = pytest.mark.once


def prepared(name):
    root = os.environ.get("TFDS_DATA_DIR", "")
    folder = pathlib.Path(root, name, datasets.info(name).version)
    if not root or not folder.is_dir():
        pytest.skip(f"needs the prepared data set {name}: set TFDS_DATA_DIR")
    return folder


@pytest.fixture(scope="module")
def mnist():
    prepared("mnist")
    return {s: datasets.load("mnist", s, dtype="uint8", download=False) for s in datasets.SPLITS}


# --- what needs no data ---


def test_names():
    expected = [
        "binarized_mnist",
        "celeb_a",
        "celeb_a_64",
        "cifar10",
        "digits",
        "dsprites",
        "fashion_mnist",
        "mnist",
        "shapes3d",
        "sprites",
        "vowels",
        "wine",
    ]
    assert datasets.names() == expected


def test_info():
    info = datasets.info("cifar10")
    assert (info.name, info.version, info.shape) == ("cifar10", "3.0.2", (32, 32, 3))
    assert info.classes[:2] == ("airplane", "automobile") and len(info.classes) == 10
    assert info.attributes == ()
    with pytest.raises(AttributeError):
        info.name = "other"
    faces = datasets.info("celeb_a_64")
    assert faces.attributes == datasets.CELEBA_ATTRIBUTES and faces.classes == ()
    assert "Non-commercial" in faces.terms
    text = str(faces)
    assert "celeb_a_64:1.0.0" in text and "64 x 64 x 3" in text and "Wearing_Necktie" in text
    assert max(map(len, text.splitlines())) <= 88


def test_attributes_are_in_the_order_of_the_original_list():
    names = datasets.CELEBA_ATTRIBUTES
    assert len(set(names)) == 40
    at = {"5_o_Clock_Shadow": 0, "Eyeglasses": 15, "Male": 20, "Smiling": 31, "Young": 39}
    assert {name: names.index(name) for name in at} == at


def test_import_pulls_in_neither_tensorflow_nor_keras():
    code = (
        "import importlib, sys, types;"
        # The package without its `__init__`, which imports Keras for its other modules.
        "package = types.ModuleType('keras_vae'); package.__path__ = [sys.argv[1]];"
        "parts = types.ModuleType('keras_vae.datasets'); parts.__path__ = [sys.argv[2]];"
        "sys.modules |= {'keras_vae': package, 'keras_vae.datasets': parts};"
        "importlib.import_module('keras_vae.datasets.loading');"
        "assert not {'keras', 'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    folder = pathlib.Path(sprites.__file__).parent
    subprocess.run([sys.executable, "-c", code, folder.parent, folder], check=True)


def test_import_pulls_in_no_tensorflow():
    code = (
        "import sys, keras_vae.datasets;"
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: datasets.info("minst"),
            r"Received: name='minst'\. Did you mean 'mnist'\?",
        ),
        (
            lambda: datasets.load("celeba"),
            r"Received: name='celeba'\. Did you mean 'celeb_a'\?",
        ),
        (lambda: datasets.load("zzz"), r"'binarized_mnist', .*Received: name='zzz'\.$"),
        (lambda: datasets.load(None), r"Received: name=None"),
        (
            lambda: datasets.load("mnist", "valid"),
            r"'train', 'validation', 'test'\. Received: split='valid'\. Did you mean 'validation'",
        ),
        (
            lambda: datasets.load("mnist", dtype="int8"),
            r"'float32', 'uint8'\. Received: dtype=",
        ),
        (lambda: datasets.load("mnist", dtype=np.float64), r"Received: dtype='float64'"),
        (lambda: datasets.load("mnist", limit=0), r"positive int.*Received: limit=0"),
        (lambda: datasets.load("mnist", limit=-3), r"Received: limit=-3"),
        (lambda: datasets.load("mnist", limit=2.0), r"Received: limit=2\.0"),
        (lambda: datasets.load("mnist", limit=True), r"Received: limit=True"),
        (lambda: datasets.load("mnist", limit="9"), r"Received: limit='9'"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("missing", ["tensorflow_datasets", "tensorflow"])
def test_missing_package(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match="pip install tensorflow-datasets importlib_resources"):
        datasets.load("mnist")


# --- not prepared, and the download ---


def test_not_prepared(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(FileNotFoundError) as e:
        datasets.load("mnist", data_dir=tmp_path, download=False)
    assert "'mnist' is not prepared" in str(e.value) and "TFDS_DATA_DIR" in str(e.value)
    assert str(e.value).endswith(f"Received: {tmp_path / 'mnist' / '3.0.1'}")
    # The variable counts even when it changes after TFDS was imported.
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match="Received: .*elsewhere.mnist.3.0.1$"):
        datasets.load("mnist", download=False)
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}.tensorflow_datasets.mnist"):
        datasets.load("mnist", download=False)


@pytest.mark.parametrize("download", [True, False])
def test_celeb_a_64_is_never_downloaded(tmp_path, download):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(FileNotFoundError, match="custom prepared set.*TFDS_DATA_DIR.*celeb_a_64"):
        datasets.load("celeb_a_64", data_dir=tmp_path, download=download)
    assert not list(tmp_path.iterdir())


def test_download_fails_then_works(tmp_path, monkeypatch):
    """The real TFDS builder writes a tiny set; only the network is replaced."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("importlib_resources")
    rng = np.random.default_rng(0)
    sizes = {"train": 7, "valid": 3, "test": 2}
    bits = {k: rng.integers(0, 2, (n, 784), dtype="uint8") for k, n in sizes.items()}
    for key, value in bits.items():
        np.savetxt(tmp_path / f"{key}.amat", value, fmt="%d")
    root = tmp_path / "data"

    def broken(manager, urls):
        (root / "downloads" / "binarized_mnist" / "part.tmp.1").mkdir(parents=True)
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.download.DownloadManager, "download", broken)
    with pytest.raises(RuntimeError, match="nothing was left half-written") as e:
        datasets.load("binarized_mnist", data_dir=root)
    assert "'binarized_mnist'" in str(e.value) and "no route to host" in str(e.value)
    assert isinstance(e.value.__cause__, ConnectionError)
    assert not [p for p in root.rglob("*") if p.is_file() or "tmp" in p.name or "inc" in p.name]

    def local(manager, urls):
        keys = {"train_data": "train", "validation_data": "valid", "test_data": "test"}
        return {k: tmp_path / f"{keys[k]}.amat" for k in urls}

    monkeypatch.setattr(tfds.download.DownloadManager, "download", local)
    x, y = datasets.load("binarized_mnist", data_dir=root)
    assert y is None and x.shape == (7, 28, 28, 1)
    # TFDS shuffles what it writes.
    assert {i.tobytes() for i in x.astype("uint8")} == {i.tobytes() for i in bits["train"]}
    monkeypatch.setattr(tfds.download.DownloadManager, "download", broken)
    again = datasets.load("binarized_mnist", data_dir=root, download=False)
    np.testing.assert_array_equal(again.x, x)
    assert len(datasets.load("binarized_mnist", "validation", data_dir=root).x) == 3


@pytest.mark.parametrize("name", ["dsprites", "shapes3d"])
def test_sets_with_factors_say_where_they_were_looked_for(tmp_path, name):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(FileNotFoundError, match=f"'{name}' is not prepared.*{name}.2.0.0$"):
        datasets.load(name, data_dir=tmp_path, download=False)
    info = datasets.info(name)
    assert info.classes == info.attributes == ()
    assert f"shape ({dict(info.factors)['shape']})" in str(info)


def test_dsprites_come_with_their_factors(tmp_path, monkeypatch):
    """The real TFDS builder writes a tiny set; only the network is replaced."""
    tfds = pytest.importorskip("tensorflow_datasets")
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 2, (40, 64, 64), dtype="uint8")
    sizes = [1] + [size for _, size in datasets.info("dsprites").factors]
    classes = rng.integers(sizes, size=(40, 6))
    with h5py.File(tmp_path / "small.hdf5", "w") as file:
        file["imgs"] = pictures
        file["latents/classes"] = classes
        file["latents/values"] = classes.astype("float32")
    monkeypatch.setattr(
        tfds.download.DownloadManager, "download", lambda *_: str(tmp_path / "small.hdf5")
    )
    known = {image.tobytes(): row[1:].tolist() for image, row in zip(pictures, classes)}
    seen = []
    for split, n in (("train", 32), ("validation", 4), ("test", 4)):
        x, y = datasets.load("dsprites", split, dtype="uint8", data_dir=tmp_path / "data")
        assert x.shape == (n, 64, 64, 1) and y.dtype == np.int32
        assert [known[image.tobytes()] for image in x] == y.tolist()
        seen += [image.tobytes() for image in x]
        few = datasets.load("dsprites", split, limit=3, data_dir=tmp_path / "data")
        assert few.x.dtype == np.float32 and few.x.max() == 1.0
        np.testing.assert_array_equal(few.x, x[:3])
    assert len(set(seen)) == 40


def test_sprites_need_no_tfds(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    x, y = datasets.load("sprites", "test", limit=5)
    assert x.shape == (5, 64, 64, 1) and x.dtype == np.float32
    np.testing.assert_array_equal(x, sprites.draw(y))
    assert "version:    sprites:1.0.0" in str(datasets.info("sprites"))
    assert datasets.info("sprites").factors == tuple(zip(sprites.NAMES, sprites.SIZES))


def test_missing_package_of_a_builder(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")

    def builder(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'importlib_resources'")

    monkeypatch.setattr(tfds, "builder", builder)
    with pytest.raises(ImportError, match="pip install .* importlib_resources.*No module named"):
        datasets.load("mnist", data_dir=tmp_path)


@pytest.mark.parametrize("damage", ["absent", "short"])
def test_damaged_files(tmp_path, damage):
    folder = prepared("celeb_a")
    shutil.copytree(folder, tmp_path / "celeb_a" / folder.name)
    (shard,) = tmp_path.rglob("*-test.tfrecord*")
    if damage == "absent":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(RuntimeError, match="'celeb_a' is damaged.*Received: .*celeb_a"):
        datasets.load("celeb_a", "test", data_dir=tmp_path)


# --- values ---


def test_mnist_sizes_and_labels(mnist):
    assert [len(mnist[s].x) for s in datasets.SPLITS] == [55_000, 5_000, 10_000]
    for x, y in mnist.values():
        assert x.shape == (len(y), 28, 28, 1) and x.dtype == "uint8" and y.dtype == "int32"
    assert np.bincount(mnist["test"].y).tolist() == HISTOGRAM
    both = np.concatenate([mnist["train"].y, mnist["validation"].y])
    full = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(both).tolist() == full


def test_mnist_means(mnist):
    total = sum(int(mnist[s].x.sum(dtype="int64")) for s in ("train", "validation"))
    assert round(total / (60_000 * 784), 6) == 33.318421
    assert round(float(mnist["test"].x.mean(dtype="float64")), 6) == 33.791224


def test_mnist_train_and_validation_are_disjoint(mnist):
    digests = {s: {i.tobytes() for i in mnist[s].x} for s in datasets.SPLITS}
    assert not digests["train"] & digests["validation"]


def test_validation_is_the_end_of_the_train_split_of_tfds(mnist):
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = tfds.builder_from_directory(prepared("mnist"))
    for part, mine in (
        ("[:3]", mnist["train"].x[:3]),
        ("[59997:]", mnist["validation"].x[-3:]),
    ):
        raw = builder.as_dataset(split=f"train{part}")
        np.testing.assert_array_equal([e["image"] for e in tfds.as_numpy(raw)], mine)


def test_float32_is_uint8_over_255(mnist):
    x, y = datasets.load("mnist", "validation", download=False)
    assert x.dtype == "float32" and x.min() == 0.0 and x.max() == 1.0
    np.testing.assert_array_equal(np.round(255 * x).astype("uint8"), mnist["validation"].x)
    np.testing.assert_array_equal(y, mnist["validation"].y)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_limit_is_a_prefix(mnist, split):
    x, y = datasets.load("mnist", split, dtype=np.uint8, limit=np.int64(37), download=False)
    np.testing.assert_array_equal(x, mnist[split].x[:37])
    np.testing.assert_array_equal(y, mnist[split].y[:37])


@pytest.mark.parametrize(
    "split, size, mean",
    [
        ("train", 50_000, 0.130562),
        ("validation", 10_000, 0.131127),
        ("test", 10_000, 0.132512),
    ],
)
def test_binarized_mnist(split, size, mean):
    prepared("binarized_mnist")
    x, y = datasets.load("binarized_mnist", split, dtype="uint8", download=False)
    assert y is None and x.shape == (size, 28, 28, 1) and x.max() == 1
    assert round(float(x.mean(dtype="float64")), 6) == mean
    few = datasets.load("binarized_mnist", split, limit=9, download=False).x
    assert few.dtype == "float32"
    np.testing.assert_array_equal(few, x[:9])


def test_cifar10_holds_out_the_last_tenth():
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = prepared("cifar10")
    n = tfds.builder_from_directory(folder).info.splits["train"].num_examples
    load = lambda split: datasets.load("cifar10", split, dtype="uint8", download=False)  # noqa: E731
    train, validation, test = map(load, datasets.SPLITS)
    assert len(train.x) == n - n // 10 and len(validation.x) == n // 10
    assert (
        train.x.shape[1:] == (32, 32, 3) and test.y.dtype == "int32" and set(test.y) <= {*range(10)}
    )
    assert not {i.tobytes() for i in train.x} & {i.tobytes() for i in validation.x}
    if n == 10_000:  # the first batch of the original files, whose class counts are known
        counts = np.bincount(np.concatenate([train.y, validation.y]))
        assert counts.tolist() == [1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981]


def test_fashion_mnist():
    prepared("fashion_mnist")
    x, y = datasets.load("fashion_mnist", "test", dtype="uint8", download=False)
    assert x.shape == (10_000, 28, 28, 1) and np.bincount(y).tolist() == [1000] * 10
    assert len(datasets.load("fashion_mnist", "validation", download=False).x) == 5_000


def test_celeb_a_matches_celeb_a_64_image_by_image():
    """The same faces, found by their pixels, have the same 40 attributes in the same order."""
    prepared("celeb_a")
    prepared("celeb_a_64")
    x, y = datasets.load("celeb_a", "validation", download=False)
    small, known = datasets.load("celeb_a_64", "validation", download=False)
    assert x.shape[1:] == (218, 178, 3) and small.shape[1:] == (64, 64, 3)
    assert y.dtype == known.dtype == np.float32 and set(np.unique(y)) == {0.0, 1.0}
    # Both down to the same coarse grid: the crop that celeb_a_64 was made with, then block means.
    crop = x[:, 35:183, 15:163].reshape(len(x), 4, 37, 4, 37, 3).mean((2, 4)).reshape(len(x), -1)
    grid = small.reshape(len(small), 4, 16, 4, 16, 3).mean((2, 4)).reshape(len(small), -1)
    distance = ((crop[:, None] - grid[None]) ** 2).mean(-1)
    assert distance.min(1).max() < 1e-4
    np.testing.assert_array_equal(known[distance.argmin(1)], y)


def test_celeb_a_64_reads_its_files_one_after_another():
    prepared("celeb_a_64")
    some = datasets.load("celeb_a_64", "validation", dtype="uint8", limit=900, download=False)
    few = datasets.load("celeb_a_64", "validation", dtype="uint8", limit=20, download=False)
    np.testing.assert_array_equal(few.x, some.x[:20])
    np.testing.assert_array_equal(few.y, some.y[:20])


def test_progress_only_on_a_terminal_and_when_slow(monkeypatch, capsys):
    prepared("mnist")
    monkeypatch.setattr(loading, "_QUIET_SECONDS", 0.0)
    datasets.load("mnist", "test", limit=5, download=False)
    assert "mnist" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    datasets.load("mnist", "test", limit=5, download=False)
    assert capsys.readouterr().err.endswith("\rmnist: 5 of 5\n")


@pytest.mark.turns
class TestCropFaces:
    def test_it_is_the_mean_over_areas(self, rng):
        """Against every original pixel repeated 64 x 64 times and averaged by blocks."""
        x = rng.integers(0, 256, (2, 218, 178, 3)).astype("uint8")
        crop = x[0, 35:183, 15:163, 1].astype("float64")
        # lcm: 148 = 4 · 37 and 64 = 4 · 16, so 37 · 16 divides both into whole parts.
        rows = np.repeat(crop, 16, axis=0).reshape(64, 37, 148).mean(1)
        expected = np.repeat(rows, 16, axis=1).reshape(64, 64, 37).mean(2)
        found = datasets.crop_faces(x)
        assert found.shape == (2, 64, 64, 3) and found.dtype == np.uint8
        assert np.abs(found[0, :, :, 1].astype(float) - expected).max() <= 0.51
        floats = datasets.crop_faces(x / 255)
        assert floats.dtype == np.float32
        np.testing.assert_allclose(floats[0, :, :, 1], expected / 255, atol=1e-5)

    def test_the_whole_size_is_the_crop_itself(self, rng):
        x = rng.random((1, 218, 178, 3), dtype="float32")
        np.testing.assert_allclose(datasets.crop_faces(x, 148), x[:, 35:183, 15:163], atol=1e-6)

    def test_what_it_refuses(self):
        with pytest.raises(ValueError, match="Received: shape"):
            datasets.crop_faces(np.zeros((1, 64, 64, 3)))
        with pytest.raises(ValueError, match="Received: size=149"):
            datasets.crop_faces(np.zeros((1, 218, 178, 3)), 149)
