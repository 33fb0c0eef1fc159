"""The web site: docstrings as Markdown, links between pages, and the whole of it in Chromium."""

import http.server
import shutil
import threading

import pytest

from keras_vae import zoo
from tools import __main__ as cli
from tools.pages import api, site

pytestmark = pytest.mark.once


class TestDocstrings:
    def test_sections_are_lists_and_code_stays(self):
        text = (
            "What it does: a * b, of `x_1 * y`.\n\n    z = f(x)\n\nMore.\n\nArgs:\n"
            "    x_a: rows,\n        more of them.\n    y: labels.\n\nReturns:\n    A number."
        )
        assert api.markdown(text) == (
            "What it does: a \\* b, of `x_1 * y`.\n\n```text\nz = f(x)\n```\n\nMore.\n\n"
            "**Args:**\n\n- **x\\_a**: rows, more of them.\n- **y**: labels.\n\n"
            "**Returns:** A number."
        )

    def test_signatures_have_no_hints(self):
        def function(a: int, *, b: str = "x", c=object) -> None: ...

        assert api._signature(function) == "(a, *, b='x', c=object)"

    def test_every_public_name_is_in_the_reference(self):
        pages = api.pages()
        for name in api.MODULES:
            assert f"({name}.md)" in pages["index"]
            for own in api.public(api._module(name)):
                assert f"}} keras_vae.{name}.{own}(" in pages[name]
        assert "{py:method} fit(" in pages["models"]


class TestStaged:
    @pytest.fixture(scope="class")
    def source(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("site") / "source"
        site.stage(folder)
        return folder

    def test_links_lead_to_pages_files_or_the_repository(self, source):
        front = (source / "index.md").read_text(encoding="utf-8")
        assert "](zoo/mnist_miwae/index.md)" in front
        assert "](project/CONTRIBUTING.md#add-a-paper)" in front
        assert "/blob/main/CITATION.cff)" in front
        lesson = (source / "tools/gallery/holes.es.md").read_text(encoding="utf-8")
        assert "](notebooks/holes.es.ipynb)" in lesson
        assert (source / "tools/gallery/notebooks/holes.es.ipynb").is_file()
        assert (source / "tools/gallery/holes.jpg").is_file()

    def test_the_catalogue_has_every_preset(self, source):
        for language in ("", ".es"):
            text = (source / f"zoo/index{language}.md").read_text(encoding="utf-8")
            for name in zoo.list_models():
                assert f'href="{name}/index.html"' in text
                assert (source / f"_static/zoo/{name}.jpg").stat().st_size < 40_000


def test_a_card_shows_its_explorer(tmp_path):
    site.stage(tmp_path / "source", ["mnist_2d"])
    card = (tmp_path / "source/zoo/mnist_2d/index.md").read_text(encoding="utf-8")
    assert 'src="../../explore/mnist_2d/index.html" title="Explore mnist_2d"' in card
    other = (tmp_path / "source/zoo/mnist_conv/index.md").read_text(encoding="utf-8")
    assert "iframe" not in other


def test_an_unknown_preset_is_refused_before_the_work(tmp_path):
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    with pytest.raises(ValueError, match="mnist_3d"):
        site.site(tmp_path / "site", ["mnist_3d"])
    assert not (tmp_path / "site").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    (tmp_path / "mine.txt").write_text("mine")
    assert cli.main(["site", "--out", str(tmp_path)]) == 2
    assert "something else than a site" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.slow
class TestInChromium:
    @pytest.fixture(scope="class")
    def address(self, tmp_path_factory):
        pytest.importorskip("furo", reason='needs pip install ".[site]"')
        pytest.importorskip("myst_parser", reason='needs pip install ".[site]"')
        out = tmp_path_factory.mktemp("site") / "html"
        assert cli.main(["site", "--out", str(out)]) == 0

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(out))

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()

    @pytest.fixture
    def page(self):
        playwright = pytest.importorskip("playwright.sync_api")
        chromium = shutil.which("chromium")
        if not chromium:
            pytest.skip("needs Chromium on the path")
        with playwright.sync_playwright() as made:
            browser = made.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            yield browser.new_page(viewport={"width": 390, "height": 800})
            browser.close()

    def test_pages_are_quiet_narrow_and_labelled(self, address, page):
        faults = []
        page.on("console", lambda m: m.type == "error" and faults.append(m.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda r: r.url.startswith((address, "data:")) or faults.append(r.url),
        )
        for name in ("index", "index.es", "zoo/index", "api/models", "tools/gallery/holes.en"):
            page.goto(f"{address}{name}.html", wait_until="load")
            wide = "document.documentElement.scrollWidth - innerWidth"
            assert page.evaluate(wide) <= 0, name
            assert page.evaluate("[...document.images].every(i => i.hasAttribute('alt'))"), name
            language = "es" if name.endswith(".es") else "en"
            assert page.evaluate("document.documentElement.lang") == language
        assert faults == []

    def test_the_zoo_is_searched(self, address, page):
        page.goto(f"{address}zoo/index.html")
        shown = page.locator(".zoo-cards li:visible strong")
        page.get_by_label("Search the zoo").fill("missing")
        assert shown.all_inner_texts() == ["mnist_miwae"]
        page.get_by_label("Search the zoo").fill("")
        page.get_by_role("button", name="Take noise off").press("Enter")
        assert shown.all_inner_texts() == ["mnist_denoising"]
        assert page.get_by_role("status").inner_text() == "Presets: 1"
