"""Arrays from TensorFlow Datasets (TFDS), by name, offline when prepared.

Images are NumPy arrays, channels last, on every Keras backend. The order is fixed: the
first `n` images are the same on every machine.
"""

import contextlib
import dataclasses
import difflib
import importlib
import os
import shutil
import sys
import textwrap
import time
from typing import NamedTuple

import numpy as np

from keras_vae import _checks
from keras_vae.datasets import vowels, wine

CELEBA_ATTRIBUTES = (
    *("5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald"),
    *("Bangs", "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair"),
    *("Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses", "Goatee", "Gray_Hair"),
    *("Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache"),
    *("Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose"),
    *("Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair"),
    *("Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick"),
    *("Wearing_Necklace", "Wearing_Necktie", "Young"),
)
SPLITS = ("train", "validation", "test")
DTYPES = ("float32", "uint8")
# What an example is, by the number of its axes.
_KINDS = {1: "columns", 2: "series", 3: "image"}
_BATCH_BYTES = 2**23
_QUIET_SECONDS = 2.0


class Data(NamedTuple):
    """Images `x` `(n, height, width, channels)` and their labels, attributes or factors `y`.

    Of a table `x` is a structured array `(n,)`, with a field for each column; of series it is
    `(n, time, features)`, with NaN after the end of each.
    """

    x: np.ndarray
    y: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Info:
    """Description of a data set.

    `classes` are names of integer labels, `attributes` names of the columns of `y`;
    `factors` are names and numbers of values of the columns, if they determine a picture.
    """

    name: str
    version: str
    shape: tuple
    splits: str
    terms: str
    classes: tuple = ()
    attributes: tuple = ()
    factors: tuple = ()

    def __str__(self):
        rows = {
            "version" if self.name in _WITHOUT_TFDS else "TFDS": f"{self.name}:{self.version}",
            _KINDS[len(self.shape)]: " x ".join(map(str, self.shape)),
        }
        rows |= {
            "classes": ", ".join(self.classes),
            "attributes": ", ".join(self.attributes),
            "factors": ", ".join(f"{name} ({n})" for name, n in self.factors),
        }
        rows |= {"splits": self.splits, "terms": self.terms}
        lines = [self.name]
        for key, text in rows.items():
            if text:
                start = f"  {key + ':':<12}"
                lines += textwrap.wrap(text, 88, initial_indent=start, subsequent_indent=" " * 14)
        return "\n".join(lines)


_FACES = (
    "Non-commercial research only. The images belong to their owners: do not copy, publish "
    "or distribute any part. Cite Liu et al., Deep Learning Face Attributes in the Wild, 2015."
)
_LECUN = "Commonly given as CC BY-SA 3.0. Cite LeCun, Cortes and Burges."
_ZALANDO = "MIT licence, Zalando SE. Cite Xiao et al., Fashion-MNIST, 2017."
_STATIC = "No licence stated. Cite Salakhutdinov & Murray, 2008, and Larochelle & Murray, 2011."
_TINY = "No licence stated. Cite Krizhevsky, Learning Multiple Layers of Features, 2009."
_LAST_5000 = "train 55,000; validation 5,000 (the last of the TFDS train split); test 10,000"
_LAST_TENTH = (
    "train 45,000; validation 5,000 (the last 10 % of the TFDS train split); test 10,000; "
    "the same shares of a smaller prepared set"
)
_PERMUTED = "train 1,297; validation 200; test 300 (a fixed permutation of scikit-learn's digits)"
_UTTERANCES = (
    "train 225; validation 45 (the last five of each speaker in the training file); test 370 (the "
    "test file)"
)
_ROWS = "train 118; validation 20; test 40 (a fixed permutation of scikit-learn's wines)"
_OWN = "train 50,000; validation 10,000; test 10,000 (one fixed binarization, no labels)"
_FULL = "train 162,770; validation 19,867; test 19,962; fewer in a smaller prepared set"
_PART = "train, validation, test: what was prepared, each a part of the official split"
_GRID = (
    "train {:,}, of which the first 50,000 unless `limit` says how many; validation 10,000; "
    "test 10,000 ({})"
)
_UCI = "CC BY 4.0. Cite Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998."
_WINE = "CC BY 4.0. Cite Aeberhard & Forina, Wine, UCI, 1992."
_VOWELS = "CC BY 4.0. Cite Kudo, Toyama & Shimbo, Japanese Vowels, UCI, 1999."
_DRAWN = "Drawn by this library, which is MIT: no licence of their own."
_DSPRITES = "Apache 2.0. Cite Matthey et al., dSprites, 2017."
_SHAPES3D = "Apache 2.0. Cite Burgess & Kim, 3D Shapes Dataset, 2018."
_SPRITE = (("shape", 3), ("scale", 6), ("orientation", 40), ("x_position", 32), ("y_position", 32))
_ROOM = (
    *(("floor_hue", 10), ("wall_hue", 10), ("object_hue", 10)),
    *(("scale", 8), ("shape", 4), ("orientation", 15)),
)
_END = "the last of TFDS' only split"
_DIGITS = tuple("0123456789")
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt"),
    *("Sneaker", "Bag", "Ankle boot"),
)
_THINGS = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
_ALL = (
    Info("binarized_mnist", "1.0.0", (28, 28, 1), _OWN, _STATIC),
    Info("celeb_a", "2.1.0", (218, 178, 3), _FULL, _FACES, attributes=CELEBA_ATTRIBUTES),
    Info("celeb_a_64", "1.0.0", (64, 64, 3), _PART, _FACES, attributes=CELEBA_ATTRIBUTES),
    Info("cifar10", "3.0.2", (32, 32, 3), _LAST_TENTH, _TINY, classes=_THINGS),
    Info("digits", "1.0.0", (8, 8, 1), _PERMUTED, _UCI, classes=_DIGITS),
    Info("dsprites", "2.0.0", (64, 64, 1), _GRID.format(717_280, _END), _DSPRITES, factors=_SPRITE),
    Info("fashion_mnist", "3.0.1", (28, 28, 1), _LAST_5000, _ZALANDO, classes=_CLOTHES),
    Info("mnist", "3.0.1", (28, 28, 1), _LAST_5000, _LECUN, classes=_DIGITS),
    Info("shapes3d", "2.0.0", (64, 64, 3), _GRID.format(460_000, _END), _SHAPES3D, factors=_ROOM),
    Info(
        "sprites",
        "1.0.0",
        (64, 64, 1),
        _GRID.format(717_280, "a fixed permutation of all combinations"),
        _DRAWN,
        factors=_SPRITE,
    ),
    Info(
        "vowels",
        "1.0.0",
        (vowels.STEPS, vowels.COEFFICIENTS),
        _UTTERANCES,
        _VOWELS,
        classes=vowels.SPEAKERS,
    ),
    Info("wine", "1.0.0", (14,), _ROWS, _WINE, classes=wine.CULTIVARS),
)
_INFOS = {i.name: i for i in _ALL}
_WITHOUT_TFDS = ("digits", "sprites", "vowels", "wine")
# One in this many of the TFDS train split is held out: 5,000 of MNIST's 60,000.
_HELD_OUT = {"mnist": 12, "fashion_mnist": 12, "cifar10": 10}
# Data sets of 0 and 1, with both dtypes.
_BINARY = ("binarized_mnist", "dsprites")


def names() -> list[str]:
    """Returns the sorted names of the data sets that `load` knows."""
    return sorted(_INFOS)


def info(name: str) -> Info:
    """Describes a data set without reading it.

    Args:
        name: one of `names()`.

    Returns:
        `Info`, a frozen dataclass with a readable `str`: `name`, `version` (of TFDS,
        pinned), `shape` (height, width, channels, or time, features), `splits`, `terms`, `classes`
        (empty where there are no integer labels), `attributes` and `factors` (likewise).

    Raises:
        ValueError: unknown name.
    """
    return _INFOS[_one_of("name", name, _INFOS)]


def load(
    name: str,
    split: str = "train",
    *,
    dtype: str | type = "float32",
    limit: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> Data:
    """Reads one split of a data set into memory.

    If TFDS has no validation split, the last part of its train split is the
    validation split and not part of `"train"`; `info(name).splits` gives the sizes.
    A whole full-size `celeb_a` takes 76 GB as float32: use `limit` there. `sprites` are
    computed without TFDS or a download; see `keras_vae.datasets.sprites`. `digits`, of
    8 x 8 pixels, and `wine`, a table of 13 measures and a cultivar, come with scikit-learn;
    `vowels`, series of 7 to 29 steps of 12 coefficients of speech, with sktime.

    Args:
        name: one of `names()`.
        split: `"train"`, `"validation"` or `"test"`.
        dtype: `"float32"` for values in [0, 1], `"uint8"` for the raw 0..255.
            `binarized_mnist`, `dsprites` and `sprites` are 0 and 1 in both; the columns of a
            table have their own; series are float32, of any numbers.
        limit: read the first `limit` images only (all there are, if fewer). By default
            all, but 50,000 of the training split of a set with factors.
        data_dir: folder of prepared TFDS data, `<data_dir>/<name>/<version>`. Default:
            the environment variable `TFDS_DATA_DIR`, else `~/tensorflow_datasets`.
        download: whether TFDS may download and prepare data that is not in `data_dir`.

    Returns:
        `Data(x, y)`: `x` of shape `(n, height, width, channels)`, or of a table a structured
        array `(n,)`, which `likelihoods.Columns` takes, or of series `(n, time, features)`,
        with NaN after the end of each; `y` int32 labels
        `(n,)`, or float32 attributes `(n, 40)` of 0 and 1 in the order of
        `CELEBA_ATTRIBUTES`, or int32 factors `(n, k)` in the order of
        `info(name).factors`, or None for `binarized_mnist`.

    Raises:
        ValueError: unknown name or split, bad `dtype` or `limit`.
        ImportError: TFDS, for `digits` and `wine` scikit-learn, or for `vowels` sktime, is not
            installed.
        FileNotFoundError: not prepared, and a download is not allowed or not possible.
        RuntimeError: the download failed, or the prepared files are damaged.
    """
    spec = info(name)
    _one_of("split", split, SPLITS)
    dtype = _one_of("dtype", getattr(dtype, "__name__", str(dtype)), DTYPES)
    if limit is not None and not _checks.is_integer(limit):
        raise ValueError(f"`limit` must be a positive int or None (all). Received: limit={limit!r}")
    if name in _WITHOUT_TFDS:
        own = importlib.import_module(f"keras_vae.datasets.{name}")
        return Data(*own.load(split, dtype, limit))
    tf, tfds = _import_tfds()
    builder = _builder(tfds, spec, data_dir, download)
    try:
        return _read(tf, tfds, builder, spec, split, dtype, limit)
    except (tf.errors.OpError, AssertionError) as e:
        raise RuntimeError(
            f"The prepared data set '{name}' is damaged: a file is missing or cut short. Delete "
            f"its folder and load it again. Received: {builder.data_path}"
        ) from e


def _one_of(what, value, choices):
    if value in tuple(choices):
        return value
    near = difflib.get_close_matches(str(value), choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"`{what}` must be one of {', '.join(map(repr, choices))}. "
        f"Received: {what}={value!r}.{hint}"
    )


def _import_tfds():
    try:
        import keras
        import tensorflow as tf
        import tensorflow_datasets as tfds
    except ImportError as e:
        raise _not_installed(e) from e
    if keras.config.backend() != "tensorflow":
        # TensorFlow only reads files here. By default it would reserve the whole memory of
        # the GPU, which JAX or PyTorch needs. The setting has no effect after its first use.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tf, tfds


def _not_installed(error):
    return ImportError(
        "keras_vae.datasets reads data with TensorFlow Datasets, and a package for it is missing. "
        "Run `pip install tensorflow-datasets importlib_resources` (and `tensorflow`, where it "
        f"is not there). Received: {error}"
    )


def _builder(tfds, spec, data_dir, download):
    # TFDS reads the variable only at its import; here later changes count too.
    root = data_dir or os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
    root = tfds.core.Path(root).expanduser()
    folder = root / spec.name / spec.version
    where = (
        "`data_dir` or the environment variable TFDS_DATA_DIR to the folder that holds "
        f"{spec.name}/{spec.version}"
    )
    if (folder / "dataset_info.json").exists():
        return tfds.builder_from_directory(folder)
    if spec.name == "celeb_a_64":
        raise FileNotFoundError(
            "'celeb_a_64' is a custom prepared set that cannot be downloaded, and it is not where "
            f"it was looked for. Set {where}; 'celeb_a' is the one that TFDS can download. "
            f"Received: {folder}"
        )
    if not download:
        raise FileNotFoundError(
            f"The data set '{spec.name}' is not prepared where it was looked for, and "
            f"download=False. Set {where}, or pass download=True. Received: {folder}"
        )
    unfinished = f"downloads/{spec.name}/*.tmp.*"
    before = set(root.glob(unfinished))
    try:
        builder = tfds.builder(spec.name, version=spec.version, data_dir=root)
        builder.download_and_prepare()
    except ImportError as e:
        raise _not_installed(e) from e
    except Exception as e:
        for path in set(root.glob(unfinished)) - before:
            shutil.rmtree(path, ignore_errors=True)
        raise RuntimeError(
            f"The data set '{spec.name}' could not be downloaded and prepared; nothing was left "
            "half-written. Check the network and the free disk space and call again, or prepare "
            f"it elsewhere and set {where}. Received: {type(e).__name__}: {e}"
        ) from e
    return builder


def _read(tf, tfds, builder, spec, split, dtype, limit):
    source, start, stop = _part(builder.info.splits, spec, split)
    if limit is None and spec.factors and split == "train":
        limit = 50_000
    stop = stop if limit is None else min(stop, start + int(limit))
    target = "label" if spec.classes else "attributes" if spec.attributes else None

    def pair(example):
        if spec.factors:
            y = tf.stack([example[f"label_{factor}"] for factor, _ in spec.factors])
        else:
            y = example[target] if target else tf.zeros(())
        if isinstance(y, dict):
            y = tf.stack([y[key] for key in CELEBA_ATTRIBUTES])
        return example["image"], y

    # With a slice TFDS skips records before it decodes them. One file at a time, because the
    # order of interleaved shards would depend on the end of the slice.
    images = builder.as_dataset(
        split=f"{source}[{start}:{stop}]",
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    n = stop - start
    x = np.empty((n, *spec.shape), dtype)
    y = None
    if target or spec.factors:
        columns = spec.attributes or spec.factors
        shape = (n, len(columns)) if columns else n
        y = np.empty(shape, "float32" if spec.attributes else "int32")
    scale = np.float32(1 if spec.name in _BINARY else 255)
    done, began = 0, time.monotonic()
    size = max(1, _BATCH_BYTES // int(np.prod(spec.shape)))
    for image, label in images.map(pair, tf.data.AUTOTUNE).batch(size).as_numpy_iterator():
        part = slice(done, done + len(image))
        if dtype == "uint8":
            x[part] = image
        else:
            np.divide(image, scale, out=x[part])
        if y is not None:
            y[part] = label
        done = part.stop
        if time.monotonic() - began > _QUIET_SECONDS and sys.stderr.isatty():
            end = "\n" if done == n else ""
            print(f"\r{spec.name}: {done:,} of {n:,}", end=end, file=sys.stderr, flush=True)
    return Data(x, y)


def _part(splits, spec, split):
    """The TFDS split that holds a split, its first example and the one after its last."""
    if spec.factors:
        whole = splits["train"].num_examples
        held = min(10_000, whole // 10)
        first = {"train": 0, "validation": whole - 2 * held, "test": whole - held}[split]
        return "train", first, first + (whole - 2 * held if split == "train" else held)
    source = "train" if spec.name in _HELD_OUT and split == "validation" else split
    start, stop = 0, splits[source].num_examples
    if spec.name in _HELD_OUT and source == "train":
        kept = stop - stop // _HELD_OUT[spec.name]
        start, stop = (0, kept) if split == "train" else (kept, stop)
    return source, start, stop
