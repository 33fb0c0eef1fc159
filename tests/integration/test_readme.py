"""The four blocks of the READMEs, from nothing to a file for a phone, run as they stand."""

import re

import numpy as np
import pytest

import keras_vae
from keras_vae import datasets
from tests.support import ROOT

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
