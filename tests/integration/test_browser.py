"""What is exported runs in a real browser: Chromium, LiteRT.js, no network."""

import functools
import http.server
import re
import threading

import numpy as np
import pytest

from keras_vae import export, zoo
from tests.support.browser import CHROMIUM, LITERTJS
from tools.demo import digits
from tools.pages import phone

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(not LITERTJS.is_dir(), reason="needs LiteRT.js: see tools/start.py"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the path"),
]

PAGE = """<!doctype html>
<link rel="icon" href="data:,">
<body>
<script type="importmap">
{"imports": {"@litertjs/core": "./litertjs/core/dist/index.js",
             "@litertjs/wasm-utils": "./litertjs/wasm-utils/dist/index.js"}}
</script>
<script type="module">
LINES
window.pixels = Array.from(pixels);
</script>
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder that holds LiteRT.js, and the address that it is served at."""
    (tmp_path / "litertjs").symlink_to(LITERTJS)
    (tmp_path / "wasm").symlink_to(LITERTJS / "core" / "wasm")
    handler = functools.partial(Quiet, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.mark.parametrize("quantize, tolerance", [(None, 1e-5), ("dynamic", None)])
def test_the_javascript_lines_run(served, page, quantize, tolerance, one_child):
    folder, address = served
    model = zoo.load("mnist_conv")
    x, _ = digits()
    export.tflite(
        model, folder / "m.tflite", quantize, data=x[:100], signatures="decode", verbose=False
    )
    z = np.random.default_rng(0).standard_normal((1, 32)).astype("float32")
    lines, changed = re.subn(
        r"new Float32Array\(32\)",
        f"new Float32Array({z[0].tolist()})",
        phone.LINES["javascript"],
    )
    assert changed == 1
    (folder / "index.html").write_text(PAGE.replace("LINES", lines))
    errors, asked = [], []
    page.on("pageerror", lambda error: errors.append(error))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/index.html")
    page.wait_for_function("window.pixels")
    found = np.array(page.evaluate("window.pixels"), "float32").reshape(1, 28, 28, 1)
    assert errors == [] and all(url.startswith((address, "data:")) for url in asked)
    if tolerance:
        np.testing.assert_allclose(found, model.decode(z), atol=tolerance)
    else:
        # As the interpreter for Python answers, whose kernels are others.
        from ai_edge_litert.interpreter import Interpreter

        decode = Interpreter(str(folder / "m.tflite")).get_signature_runner("decode")
        np.testing.assert_allclose(found, decode(z=z)["image"], atol=2e-2)
