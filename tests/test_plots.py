"""Figures: what they show is compared with what they were given, number by number."""

import pathlib
import pickle
import statistics
import subprocess
import sys
import types

import numpy as np
import pytest

from keras_vae import plots
from keras_vae.plots import _figures, charts

pytest.importorskip("matplotlib")
from matplotlib import colormaps, image  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.colors import to_hex, to_rgba  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

SIZE = 4

pytestmark = pytest.mark.once


class FakeModel:
    """The first pixels hold the code, as (z + 3) / 6, the last one the condition."""

    def __init__(self, latent_dim=2, condition=None):
        self.latent_dim = latent_dim
        self.condition = condition
        self.takes_labels = getattr(condition, "num_classes", None) is not None
        self.calls = []

    def encode(self, x, condition=None, batch_size=None):
        self.calls.append(("encode", condition))
        return x.reshape(len(x), -1)[:, : self.latent_dim] * 6 - 3

    def decode(self, z, condition=None, batch_size=None):
        self.calls.append(("decode", z, condition))
        images = np.zeros((len(z), SIZE * SIZE), "float32")
        images[:, : self.latent_dim] = (z + 3) / 6
        if condition is not None:
            images[:, -1] = np.asarray(condition).reshape(len(z), -1)[:, 0] / 10
        return images.reshape(-1, SIZE, SIZE, 1)

    def reconstruct(self, x, condition=None, batch_size=None):
        self.calls.append(("reconstruct", condition))
        return 1 - x

    def sample(self, n, condition=None, seed=0, batch_size=None):
        self.calls.append(("sample", n, condition, seed))
        return self.decode(
            np.random.default_rng(seed).uniform(-3, 3, (n, self.latent_dim)), condition
        )

    def interpolate(self, x_a, x_b, steps=8, condition=None, batch_size=None):
        self.calls.append(("interpolate", condition))
        shares = np.linspace(0, 1, steps)[:, None]
        codes = [(1 - shares) * a + shares * b for a, b in zip(self.encode(x_a), self.encode(x_b))]
        return np.stack([self.decode(z) for z in codes])

    def traverse(self, x, dim, values, condition=None, batch_size=None):
        self.calls.append(("traverse", x, dim, values, condition))
        codes = np.repeat(self.encode(x)[:, None], len(values), axis=1)
        codes[:, :, dim] = values
        return np.stack([self.decode(z) for z in codes])

    def edit(self, x, condition=None, **changes):
        self.calls.append(("edit", condition, changes))
        return self.reconstruct(x) * 0.5

    def called(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


class FakeCodes:
    """Codes 2 × 2: each the quarter's first pixel, of 5 grey levels."""

    codebook = np.arange(10.0).reshape(5, 2)

    def encode(self, x, condition=None, batch_size=None):
        return (x[:, ::2, ::2, 0] * 4).astype("int32")

    def decode(self, z, condition=None, batch_size=None):
        return np.repeat(np.repeat(z[..., None] / 4, 2, axis=1), 2, axis=2).astype("float32")


def labelled(classes=10):
    return types.SimpleNamespace(num_classes=classes, dim=classes, names=None)


def random_images(n, channels=1, seed=0, size=SIZE):
    return np.random.default_rng(seed).random((n, size, size, channels), dtype="float32")


def sheet(figure):
    (axes,) = figure.axes
    (picture,) = axes.images
    return np.asarray(picture.get_array())


def tile(figure, row, column):
    """Tile of a sheet with gaps of one pixel."""
    top, left = (1 + i * (SIZE + 1) for i in (row, column))
    return sheet(figure)[top : top + SIZE, left : left + SIZE]


def codes_of(figure, row, column, latent_dim=2):
    return tile(figure, row, column).ravel()[:latent_dim] * 6 - 3


def texts(tick_labels):
    return [text.get_text() for text in tick_labels]


def ticks(figure):
    (axes,) = figure.axes
    return texts(axes.get_yticklabels()), texts(axes.get_xticklabels())


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


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "n, size, labels", [(7, 4, True), (6, 28, False), (6, 28, True), (3, 50, True)]
)
def test_saved_png_has_whole_pixels(tmp_path, n, size, channels, labels):
    options = (
        {"row_labels": [f"row {i}" for i in range(-(-n // 3))], "title": "Title"} if labels else {}
    )
    figure = plots.image_grid(
        random_images(n, channels, size=size),
        columns=3,
        path=tmp_path / "grid.png",
        **options,
    )
    saved = image.imread(tmp_path / "grid.png")
    total = figure.get_size_inches() * figure.dpi
    assert saved.shape[1::-1] == tuple(total.astype(int))
    wanted = sheet(figure)
    box = figure.axes[0].get_position()
    scale = round(box.width * total[0] / wanted.shape[1])
    top, left = round((1 - box.y1) * total[1]), round(box.x0 * total[0])
    wanted = np.repeat(np.repeat(wanted, scale, 0), scale, 1).reshape(
        -1, wanted.shape[1] * scale, channels
    )
    cut = saved[top : top + wanted.shape[0], left : left + wanted.shape[1], :3]
    np.testing.assert_allclose(cut, np.broadcast_to(wanted, cut.shape), atol=2.1 / 255)


def test_text_stays_inside_the_figure():
    figure = plots.image_grid(
        random_images(4),
        row_labels=["a very long row label", "b"],
        title="a title that is much wider than these two small columns are",
    )
    figure.canvas.draw()
    box = figure.axes[0].get_tightbbox()
    assert 0 <= box.x0 and 0 <= box.y0
    assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_large_sheets_keep_the_figure_readable():
    figure = plots.image_grid(random_images(20, size=256), columns=10)
    assert figure.get_size_inches().max() < 11
    width = figure.axes[0].get_window_extent().width
    assert width == pytest.approx(sheet(figure).shape[1], abs=0.05)


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


def test_scatter_of_two_dimensions_shows_the_codes():
    x, labels = random_images(50), np.arange(50) % 3 + 5
    figure = plots.latent_scatter(FakeModel(), x, labels)
    (axes,) = figure.axes
    (points,) = axes.collections
    np.testing.assert_array_equal(points.get_offsets(), FakeModel().encode(x))
    np.testing.assert_allclose(
        points.get_facecolors()[:, :3], colormaps["tab10"](labels - 5)[:, :3]
    )
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    assert axes.get_aspect() == 1
    (legend,) = figure.legends
    assert texts(legend.get_texts()) == ["5", "6", "7"]
    assert [to_hex(line.get_color()) for line in legend.get_lines()] == [
        to_hex(colormaps["tab10"](i)) for i in range(3)
    ]


def test_scatter_projects_on_principal_components():
    x = random_images(40) * np.linspace(1, 0.1, 16, dtype="float32").reshape(4, 4, 1)
    model = FakeModel(latent_dim=6)
    (axes,) = plots.latent_scatter(model, x, np.zeros(40, int)).axes
    codes = model.encode(x).astype("float64")
    _, singular, directions = np.linalg.svd(codes - codes.mean(0), full_matrices=False)
    expected = (codes - codes.mean(0)) @ directions[:2].T
    points = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-5)
    np.testing.assert_allclose(np.abs((points * expected).sum(0)), (expected**2).sum(0), rtol=1e-5)
    shares = singular[:2] ** 2 / (singular**2).sum()
    assert axes.get_xlabel() == f"principal component 1 ({100 * shares[0]:.1f}% of variance)"
    assert axes.get_ylabel() == f"principal component 2 ({100 * shares[1]:.1f}% of variance)"


def test_scatter_sign_and_single_point():
    codes = np.outer(np.arange(4.0), [1, -2, 0.5]).astype("float32")
    points, shares = charts._principal_components(codes)
    mirrored, _ = charts._principal_components(-codes)
    np.testing.assert_allclose(points, -mirrored, atol=1e-9)  # the same axes for both
    np.testing.assert_allclose(shares, [1, 0], atol=1e-9)
    (axes,) = plots.latent_scatter(FakeModel(latent_dim=5), random_images(1), [3]).axes
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), [[0, 0]])


def test_scatter_names_and_many_classes():
    figure = plots.latent_scatter(
        FakeModel(), random_images(4), [2, 0, 2, 0], class_names=["a", "b", "c"]
    )
    assert texts(figure.legends[0].get_texts()) == ["a", "c"]
    figure = plots.latent_scatter(FakeModel(), random_images(4), ["cat", "dog", "cat", "dog"])
    assert texts(figure.legends[0].get_texts()) == ["cat", "dog"]
    figure = plots.latent_scatter(FakeModel(), random_images(30), np.arange(30))
    assert len({tuple(c) for c in figure.axes[0].collections[0].get_facecolors()}) == 30


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


HISTORY = {
    "kl_loss": [5, 6, 7],
    "beta": [0, 0.5, 1],
    "loss": [9, 8, 7.5],
    "val_loss": [9.5, 8.5, 8.8],
    "reconstruction_loss": [4, 2, 0.5],
    "val_kl_loss": [5, 5, 6],
    "epoch": [0, 1, 2],
}


@pytest.mark.parametrize("history", [HISTORY, types.SimpleNamespace(history=HISTORY)])
def test_training_curves_draw_the_history(history):
    figure = plots.training_curves(history)
    assert [axes.get_title() for axes in figure.axes] == [
        "loss",
        "reconstruction loss",
        "kl loss",
        "beta",
    ]
    assert [axes.get_ylabel() for axes in figure.axes] == ["nats", "nats", "nats", ""]
    for axes, name in zip(figure.axes, ["loss", "reconstruction_loss", "kl_loss", "beta"]):
        *lines, best = axes.lines
        for line, key in zip(lines, [name, "val_" + name]):
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(line.get_ydata(), HISTORY[key])
        assert len(lines) == 1 + ("val_" + name in HISTORY)
        assert list(best.get_xdata()) == [2, 2]
        assert axes.get_xlim()[0] == 1
        assert axes.get_xlabel() == "epoch"
    legend = texts(figure.legends[0].get_texts())
    assert legend == ["training", "validation", "best validation: epoch 2"]


def test_long_curves_are_shown_from_where_they_have_settled():
    loss = [1000.0, 500.0, 100.0, *np.linspace(90, 80, 27)]
    (axes,) = plots.training_curves({"loss": loss}).axes
    low, high = axes.get_ylim()
    assert (low, high) == pytest.approx((80 - 0.08 * 10, 90 + 0.08 * 10))
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), loss)


def test_training_curves_from_a_file():
    figure = plots.training_curves(
        {"loss": ["3.5", "2", "NA", "1"], "val_loss": [None, 4.0, "", 5]}
    )
    training, validation, best = figure.axes[0].lines
    np.testing.assert_array_equal(training.get_ydata(), [3.5, 2, np.nan, 1])
    np.testing.assert_array_equal(validation.get_ydata(), [np.nan, 4, np.nan, 5])
    assert best.get_xdata()[0] == 2


def test_training_curves_with_rare_or_no_validation():
    figure = plots.training_curves({"loss": [4, 3, 2, 1], "val_loss": [3, 2]})
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_xdata(), [2, 4])
    assert figure.axes[0].lines[2].get_xdata()[0] == 4
    figure = plots.training_curves({"loss": [4.0], "val_accuracy": []})
    assert len(figure.axes) == 1 and len(figure.axes[0].lines) == 1
    assert figure.axes[0].lines[0].get_marker() == "o"  # one point is visible


def test_latent_kl_sorts_and_counts():
    (axes,) = plots.latent_kl([0.5, 0.001, 2.0, 0.01]).axes
    bars = axes.containers[0]
    np.testing.assert_allclose([bar.get_height() for bar in bars], [2, 0.5, 0.01, 0.001])
    assert ticks(axes.figure)[1] == ["2", "0", "3", "1"]
    assert [bar.get_facecolor() for bar in bars] == [
        to_rgba(c) for c in [_figures.COLOUR] * 2 + [_figures.GREY] * 2
    ]
    assert axes.get_title() == "2 of 4 latent dimensions active (KL > 0.01 nats)"
    assert axes.get_ylabel() == "KL (nats)"
    (axes,) = plots.latent_kl(np.ones(100), threshold=0.5).axes
    assert axes.get_title() == "100 of 100 latent dimensions active (KL > 0.5 nats)"
    assert axes.get_xlabel() == "latent dimensions, sorted"


@pytest.mark.parametrize(
    "suffix, start",
    [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml"), ("PNG", b"\x89PNG")],
)
def test_save_formats_and_folder(tmp_path, suffix, start):
    path = tmp_path / "new" / "folder" / f"figure.{suffix}"
    plots.latent_kl([1, 2, 3], path=str(path))
    assert path.read_bytes().startswith(start)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_saved_size_is_the_figures(tmp_path):
    figure = plots.latent_kl([1, 2, 3], path=tmp_path / "kl.png")
    width, height = figure.get_size_inches() * _figures.DPI
    assert image.imread(tmp_path / "kl.png").shape[:2] == (int(height), int(width))
    plots.manifold(FakeModel(), path=tmp_path / "manifold.png")
    assert (tmp_path / "manifold.png").stat().st_size < 60_000


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch, kind):
    def fail(path, *_, **__):
        path.write_text("half")
        raise OSError("disk full")

    path = tmp_path / f"figure.{kind}"
    path.write_text("old")
    monkeypatch.setattr(pathlib.Path, "write_bytes", fail)
    if kind == "pdf":
        monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: fail(path))
    with pytest.raises(OSError, match="disk full"):
        plots.image_grid(random_images(1), path=path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_colours_of_a_chart_are_those_that_were_drawn(tmp_path):
    """Fewer of them, for a smaller file: none is off by more than the eye would tell."""
    figure = plots.latent_kl(np.linspace(0.1, 3, 12), path=tmp_path / "kl.png")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3] / 255.0
    saved = image.imread(tmp_path / "kl.png")[..., :3]
    assert saved.shape == drawn.shape
    assert np.abs(saved - drawn).max() <= 0.05


def test_attributes_are_added_one_at_a_time():
    model, x = FakeModel(), random_images(2)
    figure = plots.attributes(model, x, ["Smiling", "Wearing_Hat"])
    np.testing.assert_allclose(tile(figure, 1, 0), 1 - x[1, ..., 0], atol=1e-6)
    assert model.called("edit") == [(None, {"Smiling": 1.0}), (None, {"Wearing_Hat": 1.0})]


ALL = {
    "image_grid": lambda **k: plots.image_grid(random_images(3), **k),
    "reconstructions": lambda **k: plots.reconstructions(FakeModel(), random_images(3), **k),
    "samples": lambda **k: plots.samples(FakeModel(), n=3, **k),
    "code_maps": lambda **k: plots.code_maps(FakeCodes(), random_images(3), **k),
    "manifold": lambda **k: plots.manifold(FakeModel(), n=3, **k),
    "latent_scatter": lambda **k: plots.latent_scatter(
        FakeModel(), random_images(3), [0, 1, 0], **k
    ),
    "interpolation": lambda **k: plots.interpolation(
        FakeModel(), random_images(1), random_images(1), **k
    ),
    "traversal": lambda **k: plots.traversal(FakeModel(), **k),
    "attributes": lambda **k: plots.attributes(FakeModel(), random_images(2), ["Smiling"], **k),
    "training_curves": lambda **k: plots.training_curves({"loss": [2, 1]}, **k),
    "latent_kl": lambda **k: plots.latent_kl([1, 2], **k),
}


def test_every_public_function_is_covered():
    public = {
        name
        for name, value in vars(plots).items()
        if isinstance(value, types.FunctionType) and not name.startswith("_")
    }
    assert public == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_every_function_saves_shows_and_leaks_nothing(name, tmp_path):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    figure = ALL[name](path=tmp_path / "figure.png")
    assert isinstance(figure, Figure)
    assert pyplot.get_fignums() == before
    # What a notebook shows is what the file holds.
    assert figure._repr_png_() == (tmp_path / "figure.png").read_bytes()
    assert pickle.loads(pickle.dumps(figure))._repr_png_() == figure._repr_png_()


def test_jpeg_shows_what_png_does(tmp_path):
    from PIL import Image

    x = np.linspace(0, 1, 8 * 32 * 32 * 3, dtype="float32").reshape(8, 32, 32, 3)
    for kind in ("jpg", "png"):
        plots.image_grid(x, path=tmp_path / f"figure.{kind}")
    a, b = (
        np.asarray(Image.open(tmp_path / f"figure.{kind}").convert("RGB"), "float32")
        for kind in ("jpg", "png")
    )
    assert Image.open(tmp_path / "figure.jpg").format == "JPEG"
    assert a.shape == b.shape and np.abs(a - b).mean() < 4


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("path", ["figure.bmp", "figure"])
def test_wrong_suffix(name, path, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"must end in .png, .jpg, .pdf or .svg.*Received: '.*figure(.bmp)?'$",
    ):
        ALL[name](path=tmp_path / path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ALL)
def test_missing_matplotlib(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install matplotlib.*Received: "):
        ALL[name]()


def test_bad_output_is_found_before_the_model_runs():
    model = FakeModel()
    with pytest.raises(ValueError, match="suffix"):
        plots.samples(model, path="samples.gif")
    assert model.calls == []


@pytest.mark.slow
def test_works_without_matplotlib_until_a_figure_is_drawn():
    code = """
import sys
sys.modules["matplotlib"] = None
from keras_vae import plots
try:
    plots.latent_kl([1, 2])
except ImportError as error:
    assert "pip install matplotlib" in str(error), error
else:
    raise AssertionError("no error without matplotlib")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


X = random_images(3)
CONDITIONAL = FakeModel(condition=labelled())
ERRORS = {
    "empty": (
        lambda: plots.image_grid(np.zeros((0, 4, 4, 1))),
        r"not be empty.*\(0, 4, 4, 1\)",
    ),
    "empty x": (lambda: plots.reconstructions(FakeModel(), X[:0]), "`x`.*not be empty"),
    "rank": (lambda: plots.image_grid(X[..., 0]), r"x\[\.\.\., None\].*\(3, 4, 4\)"),
    "channels": (
        lambda: plots.image_grid(np.zeros((2, 4, 4, 2))),
        "1 .grey. or 3 .RGB. channels",
    ),
    "nan": (
        lambda: plots.image_grid(np.where(X > 0.9, np.nan, X)),
        f"finite.*{(X > 0.9).sum()} such",
    ),
    "infinite": (
        lambda: plots.traversal(FakeModel(), values=[0, np.inf]),
        "`values` must be finite",
    ),
    "bytes": (
        lambda: plots.image_grid(np.full((1, 4, 4, 1), 200, "uint8")),
        "divide.*up to 200",
    ),
    "columns": (
        lambda: plots.image_grid(X, columns=0),
        "`columns`.*at least 1. Received: 0",
    ),
    "row labels": (
        lambda: plots.image_grid(X, 2, row_labels=["a"]),
        "each of the 2 rows. Received: 1",
    ),
    "column labels": (
        lambda: plots.image_grid(X, 2, column_labels="abc"),
        "2 columns. Received: 3",
    ),
    "n": (lambda: plots.reconstructions(FakeModel(), X, n=0), "`n`.*Received: 0"),
    "n code maps": (lambda: plots.code_maps(FakeCodes(), X, n=0), "`n`.*Received: 0"),
    "no code maps": (
        lambda: plots.code_maps(FakeModel(), X),
        r"maps of integers.*shape \(3, 2\), dtype float32",
    ),
    "n samples": (lambda: plots.samples(FakeModel(), n=-1), "`n`.*Received: -1"),
    "n float": (lambda: plots.manifold(FakeModel(), n=2.5), "`n`.*Received: 2.5"),
    "model nan": (
        lambda: plots.manifold(FakeModel(), n=2, extent=1e39),
        "decoded images.*finite",
    ),
    "latent_dim": (
        lambda: plots.manifold(FakeModel(3)),
        "use `traversal`.*latent_dim=3",
    ),
    "extent": (lambda: plots.manifold(FakeModel(), extent="wide"), "Received: 'wide'"),
    "extent sign": (
        lambda: plots.manifold(FakeModel(), extent=-1),
        "positive.*Received: -1",
    ),
    "labels": (
        lambda: plots.latent_scatter(FakeModel(), X, [1, 2]),
        r"\(3,\). Received: shape \(2,\)",
    ),
    "names": (
        lambda: plots.latent_scatter(FakeModel(), X, [0, 1, 2], class_names=["a", "b"]),
        r"2 names for labels \[0, 1, 2\]",
    ),
    "names of texts": (
        lambda: plots.latent_scatter(FakeModel(), X, ["a"] * 3, class_names=["b"]),
        "integer labels",
    ),
    "one dimension": (
        lambda: plots.latent_scatter(FakeModel(1), X, [0, 1, 2]),
        r"2 dimensions.*\(3, 1\)",
    ),
    "pair": (
        lambda: plots.interpolation(FakeModel(), X, X[:2]),
        "same shape.*Received",
    ),
    "steps": (
        lambda: plots.interpolation(FakeModel(), X, X, steps=1),
        "`steps`.*at least 2",
    ),
    "dims": (
        lambda: plots.traversal(FakeModel(), dims=[0, 2]),
        r"from 0 to 1. Received: \[0, 2\]",
    ),
    "no dims": (lambda: plots.traversal(FakeModel(), dims=[]), r"Received: \[\]"),
    "values": (
        lambda: plots.traversal(FakeModel(), values=[[1]]),
        r"shape \(v\).*\(1, 1\)",
    ),
    "unconditional": (
        lambda: plots.samples(FakeModel(), condition=1),
        "unconditional.*Received: condition=1",
    ),
    "conditions": (
        lambda: plots.reconstructions(CONDITIONAL, X, condition=[1, 2]),
        "each of 3. Received: 2",
    ),
    "history": (
        lambda: plots.training_curves([1, 2]),
        "from name to values. Received: list",
    ),
    "no history": (
        lambda: plots.training_curves({}),
        "train for an epoch.*Received: {}",
    ),
    "nan history": (lambda: plots.training_curves({"loss": [np.nan]}), "finite value"),
    "text history": (
        lambda: plots.training_curves({"loss": [1], "date": ["May"]}),
        "'date'. Received",
    ),
    "scalar history": (
        lambda: plots.training_curves({"loss": [1], "seconds": 3}),
        "'seconds'. Received: 3",
    ),
    "lengths": (
        lambda: plots.training_curves({"loss": [1, 2, 3], "val_loss": [1, 2]}),
        "2 values of 'val_loss' for 3 epochs",
    ),
    "kl rank": (lambda: plots.latent_kl(np.ones((2, 3))), r"Average.*\(2, 3\)"),
    "kl nan": (
        lambda: plots.latent_kl([1, np.nan]),
        "finite.*Received: 1 such values of 2",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_errors(case):
    call, message = ERRORS[case]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "Received: " in str(caught.value)
