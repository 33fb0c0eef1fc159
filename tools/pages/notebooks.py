"""The gallery's lessons as notebooks, in two languages, from the same texts and the same code."""

import json
import re
import tomllib
from pathlib import Path

from keras_vae._atomic import write_text

from .. import gallery
from ..gallery import lessons

ROOT = Path(__file__).resolve().parents[2]
FOLDER = gallery.HERE / "notebooks"
_COLAB = "https://colab.research.google.com"
_SAID = {
    "en": {
        "badge": "Open in Colab",
        "lesson": "The lesson as a page",
        "install": "# In Colab, or anywhere else where keras_vae is not installed.",
        "data": "# MNIST through TensorFlow Datasets; downloaded once.",
        "faces": "# CelebA, for non-commercial research only: several gigabytes, downloaded once.",
        "sizes": "# Smaller and faster, with other numbers: sizes = {smaller}",
        "run": "# The figure, and the numbers that the text below names.",
    },
    "es": {
        "badge": "Abrir en Colab",
        "lesson": "La lección como página",
        "install": "# En Colab, o donde keras_vae no esté instalado.",
        "data": "# MNIST a través de TensorFlow Datasets; se descarga una vez.",
        "faces": "# CelebA, solo para investigación no comercial: varios gigabytes, una vez.",
        "sizes": "# Más pequeño y rápido, con otros números: sizes = {smaller}",
        "run": "# La figura, y los números que nombra el texto de abajo.",
    },
}


def write(folder=FOLDER):
    """Writes every notebook; returns their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in gallery.NAMES:
        for language in lessons.LANGUAGES:
            paths.append(folder / f"{name}.{language}.ipynb")
            write_text(paths[-1], json.dumps(notebook(name, language), indent=1) + "\n")
    return paths


def repository():
    """Where the repository is, as `pyproject.toml` says."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return settings["project"]["urls"]["Repository"]


def notebook(name, language):
    """A lesson as a dict in the notebook format 4.5: cells have tags, and no outputs."""
    said, module, url = _SAID[language], gallery.module(name), repository()
    text = lessons.path(gallery.HERE, name, language).read_text(encoding="utf-8")
    title, body = lessons.title(text), _body(text)
    place = f"tools/gallery/notebooks/{name}.{language}.ipynb"
    colab = f"{_COLAB}/github/{url.removeprefix('https://github.com/')}/blob/main/{place}"
    badge = f"[![{said['badge']}]({_COLAB}/assets/colab-badge.svg)]({colab})"
    page = f"[{said['lesson']}]({url}/blob/main/tools/gallery/{name}.{language}.md)"
    cells = [
        _text(f"# {title}\n\n{badge} · {page}\n\n> {_plain(lessons.claim(text))}"),
        _code(f'{said["install"]}\n%pip install -q "keras-vae[torch] @ git+{url}"', "install"),
        _code(_data(module, said), "data"),
        _code(_source(name), "source"),
        _code(f"{said['sizes'].format(smaller=_smaller(module))}\nsizes = {{}}", "parameters"),
        _code(
            f"{said['run']}\nfrom IPython.display import Image\n\n"
            f'numbers = draw("{gallery.picture(name)}", **sizes)\nprint(numbers)\n'
            f'Image("{gallery.picture(name)}")',
            "run",
        ),
        _text(body),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"{name}-{language}-{number}".replace("_", "-")
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _plain(text):
    """Without the marks that say which number stands where."""
    return re.sub(r"<!--\w+-->", "", text)


def _body(text):
    """What stands in a lesson below its picture."""
    return _plain(re.split(r"^!\[.*\)\n", text, maxsplit=1, flags=re.MULTILINE)[1]).strip()


def _data(module, said):
    faces = getattr(module, "NEEDS", None)
    name, comment = (faces, said["faces"]) if faces else ("mnist", said["data"])
    return f'{comment}\nfrom keras_vae import datasets\n\ndatasets.load("{name}", "test", limit=1)'


def _smaller(module):
    names = module.draw.__code__.co_varnames[: module.draw.__code__.co_argcount]
    sizes = {"n": 40, "epochs": 1, "examples": 500}
    return "{" + ", ".join(f'"{k}": {v}' for k, v in sizes.items() if k in names) + "}"


def _source(name):
    """A figure's module, with imports that hold where the package is installed or checked out."""
    source = (gallery.HERE / f"{name}.py").read_text(encoding="utf-8")
    relative = re.findall(r"^from (\.+)(\w*) import (\w+)\n", source, flags=re.MULTILINE)
    source = re.sub(r"^from \.+\w* import \w+\n", "", source, flags=re.MULTILINE)
    imports = {
        root: "".join(
            f"    from {root}.{'gallery' if dots == '.' else package} import {what}\n"
            for dots, package, what in sorted(relative, key=lambda found: found[1] or "gallery")
        )
        for root in ("keras_vae.tools", "tools")
    }
    either = (
        f"try:\n{imports['keras_vae.tools']}except ImportError:  # a checkout\n{imports['tools']}"
    )
    # The imports of a module end two lines before its first constant or function.
    head, tail = re.split(r"\n\n(?=[A-Zcd]\w*[ (])", source, maxsplit=1)
    docstring, _, imported = head.partition("\n\n")
    first = docstring.strip('"')
    return f"# {name}.py: {first}\n{imported.strip()}\n\n{either}\n{tail.strip()}"


def _text(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source.splitlines(keepends=True)}


def _code(source, tag):
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": [tag]},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }
