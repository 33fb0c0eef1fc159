"""`explore`: a page that runs a preset's decoder in the browser, for people to play with.

The page is a folder of static files: its own HTML, CSS and JavaScript (in `page/`), the
exported model, LiteRT.js, and `explore.json` with what it must know. It asks for nothing
else, so any static server will do, without a network too. A browser installs it as an app,
and keeps its files: after the first visit it starts without a server.
"""

import functools
import gzip
import http.server
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from keras_vae import _atomic, export, zoo

from . import app, describe

PAGE = Path(__file__).resolve().parent / "page"
# Its presence makes a folder a page of ours, which another one may replace.
ABOUT = "explore.json"
_HOSTS = ("127.0.0.1", "localhost")
MODEL = "model.tflite"
# Where tools/start.py has npm put LiteRT.js.
LITERTJS = Path(sys.prefix) / "litertjs" / "node_modules" / "@litertjs"
# Of LiteRT.js what the page loads: the single-threaded builds need no special headers.
_PARTS = (
    "core/package.json",
    "core/dist/index.js",
    "core/wasm/litert_wasm_internal.js",
    "core/wasm/litert_wasm_internal.wasm",
    # For browsers without relaxed SIMD.
    "core/wasm/litert_wasm_compat_internal.js",
    "core/wasm/litert_wasm_compat_internal.wasm",
    "wasm-utils/package.json",
    "wasm-utils/dist/index.js",
)


def write(name, out, verbose=True):
    """Writes the page of a preset.

    Args:
        name: a preset's name, or the path of a saved preset's folder.
        out: folder to write. It appears whole or not at all; only an empty folder, or a
            page that was written before, is replaced.
        verbose: whether it is said what takes time.

    Returns:
        The folder, a `pathlib.Path`.

    Raises:
        ValueError: unknown name; a model without pictures or without codes to start
            from; `export.ExportError` where it cannot be converted.
        ImportError: LiteRT.js, ai-edge-litert or TensorFlow is missing.
        OSError: `out` cannot be written, or holds something else.
    """
    _check_installed()
    info = zoo.info(name)
    out = _atomic.absolute(out)
    with _atomic.folder(out, {ABOUT}, "page of `explore`") as new:
        say = print if verbose else _say_nothing
        say(f"Loading {info['name']} ...")
        model = zoo.load(name, compile=False)
        say("Drawing codes and looking what each dimension changes ...")
        about, data = describe.about(model, info, zoo.folder(name))
        say("Exporting ...")
        signatures = ("encode", "decode") if about["draws"] else ("decode",)
        if about["transport"]:
            signatures += ("transport",)
        export.tflite(name, new / MODEL, data=data, signatures=signatures, verbose=False)
        for file in PAGE.iterdir():
            shutil.copyfile(file, new / file.name)
        for part in _PARTS:
            _copy(LITERTJS / part, new / "litertjs" / part)
        (new / ABOUT).write_text(describe.dump(about), encoding="utf-8")
        app.write(new, info["name"], info["description"])
    return out


def _copy(source, target):
    """Copies a file; WebAssembly is packed to a third, and the page unpacks what it takes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".wasm":
        # Without a time, so that the same file stays the same.
        content = gzip.compress(source.read_bytes(), mtime=0)
        target.with_name(f"{target.name}.gz").write_bytes(content)
    else:
        shutil.copyfile(source, target)


def explore(name, out=None, port=0):
    """Writes the page into a folder, or serves it on this machine until Ctrl-C.

    Args:
        name: see `write`.
        out: folder to write; without it the page is served at 127.0.0.1.
        port: of the server; a free one by default.

    Raises: see `write`; OSError too where the port is taken.
    """
    if out is not None:
        if port:
            raise ValueError(f"--port is for serving: leave --out out. Received: port={port}")
        out = write(name, out)
        print(f"Wrote {out}. Any static server shows it: python -m http.server --directory {out}")
        return
    # A port that is taken is found out before the conversion, not after.
    with tempfile.TemporaryDirectory(prefix="keras_vae_explore_") as temporary:
        folder = Path(temporary) / "page"
        with _server(folder, port) as server:
            write(name, folder)
            print(f"http://127.0.0.1:{server.server_port}/  (Ctrl-C ends it)", flush=True)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print("\nEnded.")


def _server(folder, port):
    handler = functools.partial(_Handler, directory=str(folder))
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise OSError(
            "The page cannot be served at this port: give another --port, from 0 (any that is "
            f"free) to 65535. Received: port={port} ({error})"
        ) from error


class _Handler(http.server.SimpleHTTPRequestHandler):
    # The machine's own table of types is not to be relied on: modules and WebAssembly
    # are refused under any other.
    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".json": "application/json",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
    }

    def log_message(self, *args):
        pass

    def send_head(self):
        """Answers this machine only, and with files of the page only.

        A web site of somebody else may give its name the address 127.0.0.1, and would read
        the page: the browser then sends that name as the host.
        """
        port = self.server.server_port
        names = [name for host in _HOSTS for name in (f"{host}:{port}", host)]
        if self.headers.get("Host", "").lower() not in names:
            self.send_error(403, "This page is for 127.0.0.1")
            return None
        root, path = (os.path.realpath(p) for p in (self.directory, self.translate_path(self.path)))
        if os.path.commonpath([root, path]) != root:
            self.send_error(404, "No file of the page")
            return None
        return super().send_head()

    def list_directory(self, path):
        self.send_error(404, "No file of the page")


def _check_installed():
    missing = [part for part in _PARTS if not (LITERTJS / part).is_file()]
    if missing:
        lines = (Path(__file__).parents[1] / "constraints.txt").read_text().splitlines()
        package = next(line.split()[2] for line in lines if line.startswith("# npm: "))
        raise ImportError(
            "The page runs the model with LiteRT.js, which is not installed. Run: "
            f"npm install --prefix {LITERTJS.parents[1]} {package} (npm comes with Node.js, or "
            f'with: pip install "keras-vae[browser]"). Expected: {LITERTJS / missing[0]}. '
            "Received: no such file"
        )
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise ImportError(
            "The page needs the model as a .tflite file, which is checked with ai-edge-litert. "
            'Run: pip install "keras-vae[litert]". Received: no module ai_edge_litert'
        )


def _say_nothing(*words):
    pass
