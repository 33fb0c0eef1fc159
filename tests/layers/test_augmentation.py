"""Differentiable augmentation: what each policy does, its gradient, one draw for two batches."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import layers
from tests.support import array, tensor
from tests.support.autodiff import gradient


def augmented(policy, x, amounts, **options):
    layer = layers.DifferentiableAugmentation(policy, **options)
    amounts = np.broadcast_to(np.float32(amounts), (len(x), 7)).reshape(-1, 1, 1, 7)
    return array(layer.augmented(tensor(x), tensor(amounts)))


@pytest.fixture
def pictures(rng):
    return rng.random((4, 8, 6, 3)).astype("float32")


class TestValues:
    def test_brightness_moves_by_up_to_a_quarter_of_the_range(self, pictures):
        found = augmented("brightness", pictures, [1.0, 0, 0, 0, 0, 0, 0])
        np.testing.assert_allclose(found, pictures + 0.25, atol=1e-6)
        found = augmented("brightness", pictures, 0.0, data_range=(-1, 1))
        np.testing.assert_allclose(found, pictures - 0.5, atol=1e-6)

    @pytest.mark.parametrize("amount, factor", [(0.0, 0.0), (0.5, 1.0), (0.75, 1.5)])
    def test_saturation_scales_the_distance_from_grey(self, pictures, amount, factor):
        grey = pictures.mean(-1, keepdims=True)
        found = augmented("saturation", pictures, [0, amount, 0, 0, 0, 0, 0])
        np.testing.assert_allclose(found, grey + factor * (pictures - grey), atol=1e-6)

    @pytest.mark.parametrize("amount, factor", [(0.0, 0.5), (0.5, 1.0), (0.75, 1.25)])
    def test_contrast_scales_the_distance_from_the_mean(self, pictures, amount, factor):
        mean = pictures.mean((1, 2, 3), keepdims=True)
        found = augmented("contrast", pictures, [0, 0, amount, 0, 0, 0, 0])
        np.testing.assert_allclose(found, mean + factor * (pictures - mean), atol=1e-6)

    @pytest.mark.parametrize("down, right", [(-2, 0), (-1, 1), (0, 0), (2, -2)])
    def test_translation_moves_pixels_and_uncovers_the_middle(self, pictures, down, right):
        amounts = np.zeros(7)
        # 0.25 of 8 and of 6 pixels are at most 2.
        amounts[3:5] = (np.array([down, right]) + 2.5) / 5
        found = augmented("translation", pictures, amounts, translation=0.25)
        expected = np.full((4, 8 + 4, 6 + 4, 3), 0.5, "float32")
        expected[:, 2 + down : 10 + down, 2 + right : 8 + right] = pictures
        np.testing.assert_allclose(found, expected[:, 2:10, 2:8], atol=1e-7)

    def test_cutout_is_a_rectangle_of_half_the_side_or_what_is_inside(self, pictures):
        def holes(amount):
            found = augmented("cutout", pictures, amount)
            hole = np.isclose(found, 0.5).all(-1)
            np.testing.assert_allclose(found[~hole], pictures[~hole], atol=1e-7)
            return hole[0]

        inside = holes(0.5)
        assert inside.sum() == 4 * 3 and inside[2:6].any(1).all() and not inside[:2].any()
        corner = holes(0.0)
        assert corner[:2, :2].all() and corner.sum() == 4

    def test_amounts_are_of_each_picture(self, pictures):
        amounts = np.zeros((4, 7), "float32")
        amounts[:, 0] = [0.0, 0.5, 1.0, 0.25]
        found = augmented("brightness", pictures, amounts)
        moved = (found - pictures).mean((1, 2, 3))
        np.testing.assert_allclose(moved, [-0.25, 0.0, 0.25, -0.125], atol=1e-6)


@pytest.mark.turns
class TestLayer:
    def test_two_batches_share_one_draw(self, pictures):
        layer = layers.DifferentiableAugmentation(seed=3)
        real, copy = layer([tensor(pictures), tensor(pictures)], training=True)
        np.testing.assert_array_equal(array(real), array(copy))
        other = layer(tensor(pictures), training=True)
        assert np.abs(array(other) - array(real)).max() > 0.01
        assert np.abs(array(real) - pictures).max() > 0.01

    def test_seeds_and_a_batch_of_one(self, pictures):
        first, second, third = (
            array(layers.DifferentiableAugmentation(seed=s)(tensor(pictures[:1]), training=True))
            for s in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, second)
        assert np.abs(first - third).max() > 1e-4 and first.shape == (1, 8, 6, 3)

    def test_without_training_it_is_the_identity(self, pictures):
        found = layers.DifferentiableAugmentation()(tensor(pictures))
        np.testing.assert_array_equal(array(found), pictures)

    @pytest.mark.parametrize("policy", ["colour", "translation", "cutout", "color,cutout"])
    def test_gradient_is_that_of_finite_differences(self, policy, rng):
        x = rng.random((2, 4, 4, 3)).astype("float32")
        layer = layers.DifferentiableAugmentation(policy, translation=0.25, seed=0)
        amounts = tensor(rng.random((2, 1, 1, 7)))
        weights = rng.normal(size=x.shape).astype("float32")

        def loss(pictures):
            return ops.sum(layer.augmented(pictures, amounts) * tensor(weights))

        found = gradient(loss, x)
        for place in [(0, 0, 0, 0), (0, 2, 1, 1), (1, 3, 3, 2), (1, 1, 2, 0)]:
            step = np.zeros_like(x)
            # It is linear in the pictures, so that a large step has no error of its own.
            step[place] = 1.0
            slope = array(loss(tensor(x + step))) - array(loss(tensor(x - step)))
            np.testing.assert_allclose(found[place], slope / 2, atol=1e-4)
        assert np.abs(found).max() > 0.1

    def test_it_is_saved(self, pictures, tmp_path):
        layer = layers.DifferentiableAugmentation("translation, color", (-1, 1), 0.2, 0.3, seed=5)
        again = type(layer).from_config(layer.get_config())
        assert again.policy == ("brightness", "saturation", "contrast", "translation")
        assert again.get_config() == {**layer.get_config(), "name": again.name}
        inputs = keras.Input((8, 6, 3))
        model = keras.Model(inputs, layer(inputs))
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(array(loaded(tensor(pictures))), pictures)
        found = (array(m(tensor(pictures), training=True)) for m in (model, loaded))
        np.testing.assert_array_equal(*found)

    @pytest.mark.parametrize(
        "options, match",
        [
            ({"policy": "colour,blur"}, "some of brightness, .* Received: policy='colour,blur'"),
            ({"data_range": (1, 0)}, r"two finite numbers in that order. .*\(1, 0\)"),
            ({"translation": 1.0}, "below 1. Received: translation=1.0"),
            ({"cutout": -0.1}, "Received: cutout=-0.1"),
        ],
    )
    def test_wrong_values_are_refused(self, options, match):
        with pytest.raises(ValueError, match=match):
            layers.DifferentiableAugmentation(**options)
