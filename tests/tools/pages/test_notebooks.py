"""The lessons' notebooks: as the sources say, and each runs from top to bottom."""

import json
import sys
import types

import numpy as np
import pytest

from tools import gallery
from tools.gallery import lessons, parts
from tools.pages import notebooks

pytestmark = pytest.mark.once

CASES = [(name, language) for name in gallery.NAMES for language in lessons.LANGUAGES]


def cells(name, language):
    text = (notebooks.FOLDER / f"{name}.{language}.ipynb").read_text(encoding="utf-8")
    return json.loads(text)["cells"]


def code(name, language):
    """Tag to source of the code cells, in order."""
    return {
        cell["metadata"]["tags"][0]: "".join(cell["source"])
        for cell in cells(name, language)
        if cell["cell_type"] == "code"
    }


@pytest.mark.parametrize("name, language", CASES)
def test_it_is_up_to_date(name, language):
    path = notebooks.FOLDER / f"{name}.{language}.ipynb"
    made = json.dumps(notebooks.notebook(name, language), indent=1) + "\n"
    assert path.read_text(encoding="utf-8") == made, "run `python -m tools readme`"


@pytest.mark.parametrize("name", gallery.NAMES)
def test_it_installs_first_and_both_languages_run_the_same(name):
    english, spanish = code(name, "en"), code(name, "es")
    assert [*english] == ["install", "data", "source", "parameters", "run"]
    for tag in english:
        lines = [text.splitlines() for text in (english[tag], spanish[tag])]
        ours, theirs = ([x for x in found if not x.startswith("# ")] for found in lines)
        assert ours == theirs
    assert "%pip install" in english["install"]
    head = "".join(cells(name, "en")[0]["source"])
    assert "colab-badge.svg" in head and f"notebooks/{name}.en.ipynb" in head
    ids = [cell["id"] for cell in cells(name, "en")]
    assert len(set(ids)) == len(ids)


def test_there_are_no_others():
    found = {path.name for path in notebooks.FOLDER.iterdir()}
    assert found == {f"{name}.{language}.ipynb" for name, language in CASES}


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in gallery.NAMES if n != "smile"])
def test_it_runs(name, tmp_path, monkeypatch, capsys):
    """On the packaged digits, with a judge that is sure of bright strokes, and tiny sizes."""
    monkeypatch.setenv("TFDS_DATA_DIR", "/nowhere")
    monkeypatch.chdir(tmp_path)
    for cached in (parts.prepared, parts.mnist):
        cached.cache_clear()
    read = np.eye(10)[[3]]
    monkeypatch.setattr(parts, "probabilities", lambda model, images: read.repeat(len(images), 0))
    monkeypatch.setattr(parts, "judge", lambda: None)
    # A checkout has `tools`; where a package is installed too, it must not be that one.
    monkeypatch.setitem(sys.modules, "keras_vae.tools", None)
    display = types.ModuleType("IPython.display")
    display.Image = lambda path: (tmp_path / path).read_bytes()
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    names = {}
    for tag, source in code(name, "es").items():
        # What needs a network, and what asks for less: the line that the cell itself suggests.
        if tag in ("install", "data"):
            continue
        if tag == "parameters":
            source = source.splitlines()[0].partition(": ")[2]
            assert source.startswith("sizes = {")
        exec(compile(source, f"{name}: {tag}", "exec"), names)
    assert (tmp_path / gallery.picture(name)).stat().st_size > 3_000
    assert str(names["numbers"]) in capsys.readouterr().out
    for cached in (parts.prepared, parts.mnist):
        cached.cache_clear()
