"""`site`: the pages, the lessons, the zoo as a catalogue and the API as a static web site.

The pages are those of the repository: they are copied to a folder, their links led to each
other, and Sphinx makes the site. It needs `pip install ".[site]"` and no network.
"""

import html
import os
import re
import shutil
import tempfile
from pathlib import Path
from urllib.parse import unquote

from keras_vae import zoo
from keras_vae._version import __version__

from .. import explore, gallery
from . import api, catalogue, notebooks, readme

ROOT = readme.ROOT
FILES = Path(__file__).parent / "site_files"
FOLDERS = (".github", "keras_vae", "tools", "zoo")
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_CONF = """
project = "keras_vae"
author = "The keras_vae authors"
copyright = "2026, The keras_vae authors"
release = version = {version!r}
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = "keras_vae"
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("catalogue.js", {{"defer": "defer"}})]
html_show_sourcelink = html_copy_source = html_show_sphinx = False
html_theme_options = {{"navigation_with_keys": True}}
add_module_names = toc_object_entries = False
python_maximum_signature_line_length = 80
exclude_patterns = ["_static"]
"""
_TREES = {
    "en": {
        "Use": (
            "keras_vae/README", "zoo/README", "keras_vae/bring_your_own",
            "keras_vae/quantizers/README",
            "keras_vae/export/README", "tools/README",
        ),
        "Learn": ("tools/gallery/README",),
        "Measured": (
            "tools/speed/README", "zoo/applications/README", "zoo/reproduce/README",
            "keras_vae/training/several_machines",
        ),
        "Reference": ("api/index",),
        "Project": (".github/CONTRIBUTING", ".github/SECURITY", ".github/CHANGELOG"),
        "Español": ("README.es",),
    },
    "es": {
        "En español": (
            "keras_vae/README.es", "zoo/README.es", "keras_vae/export/README.es",
            "tools/README.es", "tools/gallery/README.es", "tools/speed/README.es",
            "zoo/applications/README.es", "zoo/reproduce/README.es",
            "keras_vae/training/several_machines.es",
        ),
    },
}  # fmt: skip
_WORDS = {
    "en": {
        "search": "Search the zoo", "all": "All", "none": "No preset fits.", "tasks": "Tasks",
        "count": "Presets: {n}", "notebook": "This lesson as a notebook",
    },
    "es": {
        "search": "Buscar en el zoo", "all": "Todos", "none": "Ningún modelo encaja.",
        "tasks": "Tareas", "count": "Modelos: {n}", "notebook": "Esta lección como cuaderno",
    },
}  # fmt: skip


def site(out, explored=()):
    """Makes the site.

    Args:
        out: folder to write; what an earlier site left there is replaced.
        explored: names of presets whose cards show their page of `tools explore`, each with a
            runtime of its own of 3 MB.

    Returns:
        Path of its first page.

    Raises:
        ImportError: Sphinx, MyST or Furo is not installed, or what `tools explore` needs.
        ValueError: a warning, such as a link that leads nowhere; a folder that holds
            something else; no checkout, which the pages are read from; an unknown preset.
    """
    readme.checkout()
    for name in explored:
        zoo.info(name)
    try:
        import furo  # noqa: F401
        import myst_parser  # noqa: F401
        from sphinx.cmd.build import build_main
    except ImportError as error:
        raise ImportError(f'The site needs: pip install ".[site]". Received: {error}') from error
    out = Path(out)
    if out.exists() and any(out.iterdir()) and not (out / "objects.inv").is_file():
        raise ValueError(f"The folder holds something else than a site. Received: {out}")
    with tempfile.TemporaryDirectory(prefix="keras_vae-site-") as work:
        source, built = Path(work, "source"), Path(work, "html")
        stage(source, explored)
        if build_main(["-q", "-W", "--keep-going", "-b", "html", str(source), str(built)]):
            raise ValueError("The site has warnings: see above. Nothing was written.")
        for path in built.rglob("*.es.html"):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace('lang="en"', 'lang="es"', 1), encoding="utf-8")
        for name in explored:
            explore.write(name, built / "explore" / name)
        (built / ".nojekyll").touch()
        shutil.rmtree(built / ".doctrees", ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(built, out)
    return out / "index.html"


def pages():
    """The repository's pages, by their paths in it."""
    found = [*ROOT.glob("*.md"), *(p for f in FOLDERS for p in (ROOT / f).rglob("*.md"))]
    return sorted(p.relative_to(ROOT).as_posix() for p in found if ".runs" not in p.parts)


def stage(folder, explored=()):
    """Writes what Sphinx reads: pages with links to each other, pictures, the API."""
    known = set(pages())
    (folder / "_static").mkdir(parents=True)
    for path in FILES.iterdir():
        shutil.copy(path, folder / "_static" / path.name)
    for name in sorted(known):
        text = (ROOT / name).read_text(encoding="utf-8")
        text = _content(name, text)
        text = _linked(name, text, known, folder)
        if name in {f"zoo/{preset}/README.md" for preset in explored}:
            text += _explorer(name.split("/")[1])
        target = folder / _staged(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    for name, text in api.pages().items():
        path = folder / "api" / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    _thumbnails(folder / "_static" / "zoo")
    (folder / "conf.py").write_text(_CONF.format(version=__version__), encoding="utf-8")


def _staged(name):
    """Where a page of the repository lies in the site's source."""
    name = re.sub(r"(^|/)README(?=(\.es)?\.md$)", r"\1index", name)
    return name.replace(".github/", "project/")


def _language(name):
    return "es" if name.endswith(".es.md") else "en"


def _content(name, text):
    """A page with what the site alone has: trees, the catalogue, links to notebooks."""
    language = _language(name)
    if name.startswith("zoo/README"):
        text = readme.replaced(text, "catalogue", _catalogue(language))
        cards = [f"{n}/index" for n in zoo.list_models()]
        text += _tree("", cards) if language == "en" else ""
    if name.startswith("tools/gallery/README"):
        text += _tree("", [f"{n}.{language}" for n in gallery.NAMES])
    elif name.startswith("tools/gallery/"):
        book = f"notebooks/{Path(name).stem}.ipynb"
        text += f"\n[{_WORDS[language]['notebook']}]({book})\n"
    if name in ("README.md", "README.es.md"):
        for caption, docs in _TREES[language].items():
            text += _tree(caption, [_staged(f"{doc}.md").removesuffix(".md") for doc in docs])
    elif not text.lstrip().startswith("# "):
        text = f"# {Path(name).stem}\n\n{text}"
    return text


def _explorer(name):
    """The page of `tools explore` in a card."""
    page = f"../../explore/{name}/index.html"
    return (
        "\n## Explore it here\n\n```{raw} html\n"
        f'<iframe class="explorer" src="{page}" title="Explore {name}" loading="lazy"></iframe>\n'
        f'<p><a href="{page}">The page by itself</a></p>\n```\n'
    )


def _tree(caption, docs):
    caption = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n:hidden:\n{caption}\n" + "\n".join(docs) + "\n```\n"


def _linked(name, text, known, folder):
    """A page whose links lead to pages of the site, to files beside it, or to the repository."""

    def link(match):
        target = match[2]
        if re.match(r"https?:|mailto:|#", target):
            return match[0]
        file, _, part = unquote(target).partition("#")
        path = (ROOT / name).parent / file
        where = os.path.relpath(path, ROOT).replace(os.sep, "/")
        if where in known:
            staged = _staged(where)
        elif path.suffix in (".png", ".jpg", ".ipynb") and path.is_file():
            staged = where
            copy = folder / where
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        else:
            return f"{match[1]}{notebooks.repository()}/blob/main/{where}{match[3]}"
        found = os.path.relpath(folder / staged, (folder / _staged(name)).parent)
        return f"{match[1]}{found.replace(os.sep, '/')}{'#' + part if part else ''}{match[3]}"

    parts = re.split(r"(```.*?```)", text, flags=re.DOTALL)
    parts[::2] = [_LINK.sub(link, part) for part in parts[::2]]
    return "".join(parts)


def _catalogue(language):
    """The presets as cards, with buttons by task and a field to search in."""
    words, spanish = _WORDS[language], language == "es"
    groups = [task for task in catalogue.TASKS if task in {*sum(_tasks().values(), ())}]
    buttons = [("", words["all"]), *((task, catalogue.TASKS[task][spanish]) for task in groups)]
    row = "".join(
        f'<button type="button" data-task="{task}" aria-pressed="{str(not task).lower()}">'
        f"{html.escape(title)}</button>"
        for task, title in buttons
    )
    # Where to start comes first.
    first = [name for name in catalogue.FRONT if name in zoo.list_models()]
    names = [*first, *(name for name in zoo.list_models() if name not in first)]
    cards = "\n".join(_card(name, spanish) for name in names)
    count = html.escape(words["count"])
    lines = (
        "```{raw} html",
        f'<div class="zoo" data-count="{count}">',
        f'<label class="zoo-search">{words["search"]} <input type="search" name="zoo"></label>',
        f'<div class="zoo-tasks" role="group" aria-label="{words["tasks"]}">{row}</div>',
        '<p class="zoo-count" role="status"></p>',
        f'<ul class="zoo-cards">\n{cards}\n</ul>',
        f'<p class="zoo-none" hidden>{words["none"]}</p>',
        "</div>",
        "```",
    )
    return "\n".join(lines)


def _tasks():
    return {name: catalogue.tasks(name) for name in zoo.list_models()}


def _card(name, spanish):
    info = zoo.info(name)
    titles = " ".join(catalogue.TASKS[task][spanish] for task in catalogue.tasks(name))
    searched = html.escape(f"{name} {info['description']} {info['paper']} {titles}".lower())
    figure = html.escape(f"{catalogue.size(name)} MB · {catalogue.figure(name)}")
    return (
        f'<li data-tasks="{" ".join(catalogue.tasks(name))}" data-words="{searched}">'
        f'<a href="{name}/index.html">'
        f'<img src="../_static/zoo/{name}.jpg" alt="" width="240" height="180" loading="lazy">'
        f"<strong>{name}</strong></a>"
        f"<span>{html.escape(info['description'])}</span><small>{figure}</small></li>"
    )


def _thumbnails(folder):
    """A small picture of each preset: the upper left of its own, so that digits stay readable."""
    from PIL import Image

    folder.mkdir()
    for name in zoo.list_models():
        shown = catalogue.picture(name)
        image = Image.open(Path(zoo.folder(name)) / shown).convert("RGB")
        width, height = image.size
        across = width if "manifold" in shown else min(width, 480)
        down = min(height, across * 3 // 4)
        image = image.crop((0, 0, down * 4 // 3, down)).resize((320, 240), Image.LANCZOS)
        image.save(folder / f"{name}.jpg", quality=80, optimize=True)
