"""`readme`: what the READMEs take from elsewhere: presets' metadata, lines that are tested."""

import re
from pathlib import Path

from keras_vae import zoo
from keras_vae._atomic import write_text

from ..applications import applications
from ..papers import quantized, reproduce
from ..presets import recipes
from . import phone

ROOT = Path(__file__).resolve().parents[2]
HEADS = {
    "README.md": (
        "| preset | what it is, what it is for | paper | objective | parameters, size "
        "| test NLL in nats, or error; what it is for |"
    ),
    "README.es.md": (
        "| modelo | qué es, para qué sirve | artículo | objetivo | parámetros, tamaño "
        "| NLL de prueba en nats, o error; lo que importa en él |"
    ),
}


def readme():
    """Writes tables and the phone's lines into each README, and the quantizers' page."""
    for name, head in HEADS.items():
        path = ROOT / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            table = "\n".join([head, "|---|---|---|---|---|---|", *map(_row, zoo.list_models())])
            text = replaced(text, "zoo", table)
            text = replaced(text, "applications", applications.markdown())
            text = replaced(text, "reproduce", reproduce.markdown())
            write_text(path, replaced(text, "phone", phone.markdown()))
    if quantized.PAGE.is_file():
        quantized.page(reproduce.FOLDER)


def replaced(text, mark, content):
    """Text with `content` between the marks `<!-- mark: ... -->` and `<!-- /mark -->`."""
    pattern = rf"(<!-- {mark}:.*? -->\n).*?(<!-- /{mark} -->)"
    return re.sub(pattern, lambda m: m[1] + content + "\n" + m[2], text, flags=re.DOTALL)


def _row(name):
    info = zoo.info(name)
    recipe = recipes.read(zoo.folder(name))
    size = f"{info['parameters']:,}, {info['bytes'] / 1e6:.1f} MB"
    # A bar would end the cell.
    objective = f"`{recipes.objective(recipe)}`".replace("|", r"\|")
    what = f"{info['description']} {recipe.get('purpose', '')}".strip()
    cells = (
        f"[`{name}`](zoo/{name}/README.md)", what, info["paper"], objective, size,
        "; ".join(map(_said, _figures(info, recipe))) or "-",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _figures(info, recipe):
    """The bound or the error of a preset, what it is for, and what that is held against."""
    test = [m for m in info["metrics"] if m["split"] == "test"]
    title = recipe["evaluation"].get("headline", "")

    def first(test_of):
        return next(filter(test_of, test), None)

    general = first(lambda m: m["title"].startswith("NLL")) or first(
        lambda m: m["title"] == "reconstruction MSE"
    )
    own = first(lambda m: m["title"] == title)
    others = [m for m in test if title and m["title"].startswith(f"{title} of ")]
    found = [m for m in (general, own, *others) if m]
    return [m for i, m in enumerate(found) if m not in found[:i]]


def _said(metric):
    error = f" ± {metric['standard_error']:.2f}" if metric["standard_error"] else ""
    unit = metric["unit"] if metric["unit"] == "dB" or metric["unit"] == "%" else ""
    value = f"{metric['value']:.{metric['digits']}f}{error} {unit}".strip()
    samples = f", K = {metric['samples']}" if metric["title"].startswith("NLL") else ""
    return f"{metric['title']} {value} (n = {metric['n']}{samples})"
