"""The digits of the demo."""

import numpy as np
import pytest

from keras_vae import datasets
from tools import start
from tools.demo import bold, digits

pytestmark = pytest.mark.once


def test_digits_are_a_labelled_sample_of_the_test_split():
    x, y = digits()
    assert x.shape == (1000, 28, 28, 1) and x.dtype == np.float32
    assert x.min() == 0.0 and x.max() == 1.0
    assert np.bincount(y).tolist() == [100] * 10
    try:
        real, labels = datasets.load("mnist", "test", download=False)
    except FileNotFoundError:
        pytest.skip("needs the prepared data set mnist: set TFDS_DATA_DIR")
    rows = {image.tobytes(): label for image, label in zip(real, labels)}
    assert all(rows[image.tobytes()] == label for image, label in zip(x, y))


def test_bold_is_one_pixel_more_on_each_side():
    x = np.zeros((1, 5, 5, 1), "float32")
    x[0, 0, 2] = 0.5
    expected = np.zeros((5, 5), "float32")
    expected[0, 1:4] = expected[1, 2] = 0.5
    np.testing.assert_array_equal(bold(x)[0, ..., 0], expected)


@pytest.mark.parametrize(
    "line, said",
    [
        ("Collecting keras>=3.15", None),
        ("  Downloading keras-3.15.1-py3-none-any.whl.metadata (6.3 kB)", None),
        ("Downloading keras-3.15.1-py3-none-any.whl (1.4 MB)", "keras-3.15.1 (1.4 MB)"),
        ("Using cached six-1.17.0-py2.py3-none-any.whl (11 kB)", "six-1.17.0 (11 kB)"),
        ("Processing /a/wheels/six-1.17.0-py2.py3-none-any.whl", "six-1.17.0"),
        ("Processing /a/project", None),
        ("Installing build dependencies: started", None),
        ("Installing collected packages: a, b, c", "installing 3 packages"),
    ],
)
def test_the_installation_says_what_it_does(line, said):
    assert start._said(line) == said
