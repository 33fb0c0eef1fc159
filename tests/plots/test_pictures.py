"""Sheets of pictures."""

import statistics
import types

import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_vae import plots
from keras_vae.plots import _figures
from tests.support.plots import SIZE, FakeCodes, FakeModel, labelled, random_images, sheet, ticks

pytestmark = pytest.mark.once


pytest.importorskip("matplotlib")


def tile(figure, row, column):
    """Tile of a sheet with gaps of one pixel."""
    top, left = (1 + i * (SIZE + 1) for i in (row, column))
    return sheet(figure)[top : top + SIZE, left : left + SIZE]


def codes_of(figure, row, column, latent_dim=2):
    return tile(figure, row, column).ravel()[:latent_dim] * 6 - 3


def test_grid_holds_every_image_exactly_and_grey_between():
    images = random_images(7)
    figure = plots.image_grid(images, columns=3)
    assert isinstance(figure, Figure)
    assert sheet(figure).shape == (3 * 5 + 1, 3 * 5 + 1)
    rest = sheet(figure).copy()
    for i in range(7):
        row, column = divmod(i, 3)
        np.testing.assert_array_equal(tile(figure, row, column), images[i, ..., 0])
        rest[1 + 5 * row : 5 + 5 * row, 1 + 5 * column : 5 + 5 * column] = _figures.GAP_GREY
    assert (rest == np.float32(_figures.GAP_GREY)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_clips(channels):
    images = random_images(4, channels) * 3 - 1
    pixels = sheet(plots.image_grid(images)).reshape(11, 11, channels)
    for i, (row, column) in enumerate([(1, 1), (1, 6), (6, 1), (6, 6)]):
        cut = pixels[row : row + 4, column : column + 4]
        np.testing.assert_array_equal(cut, np.clip(images[i], 0, 1))


def test_grid_grey_scale_is_absolute():
    figure = plots.image_grid(np.full((1, 4, 4, 1), 0.5))
    picture = figure.axes[0].images[0]
    assert picture.get_clim() == (0, 1)
    assert picture.get_interpolation() == "nearest"
    np.testing.assert_allclose(
        picture.to_rgba(picture.get_array())[2, 2], [0.5, 0.5, 0.5, 1], atol=3e-3
    )


@pytest.mark.parametrize(
    "n, rows, columns", [(1, 1, 1), (5, 2, 3), (9, 3, 3), (10, 3, 4), (64, 8, 8)]
)
def test_grid_is_near_square(n, rows, columns):
    figure = plots.image_grid(random_images(n))
    assert sheet(figure).shape == (rows * 5 + 1, columns * 5 + 1)


def test_grid_labels():
    figure = plots.image_grid(
        random_images(6),
        columns=3,
        title="six",
        row_labels=["a", "b"],
        column_labels=[1, 2, 3],
    )
    axes = figure.axes[0]
    assert axes.get_title() == "six"
    assert ticks(figure) == (["a", "b"], ["1", "2", "3"])
    # The label is level with the middle of its tile: pixels 1 to 4, then 6 to 9.
    np.testing.assert_array_equal(axes.get_yticks(), [2.5, 7.5])
    np.testing.assert_array_equal(axes.get_xticks(), [2.5, 7.5, 12.5])


def test_reconstructions_are_below_their_data():
    x = random_images(12)
    figure = plots.reconstructions(FakeModel(), x)
    assert ticks(figure) == (["data", "model"], [])
    assert sheet(figure).shape == (2 * 5 + 1, 10 * 5 + 1)
    for i in range(10):
        np.testing.assert_array_equal(tile(figure, 0, i), x[i, ..., 0])
        np.testing.assert_array_equal(tile(figure, 1, i), 1 - x[i, ..., 0])


def test_reconstructions_wrap_into_even_bands():
    x = random_images(20, seed=1)
    figure = plots.reconstructions(FakeModel(), x[:13], n=20)
    pixels = sheet(figure)
    assert ticks(figure)[0] == ["data", "model"] * 2
    assert pixels.shape[1] == 7 * 5 + 1
    second = 1 + 2 * SIZE + 1 + 5  # gap, two rows, the gap between them, the wide gap
    assert (pixels[second - 5 : second] == np.float32(_figures.GAP_GREY)).all()
    for i in range(6):
        left = 1 + 5 * i
        np.testing.assert_array_equal(
            pixels[second : second + 4, left : left + 4], x[7 + i, ..., 0]
        )
        np.testing.assert_array_equal(
            pixels[second + 5 : second + 9, left : left + 4], 1 - x[7 + i, ..., 0]
        )
    assert (pixels[second:, 1 + 5 * 6 :] == np.float32(_figures.GAP_GREY)).all()


def test_reconstructions_condition():
    model = FakeModel(condition=labelled())
    plots.reconstructions(model, random_images(5), condition=np.arange(5), n=3)
    plots.reconstructions(model, random_images(5), condition=7, n=3)
    (each,), (shared,) = model.called("reconstruct")
    assert each.tolist() == [0, 1, 2]
    assert shared.tolist() == [7, 7, 7]


def test_code_maps_are_between_the_data_and_the_model():
    model, x = FakeCodes(), random_images(3)
    figure = plots.code_maps(model, x, n=2)
    assert ticks(figure) == (["data", "codes", "model"], [])
    codes = model.encode(x)
    for i in range(2):
        np.testing.assert_array_equal(tile(figure, 0, i), np.repeat(x[i], 3, axis=-1))
        decoded = np.repeat(model.decode(codes)[i], 3, axis=-1)
        np.testing.assert_array_equal(tile(figure, 2, i), decoded)
        # Vectors on a line: their colours are ranks along it, the same for equal codes.
        colours = tile(figure, 1, i)[::2, ::2]
        ranks = np.unique(colours[..., 0] * 4)
        np.testing.assert_allclose(ranks, ranks.round(), atol=1e-6)
        assert len(np.unique(colours.reshape(-1, 3), axis=0)) == len(np.unique(codes[i]))
        line = colours[..., 0] * 4
        assert (line == codes[i]).all() or (line == 4 - codes[i]).all()
        np.testing.assert_array_equal(tile(figure, 1, i)[1::2, 1::2], colours)


def test_samples():
    model = FakeModel()
    figure = plots.samples(model, n=6, seed=3)
    assert model.called("sample") == [(6, None, 3)]
    expected = FakeModel().sample(6, seed=3)
    for i in range(6):
        np.testing.assert_array_equal(tile(figure, *divmod(i, 3)), expected[i, ..., 0])


def test_samples_of_a_conditional_model_have_a_row_for_each_label():
    model = FakeModel(condition=labelled(3))
    figure = plots.samples(model, n=10)
    assert ticks(figure) == (["0", "1", "2"], [])
    assert sheet(figure).shape == (3 * 5 + 1, 4 * 5 + 1)
    for row in range(3):
        for column in range(4):
            assert tile(figure, row, column)[-1, -1] == np.float32(row / 10)
    model.condition.names = ("cat", "dog", "owl")
    assert ticks(plots.samples(model, n=3))[0] == ["cat", "dog", "owl"]


def test_samples_with_a_condition():
    model = FakeModel(condition=labelled(3))
    plots.samples(model, n=4, condition=2)
    vectors = FakeModel(condition=types.SimpleNamespace(num_classes=None))
    plots.samples(vectors, n=4, condition=[0.1, 0.2])
    assert model.called("sample")[0][1].tolist() == [2, 2, 2, 2]
    np.testing.assert_array_equal(vectors.called("sample")[0][1], [[0.1, 0.2]] * 4)


def test_manifold_decodes_normal_quantiles():
    model = FakeModel()
    figure = plots.manifold(model, n=5)
    quantiles = [statistics.NormalDist().inv_cdf(p) for p in (0.02, 0.26, 0.5, 0.74, 0.98)]
    ((codes, _),) = model.called("decode")
    np.testing.assert_allclose(codes.reshape(5, 5, 2)[..., 0], [quantiles] * 5, atol=1e-6)
    np.testing.assert_allclose(codes.reshape(5, 5, 2)[..., 1].T, [quantiles[::-1]] * 5, atol=1e-6)
    # The picture itself: z_1 grows to the right, z_2 upwards.
    for row in range(5):
        for column in range(5):
            np.testing.assert_allclose(
                codes_of(figure, row, column),
                (quantiles[column], quantiles[4 - row]),
                atol=1e-5,
            )
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    rows, columns = ticks(figure)
    assert columns == ["-2.1", "-0.6", "0.0", "0.6", "2.1"] == rows[::-1]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first row of labels is on top


def test_manifold_extent_and_condition():
    model = FakeModel(condition=labelled())
    figure = plots.manifold(model, n=3, extent=2.0, condition=4)
    for row in range(3):
        for column in range(3):
            np.testing.assert_allclose(
                codes_of(figure, row, column),
                ((-2, 0, 2)[column], (2, 0, -2)[row]),
                atol=1e-6,
            )
    assert model.called("decode")[0][1].tolist() == [4] * 9


@pytest.mark.parametrize("extent", ["quantile", 2.0])
def test_manifold_of_one_is_the_centre(extent):
    np.testing.assert_allclose(
        codes_of(plots.manifold(FakeModel(), n=1, extent=extent), 0, 0), 0, atol=1e-6
    )


def test_manifold_labels_are_symmetric_and_few():
    rows, columns = ticks(plots.manifold(FakeModel(), n=20))
    shown = [bool(text) for text in columns]
    assert sum(shown) == 8 and shown == shown[::-1] and shown[0]
    assert rows == columns[::-1]
    # The codes beside 0 round to it, from below and from above.
    assert ticks(plots.manifold(FakeModel(), n=50))[1][24:26] == ["0.0", "0.0"]


def test_interpolation_strips():
    x_a, x_b = random_images(2, seed=1), random_images(2, seed=2)
    model = FakeModel()
    figure = plots.interpolation(model, x_a, x_b, steps=3)
    assert ticks(figure) == ([], ["data", "0%", "50%", "100%", "data"])
    between = model.interpolate(x_a, x_b, steps=3)
    pixels = sheet(figure)
    # Wide gaps of 5 pixels after the first and before the last tile.
    lefts = [1, 10, 15, 20, 29]
    assert pixels.shape == (11, 34)
    for row in range(2):
        strip = [x_a[row], *between[row], x_b[row]]
        for left, wanted in zip(lefts, strip):
            cut = pixels[1 + 5 * row : 5 + 5 * row, left : left + 4]
            np.testing.assert_allclose(cut, wanted[..., 0], atol=1e-6)


def test_traversal_from_zero():
    model = FakeModel(latent_dim=3)
    figure = plots.traversal(model)
    rows, columns = ticks(figure)
    assert rows == ["z[0]", "z[1]", "z[2]"]
    assert columns == ["-3", "-2.25", "-1.5", "-0.75", "0", "0.75", "1.5", "2.25", "3"]
    for row in range(3):
        for column, value in enumerate(np.linspace(-3, 3, 9)):
            expected = np.zeros(3)
            expected[row] = value
            np.testing.assert_allclose(codes_of(figure, row, column, 3), expected, atol=1e-6)


def test_traversal_from_the_first_image():
    model = FakeModel(latent_dim=4, condition=labelled())
    x = random_images(3)
    figure = plots.traversal(model, x, dims=[3, 1], values=[-1, 2], condition=[5, 6, 7])
    assert ticks(figure) == (["z[3]", "z[1]"], ["-1", "2"])
    for row, dim in enumerate((3, 1)):
        for column, value in enumerate((-1, 2)):
            expected = FakeModel(latent_dim=4).encode(x)[0]
            expected[dim] = value
            np.testing.assert_allclose(codes_of(figure, row, column, 4), expected, atol=1e-5)
    for start, _, _, condition in model.called("traverse"):
        np.testing.assert_array_equal(start, x[:1])
        assert condition.tolist() == [5]


def test_traversal_defaults_to_ten_dimensions_and_shares_a_condition():
    model = FakeModel(latent_dim=12, condition=labelled())
    figure = plots.traversal(model, values=[0, 1], condition=3)
    assert len(ticks(figure)[0]) == 10
    assert model.called("decode")[0][1].tolist() == [3] * 20
