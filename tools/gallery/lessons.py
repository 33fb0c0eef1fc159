"""Lesson texts: the numbers in them are put there by what measured them.

A number stands in a text as `**77.1**<!--name-->`: Markdown shows it in bold, and what
makes the figure puts the number of that name there anew.
"""

import re
from pathlib import Path

from keras_vae import _atomic

LANGUAGES = ("en", "es")
INDEX = {"en": "README.md", "es": "README.es.md"}
_MARK = re.compile(r"\*\*[^*]+\*\*<!--(\w+)-->")
_HEADS = {
    "en": (
        "# Gallery\n\nFigures that courses on autoencoders draw, with what they show and the "
        "command that makes each. [En español](README.es.md)\n",
        "| figure | what it shows | command |",
    ),
    "es": (
        "# Galería\n\nLas figuras que dibujan los cursos sobre autoencoders, con lo que muestran "
        "y la orden que hace cada una. [In English](README.md)\n",
        "| figura | lo que muestra | orden |",
    ),
}
_NOTEBOOK = {"en": "notebook", "es": "cuaderno"}
_STAND_IN = {
    "en": "*Made with the 1,000 digits that come with the code, as MNIST was not prepared: the "
    "text was written for MNIST, and some of it may not hold.*",
    "es": "*Hecho con los 1.000 dígitos que vienen con el código, porque MNIST no estaba "
    "preparado: el texto se escribió para MNIST, y algo de él puede no cumplirse.*",
}


def path(folder, name, language):
    """Where the lesson of a figure lies."""
    return Path(folder) / f"{name}.{language}.md"


def filled(text, numbers):
    """A text with the numbers that its marks name.

    Raises:
        ValueError: a mark names a number that there is not.
    """

    def value(mark):
        if mark[1] not in numbers:
            raise ValueError(
                f"A lesson may name {', '.join(sorted(numbers))}. Received: {mark[1]!r}"
            )
        # No "-0".
        return f"**{numbers[mark[1]] + 0:g}**<!--{mark[1]}-->"

    return _MARK.sub(value, text)


def named(text):
    """The numbers that a text names, `(name, written)`, in order."""
    return [(m[1], m[0].split("**")[1]) for m in _MARK.finditer(text)]


def title(text):
    """A lesson's heading."""
    return text.splitlines()[0].removeprefix("# ")


def claim(text):
    """A lesson's claim in one line: what stands in its quote."""
    lines = [line[1:].strip() for line in text.splitlines() if line.startswith(">")]
    return " ".join(lines)


def write(source, out, numbers, commands, pictures, stand_in=False):
    """Writes lessons with new numbers, and an index of them, in both languages.

    Args:
        source: folder of the texts.
        out: folder to write.
        numbers: of each figure, name to a dict.
        commands, pictures: what makes each figure, and its file's name.
        stand_in: whether packaged digits stood in for MNIST, which each text then says.
    """
    for language in LANGUAGES:
        head, columns = _HEADS[language]
        rows = [head, columns, "|---|---|---|"]
        for name, values in numbers.items():
            text = filled(path(source, name, language).read_text(encoding="utf-8"), values)
            if stand_in and _STAND_IN[language] not in text:
                text = text.replace("\n", f"\n\n{_STAND_IN[language]}\n", 1)
            _atomic.write_text(path(out, name, language), text)
            link = f"[{title(text)}]({name}.{language}.md)<br>![{title(text)}]({pictures[name]})"
            book = f"notebooks/{name}.{language}.ipynb"
            # Beside the code there are notebooks too.
            book = f"<br>[{_NOTEBOOK[language]}]({book})" if (Path(out) / book).is_file() else ""
            rows.append(f"| {link} | {claim(text)} | `{commands[name]}`{book} |")
        _atomic.write_text(Path(out) / INDEX[language], "\n".join(rows) + "\n")
