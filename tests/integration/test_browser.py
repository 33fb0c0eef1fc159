"""What is exported runs in a real browser: Chromium, LiteRT.js, ONNX Runtime, no network."""

import functools
import http.server
import re
import threading

import numpy as np
import pytest

from keras_vae import export, zoo
from tests.support.browser import CHROMIUM, LITERTJS, ONNX
from tools.demo import digits
from tools.pages import phone

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")


pytestmark = [
    pytest.mark.once,
    pytest.mark.slow,
    pytest.mark.skipif(not LITERTJS.is_dir(), reason="needs LiteRT.js: see tools/start.py"),
    pytest.mark.skipif(not ONNX.is_dir(), reason="needs onnxruntime-web: see tools/start.py"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the path"),
]

PAGE = """<!doctype html>
<link rel="icon" href="data:,">
<body>
<script type="importmap">
{"imports": {"@litertjs/core": "./litertjs/core/dist/index.js",
             "@litertjs/wasm-utils": "./litertjs/wasm-utils/dist/index.js",
             "onnxruntime-web/wasm": "./onnxruntime-web/dist/ort.wasm.bundle.min.mjs"}}
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
    """A folder that holds both runtimes, and the address that it is served at."""
    (tmp_path / "litertjs").symlink_to(LITERTJS)
    (tmp_path / "onnxruntime-web").symlink_to(ONNX)
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


def pixels(served, page, language, z):
    """What the lines of a language make of a code; and that they asked for files of the page."""
    folder, address = served
    lines, changed = re.subn(
        r"new Float32Array\(32\)", f"new Float32Array({z[0].tolist()})", phone.LINES[language]
    )
    assert changed == 1
    (folder / f"{language}.html").write_text(PAGE.replace("LINES", lines))
    errors, asked = [], []
    page.on("pageerror", lambda error: errors.append(error))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/{language}.html")
    page.wait_for_function("window.pixels")
    assert errors == [] and all(url.startswith((address, "data:", "blob:")) for url in asked)
    return np.array(page.evaluate("window.pixels"), "float32").reshape(1, 28, 28, 1)


def test_the_javascript_lines_run(served, page, one_child):
    """LiteRT.js and ONNX Runtime beside each other: both show Keras' picture."""
    pytest.importorskip("tf2onnx", reason="needs tf2onnx")
    folder, _ = served
    model = zoo.load("mnist_conv")
    x, _ = digits()
    options = {"data": x[:20], "signatures": "decode", "verbose": False}
    export.tflite(model, folder / "m.tflite", **options)
    export.onnx(model, folder / "m", batch_size=1, **options)
    z = np.random.default_rng(0).standard_normal((1, 32)).astype("float32")
    for language in ("javascript", "onnx"):
        found = pixels(served, page, language, z)
        np.testing.assert_allclose(found, model.decode(z), atol=1e-5, err_msg=language)


def test_a_quantized_file_answers_as_in_python(served, page, one_child):
    folder, _ = served
    model = zoo.load("mnist_conv")
    x, _ = digits()
    export.tflite(
        model, folder / "m.tflite", "dynamic", data=x[:100], signatures="decode", verbose=False
    )
    from ai_edge_litert.interpreter import Interpreter

    z = np.random.default_rng(0).standard_normal((1, 32)).astype("float32")
    decode = Interpreter(str(folder / "m.tflite")).get_signature_runner("decode")
    # Its kernels for Python are others.
    found = pixels(served, page, "javascript", z)
    np.testing.assert_allclose(found, decode(z=z)["image"], atol=2e-2)
