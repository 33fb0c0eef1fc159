"""`readme`: what the pages take from elsewhere: presets' metadata, lines that are tested."""

import re
from pathlib import Path

from keras_vae import zoo
from keras_vae._atomic import write_text

from ..applications import applications
from ..papers import quantized, shown
from ..presets import recipes
from . import catalogue, notebooks, phone

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("en", "es")
HEADS = {
    "en": (
        "| preset | what it is, what it is for | paper | objective | parameters, size "
        "| test NLL in nats, or error; what it is for |"
    ),
    "es": (
        "| modelo | qué es, para qué sirve | artículo | objetivo | parámetros, tamaño "
        "| NLL de prueba en nats, o error; lo que importa en él |"
    ),
}
_FOLDED = {
    "en": "All figures, papers and objectives",
    "es": "Todas las cifras, los artículos y los objetivos",
}
# Mark: the page without its ending, and what stands between the marks, by language.
PARTS = {
    "presets": ("README", catalogue.front),
    "catalogue": ("zoo/README", catalogue.markdown),
    "zoo": ("zoo/README", lambda language: table(language)),
    "applications": ("zoo/applications/README", lambda language: applications.markdown()),
    "reproduce": ("zoo/reproduce/README", lambda language: shown.markdown(language=language)),
    "phone": ("keras_vae/export/README", lambda language: phone.markdown()),
}


def page(name, language):
    """Path of a page: `<name>.md` in English, `<name>.es.md` in Spanish."""
    return ROOT / f"{name}{'.es' if language == 'es' else ''}.md"


def checkout():
    """Raises ValueError where the package is installed without its pages."""
    if not (ROOT / "pyproject.toml").is_file():
        raise ValueError(f"The pages are in a checkout only. Received: {ROOT}")


def readme():
    """Writes the generated parts of each page between their marks, and the notebooks.

    Raises:
        ValueError: no checkout.
    """
    checkout()
    for mark, (name, content) in PARTS.items():
        for language in LANGUAGES:
            path = page(name, language)
            if path.is_file():
                text = path.read_text(encoding="utf-8")
                write_text(path, replaced(text, mark, content(language)))
    notebooks.write()
    quantized.page(shown.FOLDER)


def replaced(text, mark, content):
    """Text with `content` between the marks `<!-- mark: ... -->` and `<!-- /mark -->`."""
    pattern = rf"(<!-- {mark}:.*? -->\n).*?(<!-- /{mark} -->)"
    return re.sub(pattern, lambda m: m[1] + content + "\n" + m[2], text, flags=re.DOTALL)


def table(language):
    """Every preset with its paper, objective and all that it is held against, folded."""
    rows = [HEADS[language], "|---|---|---|---|---|---|", *map(_row, zoo.list_models())]
    summary = f"<summary>{_FOLDED[language]}</summary>"
    return "\n".join(["<details>", summary, "", *rows, "", "</details>"])


def _row(name):
    info = zoo.info(name)
    recipe = recipes.read(zoo.folder(name))
    size = f"{info['parameters']:,}, {catalogue.size(name)} MB"
    # A bar would end the cell.
    objective = f"`{recipes.objective(recipe)}`".replace("|", r"\|")
    what = f"{info['description']} {recipe.get('purpose', '')}".strip()
    cells = (
        f"[`{name}`]({name}/README.md)", what, info["paper"], objective, size,
        "; ".join(map(_said, catalogue.figures(info, recipe))) or "-",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _said(metric):
    samples = f", K = {metric['samples']}" if metric["title"].startswith("NLL") else ""
    return f"{catalogue.value(metric)} (n = {metric['n']}{samples})"
