"""The pages: links that hold, two languages that agree, a front page of one screen."""

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.support import ROOT
from tools.pages.catalogue import anchor

pytestmark = pytest.mark.once

FOLDERS = (".github", "keras_vae", "tools", "zoo")
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *(p for f in FOLDERS for p in (ROOT / f).rglob("*.md")))
    if ".runs" not in path.parts
)
PAIRS = [
    (name.replace(".es.md", ".md" if "README" in name or "several" in name else ".en.md"), name)
    for name in PAGES
    if name.endswith(".es.md")
]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def prose(text):
    """Text without code blocks."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them: repeated ones are numbered."""
    seen, found = Counter(), set()
    for title in re.findall(r"^#+ (.*)$", prose(text), flags=re.MULTILINE):
        made = anchor(re.sub(r"[`*]", "", title))
        found.add(f"{made}-{seen[made]}" if seen[made] else made)
        seen[made] += 1
    return found


def links(text):
    text = re.sub(r"`[^`\n]*`", "", prose(text))
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)


def broken(name):
    """Links of a page that lead nowhere in the repository."""
    found = []
    for link in links(read(name)):
        if re.match(r"https?:|mailto:", link):
            continue
        file, _, part = unquote(link).partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        if not path.exists() or not path.resolve().is_relative_to(ROOT):
            found.append(link)
        elif part and part not in anchors(path.read_text(encoding="utf-8")):
            found.append(link)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_links_hold(name):
    assert broken(name) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "a.md").write_text("# A b\n[x](a.md#a-b) [y](a.md#c) [z](b.md) [o](https://o.o)")
    assert broken("a.md") == ["a.md#c", "b.md"]


def test_every_page_is_reached_from_the_front():
    reached, new = set(), {"README.md"}
    while new:
        name = new.pop()
        reached.add(name)
        for link in links(read(name)):
            file = unquote(link).partition("#")[0]
            path = ((ROOT / name).parent / file).resolve()
            if file.endswith(".md") and path.is_file():
                new |= {path.relative_to(ROOT).as_posix()} - reached
    missed = {n for n in PAGES if "ISSUE_TEMPLATE" not in n} - reached
    assert missed == set()


@pytest.mark.parametrize("name", ["README.md", "README.es.md"])
def test_the_front_page_is_short(name):
    text = read(name)
    assert text.count("\n") <= 150 and len(text.split()) <= 900
    rows = [line for line in text.splitlines() if line.startswith("|")]
    # What is read of a row, without the addresses of its links.
    assert max(len(re.sub(r"\]\([^)]*\)", "]", row)) for row in rows) <= 120


def without_generated(text):
    return re.sub(r"<!-- (\w+):.*?<!-- /\1 -->", "", text, flags=re.DOTALL)


def numbers(text, language):
    """Numbers of a text in plain notation: 10,000 and 0.5 in English, 10 000 and 0,5 in Spanish."""
    text = re.sub(r"\]\([^)]*\)", "]", prose(without_generated(text)))
    # What is code is written alike in both.
    code = re.findall(r"`[^`]*`", text)
    text = re.sub(r"`[^`]*`", "", text)
    if language == "es":
        text = re.sub(r"(?<=\d)[.\u00a0\u202f ](?=\d{3}\b)", "", text)
        text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    else:
        text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    code = [re.sub(r"[^\W\d]+", "", part) for part in code]
    return Counter(re.findall(r"\d+(?:\.\d+)?", " ".join([text, *code])))


def code(text):
    """Code blocks without comments."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
    return [
        "\n".join(re.sub(r"\s*(?<![\"'])#.*", "", line) for line in block.splitlines())
        for block in blocks
    ]


@pytest.mark.parametrize("english, spanish", PAIRS)
def test_both_languages_agree(english, spanish):
    ours, theirs = read(english), read(spanish)
    levels = [re.findall(r"^#+(?= )", prose(t), flags=re.MULTILINE) for t in (ours, theirs)]
    assert levels[0] == levels[1]
    assert code(ours) == code(theirs)
    # Lessons have their own test of numbers; years and dates of prose are the same everywhere.
    if "tools/gallery" not in english:
        assert numbers(ours, "en") == numbers(theirs, "es")
    linked = [
        sorted(
            re.sub(r"\.(es|en)\.(md|ipynb)$", r".\2", Path(link.partition("#")[0]).name)
            for link in found
        )
        for found in (links(ours), links(theirs))
    ]
    assert linked[0] == linked[1]


def test_every_page_but_the_cards_and_the_english_ones_has_a_spanish_one():
    english = {"keras_vae/bring_your_own.md", "keras_vae/quantizers/README.md"}
    lone = {n for n in PAGES if not n.startswith(".github")} - set(sum(PAIRS, ())) - english
    cards = {f"zoo/{p.parent.name}/README.md" for p in (ROOT / "zoo").glob("*/metadata.json")}
    assert lone == cards
