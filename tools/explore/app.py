"""What makes the page an app: icons, the web manifest, and the worker that keeps its files."""

import functools
import hashlib
import json

import numpy as np
from PIL import Image

ACCENT, PAPER, WHITE = (0x34, 0x5F, 0xD6), (0xF6, 0xF7, 0xF9), (255, 255, 255)
# File: pixels of its side, and whether it fills the square, for systems that cut their own shape.
ICONS = {
    "icon-192.png": (192, False),
    "icon-512.png": (512, False),
    "icon-maskable.png": (512, True),
    "icon-apple.png": (180, True),
}
WORKER, MANIFEST = "worker.js", "manifest.webmanifest"
# Of these a browser needs one, and the worker keeps the one that it asked for.
_ON_REQUEST = ".wasm.gz"


@functools.cache
def icon(size, full):
    """The icon, a point in a square, as an array `(size, size, 4)` of bytes."""
    # Four samples per side of a pixel.
    place = (np.arange(4 * size) + 0.5) / (4 * size)
    x, y = np.meshgrid(place, place)
    corner = np.maximum(np.abs(np.stack([x, y]) - 0.5) - 0.25, 0.0)
    square = np.ones_like(x) if full else (np.hypot(*corner) <= 0.25).astype(float)
    point = (np.hypot(x - 0.625, y - 0.375) <= 0.1875).astype(float)

    def smooth(mask):
        return mask.reshape(size, 4, size, 4).mean((1, 3))[..., None]

    colour = smooth(point) * np.array(WHITE) + (1 - smooth(point)) * np.array(ACCENT)
    return np.concatenate([colour, 255 * smooth(square)], axis=-1).round().astype("uint8")


def manifest(name, description):
    """The web manifest as a dict, for a page of any address."""
    return {
        "id": "./",
        "name": f"{name} · keras_vae",
        "short_name": name,
        "description": description,
        "lang": "en",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": _hex(PAPER),
        "theme_color": _hex(ACCENT),
        "icons": [
            {
                "src": file,
                "sizes": f"{size}x{size}",
                "type": "image/png",
                "purpose": "maskable" if full else "any",
            }
            for file, (size, full) in ICONS.items()
        ],
    }


def _hex(colour):
    return "#" + "".join(f"{part:02x}" for part in colour)


def write(folder, name, description):
    """Writes icons, manifest, and the list of files into the worker of a complete page."""
    for file, (size, full) in ICONS.items():
        Image.fromarray(icon(size, full)).save(folder / file, optimize=True)
    text = json.dumps(manifest(name, description), ensure_ascii=False, indent=1)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    worker = folder / WORKER
    code = worker.read_text(encoding="utf-8")
    digest, files = hashlib.sha256(code.encode()), []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != worker:
            relative = path.relative_to(folder).as_posix()
            files.append(relative)
            digest.update(relative.encode() + path.read_bytes())
    kept = ["./", *(f for f in files if not f.endswith(_ON_REQUEST) and f != "index.html")]
    head = f'const VERSION = "{digest.hexdigest()[:16]}";\nconst FILES = {json.dumps(kept)};\n'
    worker.write_text(head + code, encoding="utf-8")
