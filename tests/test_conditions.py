"""Labels and attributes as conditions."""

import numpy as np
import pytest

from keras_vae import (
    conditions,
)
from tests.support import array


class TestConditions:
    def test_labels_become_one_hot(self):
        labels = conditions.Labels(3)
        encoded = array(labels.encode(labels.check([2, 0], 2)))
        np.testing.assert_array_equal(encoded, [[0, 0, 1], [1, 0, 0]])
        np.testing.assert_array_equal(labels.check(1, 3), [1, 1, 1])
        np.testing.assert_array_equal(labels.check([[2.0], [1.0]], 2), [2, 1])

    @pytest.mark.parametrize(
        "y, message",
        [
            ([0, 3], "from 0 to 2.*from 0 to 3"),
            ([-1, 0], "from -1 to 0"),
            ([0.5, 1.0], "integer labels"),
            ([0, 1, 2], r"2 integer labels.*\(3,\)"),
            (["a", "b"], "integer labels"),
        ],
    )
    def test_bad_labels_are_refused(self, y, message):
        with pytest.raises(ValueError, match=message):
            conditions.Labels(3).check(y, 2)

    @pytest.mark.parametrize(
        "y, message",
        [
            (np.zeros((2, 3)), r"\(2, 2\).*\(2, 3\)"),
            (np.full((2, 2), np.nan), "finite.*4 NaN"),
        ],
    )
    def test_bad_attributes_are_refused(self, y, message):
        with pytest.raises(ValueError, match=message):
            conditions.Attributes(2).check(y, 2)

    def test_names_are_found_and_near_ones_suggested(self):
        faces = conditions.Attributes(3, ("Smiling", "Male", "Eyeglasses"))
        assert faces.index("Male") == 1
        with pytest.raises(ValueError, match="Did you mean 'Smiling'"):
            faces.index("smilling")
        with pytest.raises(ValueError, match="have no names"):
            conditions.Attributes(3).index("Male")
        with pytest.raises(ValueError, match="Expected 3 condition names.*2"):
            conditions.Attributes(3, ("a", "b"))
