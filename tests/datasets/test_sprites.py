"""Drawn sprites: what each factor does, and which pictures a split has."""

import numpy as np
import pytest

from keras_vae.datasets import sprites

pytestmark = pytest.mark.once


def drawn(shape=0, scale=5, orientation=0, x=16, y=16):
    return sprites.draw(np.array([[shape, scale, orientation, x, y]]))[0, :, :, 0]


def centre(picture):
    """Row and column of the middle of what is white."""
    return np.argwhere(picture).mean(axis=0)


def test_a_square_is_a_square():
    picture = drawn()
    # 2 × 9.25 pixels wide about the pixel (32, 32): 19 whole ones.
    expected = np.zeros((64, 64))
    expected[23:42, 23:42] = 1
    np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize("shape", range(3))
def test_positions_move_by_whole_pixels_and_never_cut(shape):
    areas = set()
    start = drawn(shape, 5, 3, 0, 0)
    for x, y in ((0, 31), (31, 0), (31, 31), (7, 20)):
        moved = drawn(shape, 5, 3, x, y)
        np.testing.assert_array_equal(moved, np.roll(start, (y, x), axis=(0, 1)))
        areas.add(moved.sum())
    assert areas == {start.sum()}


@pytest.mark.parametrize("shape", range(3))
def test_sizes_grow_with_the_square_of_the_scale(shape):
    areas = [drawn(shape, scale).sum() for scale in range(6)]
    assert (np.diff(areas) > 0).all()
    np.testing.assert_allclose(areas[0] / areas[5], 0.25, rtol=0.15)


def test_areas_are_those_of_the_formulas():
    ellipse = np.mean([drawn(1, 5, k).sum() for k in range(40)])
    assert ellipse == pytest.approx(np.pi * 12.2 * 7.2, rel=0.02)
    assert drawn(0, 5, 3).sum() == pytest.approx(18.5**2, rel=0.05)


def test_a_quarter_turn_is_counterclockwise():
    heart = drawn(2, 5, 0)
    np.testing.assert_array_equal(drawn(2, 5, 10)[16:49, 16:49], np.rot90(heart[16:49, 16:49]))
    # The tip is below: nothing that wide is there.
    assert heart[:32].sum() > heart[33:].sum()
    assert heart[42].sum() <= 1 < heart[26].sum()


def test_symmetries_are_those_of_the_shapes():
    for shape, period in ((0, 10), (1, 20)):
        np.testing.assert_array_equal(drawn(shape, 5, 3), drawn(shape, 5, 3 + period))
    assert (drawn(2, 5, 3) != drawn(2, 5, 23)).any()
    each = sprites._masks().reshape(720, -1)
    # Four and two orientations look alike; only small hearts meet besides.
    assert 410 <= len(np.unique(each, axis=0)) <= 420


def test_pictures_are_0_and_1_and_every_row_its_own():
    factors = sprites.classes(sprites.rows("train", 50))
    pictures = sprites.draw(factors, "uint8")
    assert pictures.shape == (50, 64, 64, 1) and pictures.dtype == np.uint8
    assert set(np.unique(pictures)) == {0, 1}
    for row, picture in zip(factors, pictures):
        np.testing.assert_array_equal(picture[..., 0], drawn(*row))
        assert np.abs(centre(picture[..., 0]) - [16 + row[4], 16 + row[3]]).max() < 3


def test_splits_share_nothing_and_are_all():
    parts = {split: sprites.rows(split) for split in ("train", "validation", "test")}
    assert {k: len(v) for k, v in parts.items()} == {
        "train": 50_000,
        "validation": 10_000,
        "test": 10_000,
    }
    whole = sprites.rows("train", sprites.TOTAL)
    np.testing.assert_array_equal(whole[:50_000], parts["train"])
    everything = np.concatenate([whole, parts["validation"], parts["test"]])
    assert np.array_equal(np.sort(everything), np.arange(sprites.TOTAL))
    np.testing.assert_array_equal(sprites.rows("test", 7), parts["test"][:7])


def test_numbers_and_factors_are_one_to_one():
    every = sprites.classes(np.arange(sprites.TOTAL))
    assert every[0].tolist() == [0] * 5 and every[-1].tolist() == [2, 5, 39, 31, 31]
    assert every[1].tolist() == [0, 0, 0, 0, 1]
    assert [len(sprites.VALUES[name]) for name in sprites.NAMES] == list(sprites.SIZES)


def test_a_split_is_roughly_balanced():
    _, y = sprites.load("test", "uint8")
    for column, size in zip(y.T, sprites.SIZES):
        share = np.bincount(column, minlength=size) / len(y)
        np.testing.assert_allclose(share, 1 / size, atol=0.015)


@pytest.mark.parametrize(
    "factors, message",
    [
        (np.zeros((2, 4), int), r"integers \(n, 5\).*Received: shape \(2, 4\)"),
        (np.zeros((2, 5)), "Received: shape .*float64"),
        (np.array([[0, 0, 40, 0, 0]]), r"Received: \(0, 0, 40, 0, 0\)"),
        (np.array([[0, -1, 0, 0, 0]]), r"Received: \(0, -1, 0, 0, 0\)"),
    ],
)
def test_what_are_no_factors_is_refused(factors, message):
    with pytest.raises(ValueError, match=message):
        sprites.draw(factors)
