"""Japanese vowels: series of 12 cepstral coefficients of speech, which sktime has in its package.

640 utterances of /ae/ by nine men, in frames of 25.6 ms, one every 6.4 ms (Kudo, Toyama & Shimbo,
UCI, 1999). It needs no download. The file is read as it is: sktime's own loader takes seconds to
import and needs pandas, for a table of text of one megabyte.
"""

import importlib.util
from pathlib import Path

import numpy as np

SPEAKERS = tuple("123456789")
STEPS, COEFFICIENTS = 29, 12
# Of each speaker, of whom the training file has 30 utterances in sequence.
_EACH, _HELD_OUT = 30, 5
_SIZES = {"TRAIN": _EACH * len(SPEAKERS), "TEST": 370}
# Both packages have the same files at the same place.
_PACKAGES = ("sktime", "aeon")


def load(split, dtype="float32", limit=None):
    """`(x, y)` of a split: series `(n, 29, 12)` float32 and labels `(n,)` int32.

    Series of 7 to 29 steps are filled up with NaN, as `models.pad_series` does. The validation
    split is the last five utterances of each speaker in the training file; the test split is the
    test file. Both files are sorted by speaker; the order here is a fixed permutation.

    Raises:
        ValueError: another dtype than "float32".
        ImportError: neither sktime nor aeon is installed.
        RuntimeError: the package's file is not the one that is known.
    """
    if dtype != "float32":
        raise ValueError(
            f"'vowels' are series of real numbers: leave `dtype` out. Received: dtype={dtype!r}"
        )
    file = "TEST" if split == "test" else "TRAIN"
    series, labels = _read(_folder() / f"JapaneseVowels_{file}.ts", _SIZES[file])
    rows = np.random.default_rng(0).permutation(len(series))
    if file == "TRAIN":
        held_out = rows % _EACH >= _EACH - _HELD_OUT
        rows = rows[held_out if split == "validation" else ~held_out]
    rows = rows[:limit]
    x = np.full((len(rows), STEPS, COEFFICIENTS), np.nan, "float32")
    for padded, row in zip(x, rows, strict=True):
        padded[: len(series[row])] = series[row]
    return x, labels[rows]


def _folder():
    """Where the files are. The package is not imported, which would take seconds."""
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent / "datasets" / "data" / "JapaneseVowels"
            if folder.is_dir():
                return folder
    raise ImportError(
        "The data set 'vowels' is a file of the package sktime, which is not installed: "
        "pip install 'keras-vae[series]'. As only the file is read, `pip install --no-deps "
        f"sktime` is enough. Received: no folder JapaneseVowels in {' or '.join(_PACKAGES)}"
    )


def _read(path, number):
    """All series `(t, 12)` of a file in the format .ts, and their labels from 0 on.

    A line is a series: coefficients separated by colons, each with its steps, and the label.
    """
    series, labels = [], []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and line[0] not in "#@":
                *coefficients, label = line.split(":")
                steps = np.array([c.split(",") for c in coefficients], "float32").T
                series.append(steps.reshape(-1, COEFFICIENTS))
                labels.append(SPEAKERS.index(label.strip()))
        if len(series) != number:
            raise ValueError(f"{len(series)} series")
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"The file of the data set 'vowels' must hold {number} series of {COEFFICIENTS} "
            f"coefficients: install sktime again. Received: {error} in {path}"
        ) from error
    return series, np.array(labels, "int32")
