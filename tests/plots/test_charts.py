"""Charts."""

import types

import numpy as np
import pytest
from matplotlib import colormaps, image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgba

from keras_vae import plots
from keras_vae.plots import _figures, charts
from tests.support.plots import FakeModel, random_images, texts, ticks

pytestmark = pytest.mark.once


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


def test_the_colours_of_a_chart_are_those_that_were_drawn(tmp_path):
    """Fewer of them, for a smaller file: none is off by more than the eye would tell."""
    figure = plots.latent_kl(np.linspace(0.1, 3, 12), path=tmp_path / "kl.png")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3] / 255.0
    saved = image.imread(tmp_path / "kl.png")[..., :3]
    assert saved.shape == drawn.shape
    assert np.abs(saved - drawn).max() <= 0.05
