"""The digits of the demo."""

import numpy as np
import pytest

from keras_vae import datasets
from tools.demo import digits

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
