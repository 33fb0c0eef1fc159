"""What all figures have in common: files, errors, Matplotlib."""

import pathlib
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from keras_vae import plots
from keras_vae.plots import _figures
from tests.support.plots import FakeCodes, FakeModel, labelled, random_images, sheet

pytestmark = pytest.mark.once


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
    "edits": lambda **k: plots.edits(FakeModel(), random_images(2), ["Smiling"], **k),
    "strengths": lambda **k: plots.strengths(FakeModel(), random_images(2), ["Smiling"], **k),
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
    "no names": (
        lambda: plots.edits(FakeModel(), X, []),
        r"`names` must list attributes.*Received: names=\[\]",
    ),
    "one name": (
        lambda: plots.strengths(FakeModel(), X, "Smiling"),
        "`names` must list attributes.*Received: names='Smiling'",
    ),
    "no strengths": (
        lambda: plots.strengths(FakeModel(), X, ["Smiling"], values=[]),
        r"`values`.*not be empty",
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
