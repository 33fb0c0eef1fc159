"""Sheets of edits: the tiles are what a model whose edits are known makes."""

import numpy as np
import pytest

from keras_vae import conditions, plots
from keras_vae.plots import _figures
from tests.support.plots import SIZE, FakeModel, random_images, sheet, ticks

pytestmark = pytest.mark.once

pytest.importorskip("matplotlib")

NAMES = ("Smiling", "Wearing_Hat")


class Painter(FakeModel):
    """Switching attribute k adds strength · (y' - y) · (k + 1) / 10 to every pixel."""

    def __init__(self):
        super().__init__(condition=conditions.Attributes(2, NAMES))

    def edit(self, x, condition=None, *, strength=1.0, keep="decoded", **changes):
        ((name, value),) = changes.items()
        k = NAMES.index(name)
        own = 0.0 if condition is None else condition[:, k]
        shift = strength * (k + 1) / 10 * (np.broadcast_to(value, len(x)) - own)
        plain = x if keep == "picture" else self.reconstruct(x)
        return plain + shift[:, None, None, None].astype("float32")


@pytest.fixture
def x():
    return 0.4 + 0.2 * random_images(2)


Y = np.array([[0, 1], [1, 0]], "float32")
# What a switched attribute adds to an image of Y.
SHIFTS = np.array([[0.1, -0.2], [-0.1, 0.2]])


def starts(breaks, count):
    """First pixel of each tile: gaps of one pixel, of five before the breaks."""
    return [i * SIZE + sum(5 if j in breaks else 1 for j in range(i + 1)) for i in range(count)]


def tile(figure, row, column, row_breaks=(), column_breaks=()):
    top, left = starts(row_breaks, row + 1)[-1], starts(column_breaks, column + 1)[-1]
    return sheet(figure)[top : top + SIZE, left : left + SIZE]


def test_attributes_are_added_one_at_a_time():
    model, x = FakeModel(), random_images(2)
    figure = plots.attributes(model, x, ["Smiling", "Wearing_Hat"])
    np.testing.assert_allclose(tile(figure, 1, 0), 1 - x[1, ..., 0], atol=1e-6)
    assert model.called("edit") == [(None, {"Smiling": 1.0}), (None, {"Wearing_Hat": 1.0})]


def test_attributes_with_a_condition_are_switched(x):
    figure = plots.attributes(Painter(), x, NAMES, Y)
    assert ticks(figure) == ([], ["as it is", "Smiling", "Wearing\nHat"])
    for i in range(2):
        for k in range(2):
            expected = 1 - x[i, ..., 0] + SHIFTS[i, k]
            np.testing.assert_allclose(tile(figure, i, 1 + k, (), (1,)), expected, atol=1e-6)


@pytest.mark.parametrize("keep", ["decoded", "picture"])
@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_edits_show_before_after_and_the_change(x, strength, keep):
    figure = plots.edits(Painter(), x, NAMES, Y, strength=strength, keep=keep)
    assert ticks(figure)[0] == ["edit", "change"] * 2
    before = x if keep == "picture" else 1 - x
    for i in range(2):
        np.testing.assert_allclose(tile(figure, 2 * i, 0, (2,), (1,)), before[i, ..., 0], atol=1e-6)
        assert (tile(figure, 2 * i + 1, 0, (2,), (1,)) == np.float32(_figures.GAP_GREY)).all()
        for k in range(2):
            shift = strength * SHIFTS[i, k]
            after = np.clip(before[i, ..., 0] + shift, 0, 1)
            shown = tile(figure, 2 * i, 1 + k, (2,), (1,))
            np.testing.assert_allclose(shown, after, atol=1e-6)
            # Mid-grey is no change.
            change = tile(figure, 2 * i + 1, 1 + k, (2,), (1,))
            np.testing.assert_allclose(change, 0.5 + shift, atol=1e-6)


def test_a_change_beyond_the_greys_is_clipped(x):
    figure = plots.edits(Painter(), x, ["Wearing_Hat"], Y, strength=4)
    np.testing.assert_array_equal(tile(figure, 1, 1, (2,), (1,)), np.zeros((SIZE, SIZE)))
    np.testing.assert_array_equal(tile(figure, 3, 1, (2,), (1,)), np.ones((SIZE, SIZE)))


@pytest.mark.parametrize("keep", ["decoded", "picture"])
def test_strengths_go_from_the_unchanged_picture_on(x, keep):
    values = (0, 0.5, 1.5)
    figure = plots.strengths(Painter(), x, NAMES, Y, values, keep=keep)
    assert ticks(figure) == (["Smiling", "Wearing Hat"], ["0", "0.5", "1.5"] * 2)
    before = x if keep == "picture" else 1 - x
    for k in range(2):
        for i in range(2):
            for j, value in enumerate(values):
                shown = tile(figure, k, 3 * i + j, (), (3,))
                expected = np.clip(before[i, ..., 0] + value * SHIFTS[i, k], 0, 1)
                np.testing.assert_allclose(shown, expected, atol=1e-6)


def test_strengths_along_directions_of_a_model_without_a_condition(x):
    model = Painter()
    figure = plots.strengths(model, x[:1], ["Wearing_Hat"])
    assert ticks(figure)[1] == ["0", "0.5", "1", "1.5", "2"]
    for j, value in enumerate((0, 0.5, 1, 1.5, 2)):
        expected = np.clip(1 - x[0, ..., 0] + 0.2 * value, 0, 1)
        np.testing.assert_allclose(tile(figure, 0, j), expected, atol=1e-6)


def test_one_condition_serves_all_and_unknown_names_are_refused(x):
    figure = plots.edits(Painter(), x, ["Smiling"], Y[0], difference=False)
    for i in range(2):
        shown = tile(figure, i, 1, (), (1,))
        np.testing.assert_allclose(shown, 1 - x[i, ..., 0] + 0.1, atol=1e-6)
    with pytest.raises(ValueError, match="Did you mean 'Smiling'"):
        plots.edits(Painter(), x, ["Smilling"], Y)
