"""The explorer's page as an app: installed, without a network, on a phone, on WebGPU."""

import functools
import gzip
import http.server
import json
import threading

import matplotlib.image
import numpy as np
import pytest

from keras_vae import zoo
from keras_vae.export import route
from tests.support.browser import CHROMIUM, LITERTJS
from tests.support.explore import with_attributes
from tools import explore
from tools.explore import app

pytestmark = pytest.mark.once


@pytest.mark.parametrize("size, full", app.ICONS.values())
def test_an_icon_is_a_point_in_a_square(size, full, tmp_path):
    (tmp_path / app.WORKER).write_text("")
    app.write(tmp_path, "name", "description")
    file = next(file for file, what in app.ICONS.items() if what == (size, full))
    picture = matplotlib.image.imread(tmp_path / file)
    np.testing.assert_array_equal(np.round(255 * picture), app.icon(size, full))
    middle, point = picture[size // 2 + size // 8, size // 4], picture[3 * size // 8, 5 * size // 8]
    np.testing.assert_allclose(255 * middle, [0x34, 0x5F, 0xD6, 255])
    np.testing.assert_allclose(point, 1)
    # Round corners, but where the system cuts its own.
    assert picture[0, 0, 3] == float(full)


class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / app.WORKER).write_text("// code\n")
        (tmp_path / "index.html").write_text("page")
        (tmp_path / "wasm").mkdir()
        (tmp_path / "wasm" / "a.wasm.gz").write_bytes(b"a")
        return tmp_path

    def worker(self, folder):
        """`(version, files, code)` of a folder's worker."""
        version, files, code = (folder / app.WORKER).read_text().split("\n", 2)
        return version, json.loads(files.removeprefix("const FILES = ").rstrip(";")), code

    def test_the_worker_keeps_all_but_the_builds_of_the_runtime(self, folder):
        app.write(folder, "mine", "A model.")
        version, files, code = self.worker(folder)
        assert files == ["./", *sorted(app.ICONS), app.MANIFEST] and code == "// code\n"
        assert version.startswith('const VERSION = "') and len(version) == 17 + 16 + 2

    def test_other_files_are_another_version(self, folder):
        found = set()
        for content in (b"a", b"a", b"b"):
            (folder / "wasm" / "a.wasm.gz").write_bytes(content)
            (folder / app.WORKER).write_text("// code\n")
            app.write(folder, "mine", "A model.")
            found.add(self.worker(folder)[0])
        assert len(found) == 2

    def test_the_manifest_has_what_browsers_ask_for(self, folder):
        app.write(folder, "mine", "A model.")
        told = json.loads((folder / app.MANIFEST).read_text())
        assert told["short_name"] == "mine" and told["display"] == "standalone"
        assert told["start_url"] == told["scope"] == "./"
        assert {(i["sizes"], i["purpose"]) for i in told["icons"]} >= {
            ("192x192", "any"),
            ("512x512", "any"),
            ("512x512", "maskable"),
        }
        for i in told["icons"]:
            size = int(i["sizes"].split("x")[0])
            assert matplotlib.image.imread(folder / i["src"]).shape == (size, size, 4)


class Server:
    """A page's files, and what was sent of them: a dict of path to bytes."""

    def __init__(self, folder):
        sent = self.sent = {}

        class Handler(explore._Handler):
            def copyfile(self, source, outputfile):
                content = source.read()
                sent[self.path] = len(content)
                outputfile.write(content)

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def playwright():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync_api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def written(tmp_path_factory, conversions):
    """`(model, folder)`: a small model and its page."""
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    root = tmp_path_factory.mktemp("app")
    model = with_attributes()
    source = zoo.save(model, root / "small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(route, "_child", conversions)
        explore.write(source, root / "page", verbose=False)
    return model, root / "page"


def shown(page, address, model):
    """Opens the page, and compares its picture with Keras'; the errors of the page."""
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector("body[data-filled]", timeout=60_000)
    code, condition, pixels = page.evaluate(
        "async () => { await explorer.draw(); return "
        "[Array.from(explorer.code), explorer.condition, Array.from(explorer.pixels)]; }"
    )
    right = model.decode(np.array([code], "float32"), np.array([condition]))
    np.testing.assert_allclose(np.reshape(pixels, right.shape), right, atol=1e-4)
    return errors


@pytest.mark.skipif(not LITERTJS.is_dir(), reason="needs LiteRT.js: see tools/start.py")
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the path")
@pytest.mark.slow
class TestInTheBrowser:
    def test_on_a_phone_it_is_installed_and_needs_no_network_again(self, playwright, written):
        model, folder = written
        server = Server(folder)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        phone = {**playwright.devices["Pixel 7"], "viewport": {"width": 390, "height": 844}}
        page = browser.new_context(**phone).new_page()
        try:
            assert shown(page, server.address, model) == []
            # What a first visit costs: one build of the runtime, packed.
            wasm = {p: n for p, n in server.sent.items() if ".wasm" in p}
            assert list(wasm) == ["/litertjs/core/wasm/litert_wasm_internal.wasm.gz"]
            assert sum(server.sent.values()) < 3.6e6
            assert page.evaluate("Boolean(navigator.serviceWorker.controller)")
            assert page.locator("#kept").is_visible()
            assert page.inner_text("#status").endswith("on the processor (WebAssembly).")
            # What Chromium asks of an app.
            session = page.context.new_cdp_session(page)
            found = session.send("Page.getAppManifest")
            assert found["errors"] == [] and found["url"] == f"{server.address}manifest.webmanifest"
            # A test's browser keeps nothing when it ends, which is the one thing that it says.
            missing = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
            assert {error["errorId"] for error in missing} <= {"in-incognito"}
            # Nothing is wider than the phone, and a finger finds every control.
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            small = page.evaluate(
                "[...document.querySelectorAll('button, .button')].filter((e) => "
                "e.checkVisibility() && !e.matches('.picture') && "
                "e.getBoundingClientRect().height < 44).map((e) => e.outerHTML)"
            )
            assert small == []
            before = page.evaluate("Array.from(explorer.code)")
            page.tap("#random")
            page.wait_for_function(
                "(old) => explorer.code.some((v, i) => v !== old[i])", arg=before
            )
            # The server is gone, and a browser knows that it is without a network.
            server.end()
            page.context.set_offline(True)
            for address in (server.address, f"{server.address}?lang=es"):
                assert shown(page, address, model) == []
            assert page.get_attribute("html", "lang") == "es"
        finally:
            server.end()
            browser.close()

    def test_another_version_takes_the_place_of_the_first(self, playwright, written, tmp_path):
        """Of what the worker kept nothing stays."""
        model, folder = written
        server = Server(folder)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context().new_page()
        worker = folder / app.WORKER
        before = worker.read_text()
        names = "caches.keys().then((names) => names.length === 1 && names[0])"
        try:
            shown(page, server.address, model)
            first = page.evaluate(names)
            worker.write_text(before.replace('const VERSION = "', 'const VERSION = "new'))
            shown(page, server.address, model)
            page.wait_for_function(
                f"(old) => {names}.then((name) => name && name !== old)", arg=first
            )
        finally:
            worker.write_text(before)
            server.end()
            browser.close()

    def test_webgpu_is_taken_where_it_works(self, playwright, written):
        """Of a GPU in software: what is tested is the choice, and that the picture is the same."""
        model, folder = written
        server = Server(folder)
        args = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        page = browser.new_context(service_workers="block").new_page()
        try:
            assert shown(page, server.address, model) == []
            adapter = page.evaluate("navigator.gpu?.requestAdapter().then(Boolean) ?? false")
            taken = page.get_attribute("body", "data-accelerator")
            assert taken == ("webgpu" if adapter else "wasm")
            assert ("(WebGPU)" in page.inner_text("#status")) == adapter
            assert page.locator("#kept").is_hidden()
        finally:
            server.end()
            browser.close()


def test_webassembly_is_packed_without_loss(tmp_path):
    source = tmp_path / "a.wasm"
    source.write_bytes(bytes(range(256)) * 10)
    explore._copy(source, tmp_path / "out" / "a.wasm")
    packed = tmp_path / "out" / "a.wasm.gz"
    assert [p.name for p in packed.parent.iterdir()] == ["a.wasm.gz"]
    assert gzip.decompress(packed.read_bytes()) == source.read_bytes()
