"""`edit`: how strong a change is, and what is kept of the picture."""

import numpy as np
import pytest

from keras_vae import models
from tests.support import SHAPE, make_images

NAMES = ("Big", "Red")


@pytest.fixture
def faces(rng):
    return make_images(rng, 7), rng.random((7, 2)).astype("float32")


def conditional(**options):
    return models.cvae(
        SHAPE, 2, units=(8,), condition_dim=2, condition_names=NAMES, seed=0, **options
    )


def directed(faces):
    x, y = faces
    plain = models.vae(SHAPE, 3, units=(8,), likelihood="normal", seed=0)
    return plain.with_directions(x, np.float32(y > np.median(y, axis=0)), NAMES)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
class TestStrength:
    def test_of_a_condition_it_scales_the_change(self, faces, strength):
        model, (x, y) = conditional(), faces
        asked = np.linspace(0, 1, 7)
        changed = y.copy()
        changed[:, 1] += strength * (asked - y[:, 1])
        expected = model.decode(model.encode(x, y), changed)
        found = model.edit(x, y, Red=asked, strength=strength)
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_of_directions_it_scales_the_step(self, faces, strength):
        model, x = directed(faces), faces[0]
        step = -1.5 * model.directions.vector("Big") + 0.5 * model.directions.vector("Red")
        expected = model.decode(model.encode(x) + strength * step)
        found = model.edit(x, Big=-1.5, Red=0.5, strength=strength)
        np.testing.assert_allclose(found, expected, atol=1e-5)


class TestPicture:
    def test_the_change_is_added_to_the_picture_and_clipped(self, faces):
        model, (x, y) = conditional(), faces
        y_new = y.copy()
        y_new[:, 0] = y[:, 0] + 3.0 * (1 - y[:, 0])
        z = model.encode(x, y)
        change = model.decode(z, y_new) - model.decode(z, y)
        assert np.abs(change).max() > 1e-3
        assert (x + change < 0).any() or (x + change > 1).any()
        found = model.edit(x, y, Big=1, strength=3.0, keep="picture")
        np.testing.assert_allclose(found, np.clip(x + change, 0, 1), atol=1e-6)
        assert found.dtype == np.float32

    def test_without_a_change_it_is_the_picture_itself(self, faces):
        model, (x, y) = conditional(), faces
        np.testing.assert_array_equal(model.edit(x, y, keep="picture"), x)
        np.testing.assert_array_equal(model.edit(x, y, Red=1, strength=0, keep="picture"), x)
        assert np.abs(model.edit(x, y) - x).max() > 0.05

    def test_along_directions(self, faces):
        model, x = directed(faces), faces[0]
        z = model.encode(x)
        change = model.decode(z + model.directions.vector("Red")) - model.decode(z)
        found = model.edit(x, Red=1, keep="picture")
        np.testing.assert_allclose(found, np.clip(x + change, 0, 1), atol=1e-5)

    def test_missing_values_are_decoded(self, faces):
        x, y = faces
        model = models.miwae(SHAPE, 3, units=(8,), seed=0)
        model = model.with_directions(x, np.float32(y > np.median(y, axis=0)), NAMES)
        holes = np.random.default_rng(1).random(x.shape) < 0.3
        x = models.mark_missing(x, holes)
        found = model.edit(x, Red=1, keep="picture")
        np.testing.assert_array_equal(found[holes], model.edit(x, Red=1)[holes])
        assert np.isfinite(found).all()


@pytest.mark.parametrize(
    "options, match",
    [
        ({"strength": -1}, "`strength` must be at least 0 and finite. Received: strength=-1"),
        ({"strength": float("nan")}, "at least 0 and finite. Received: strength=nan"),
        ({"strength": [1, 2]}, r"one number for all examples.* Received: strength=\[1, 2\]"),
        ({"strength": True}, "one number for all examples"),
        ({"keep": "face"}, r"`keep` must be one of \('decoded', 'picture'\). Received: keep='face"),
    ],
)
def test_wrong_values_are_refused(faces, options, match):
    x, y = faces
    with pytest.raises(ValueError, match=match):
        conditional().edit(x, y, Red=1, **options)
