"""`readme`: what the READMEs take from elsewhere: presets' metadata, lines that are tested."""

import re
from pathlib import Path

from keras_vae import zoo
from keras_vae._atomic import write_text

from . import applications, phone, reproduce

ROOT = Path(__file__).resolve().parent.parent
HEADS = {
    "README.md": "| preset | what it is | parameters, size | test NLL (nats) or error | by |",
    "README.es.md": "| modelo | qué es | parámetros, tamaño | NLL (nats) o error | medido con |",
}


def readme():
    """Writes the zoo's table and the phone's lines into each README, between their marks."""
    for name, head in HEADS.items():
        path = ROOT / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            table = "\n".join([head, "|---|---|---|---|---|", *map(_row, zoo.list_models())])
            text = replaced(text, "zoo", table)
            text = replaced(text, "applications", applications.markdown())
            text = replaced(text, "reproduce", reproduce.markdown())
            write_text(path, replaced(text, "phone", phone.markdown()))


def replaced(text, mark, content):
    """Text with `content` between the marks `<!-- mark: ... -->` and `<!-- /mark -->`."""
    pattern = rf"(<!-- {mark}:.*? -->\n).*?(<!-- /{mark} -->)"
    return re.sub(pattern, lambda m: m[1] + content + "\n" + m[2], text, flags=re.DOTALL)


def _figure(metrics, title):
    return next((m for m in metrics if m["title"].startswith(title)), None)


def _row(name):
    info = zoo.info(name)
    figure = _figure(info["metrics"], "NLL") or _figure(info["metrics"], "reconstruction MSE")
    value, command = "-", "-"
    if figure:
        error = figure["standard_error"]
        value = f"{figure['value']:.{figure['digits']}f}" + (f" ± {error:.2f}" if error else "")
        value = f"{value} {figure['title'].removeprefix('NLL').strip()}".strip()
        command = f"`{figure['command']}` ({figure['how']})"
    size = f"{info['parameters']:,}, {info['bytes'] / 1e6:.1f} MB"
    cells = (f"[`{name}`](zoo/{name}/README.md)", info["description"], size, value, command)
    return f"| {' | '.join(cells)} |"
