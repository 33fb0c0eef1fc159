"""The blocks of the front page, from nothing to a file for a phone, and of the library page."""

import re

import numpy as np
import pytest

import keras_vae
from keras_vae import datasets
from tests.support import ROOT
from tools.demo import digits

pytestmark = pytest.mark.once

SECTIONS = {"README.md": "## Four blocks", "README.es.md": "## Cuatro bloques"}


def blocks(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    section = text.split(SECTIONS[name])[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)


def code(block):
    return "\n".join(re.sub(r"\s*#.*", "", line) for line in block.splitlines())


def test_both_languages_have_the_same_blocks():
    ours, theirs = ([code(block) for block in blocks(name)] for name in SECTIONS)
    assert ours == theirs and len(ours) == 4


@pytest.mark.slow
@pytest.mark.skipif("mnist_conv" not in keras_vae.zoo.list_models(), reason="needs mnist_conv")
def test_they_run(tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    try:
        datasets.load("mnist", "validation", limit=1, download=False)
    except FileNotFoundError:
        pytest.skip("needs the data set mnist")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("README.md"):
        exec(compile(block, "README.md", "exec"), names)
    model, x = names["model"], names["x_validation"]
    history = model.history.history
    assert len(history["val_loss"]) == 3 and max(history["val_loss"]) < 120
    for picture in ("samples.png", "before.png", "after.png"):
        assert (tmp_path / picture).stat().st_size > 5_000
    again = keras_vae.zoo.load("mine")
    np.testing.assert_allclose(again.reconstruct(x[:20]), model.reconstruct(x[:20]), atol=1e-6)
    # A byte a weight, and what the graph takes.
    assert (tmp_path / "mine.tflite").stat().st_size < 700_000
    exported, keras_db = names["report"]["parity"]["psnr_db"]["reconstruct"]
    assert exported > keras_db - 0.5


@pytest.mark.slow
@pytest.mark.skipif("celeba_cvae" not in keras_vae.zoo.list_models(), reason="needs the zoo")
def test_the_library_page_runs(tmp_path, monkeypatch):
    """Each block of `keras_vae/README.md` with a few digits, in order."""
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    images, labels = digits()
    few = datasets.Data(images[:64], labels[:64])
    monkeypatch.setattr(datasets, "load", lambda *arguments, **options: few)
    monkeypatch.chdir(tmp_path)
    x = few.x[:4]
    holes = np.where(np.random.default_rng(0).random(x.shape) < 0.5, np.nan, x).astype("float32")
    rows = np.random.default_rng(1).normal(size=(40, 30)).astype("float32")
    names = {
        "np": np, "keras_vae": keras_vae, "model": keras_vae.zoo.load("mnist_conv"), "x": x,
        "x_a": x[:2], "x_b": x[2:], "x_digits": x, "x_noisy": x, "x_with_nan": holes,
        "rows": rows, "new_rows": rows[:7],
    }  # fmt: skip
    page = (ROOT / "keras_vae" / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(found) == 6
    for block in found:
        # Smaller and shorter than on the page.
        block = block.replace("samples=5000", "samples=50").replace("epochs=100", "epochs=2")
        block = block.replace("epochs=20", "epochs=1").replace('"gmm"', '"normal"')
        exec(compile(block, "keras_vae/README.md", "exec"), names)
    assert names["threes"].shape == (10, 28, 28, 1) and names["glad"].shape == (8, 64, 64, 3)
    assert names["strange"].shape == (7,) and set(names["strange"]) <= {0, 1}
    assert np.isfinite(names["bound"]).all() and not np.isnan(names["x_whole"]).any()
    assert (tmp_path / "samples.png").stat().st_size > 1_000
