"""Shared by tests: LITERTJS, ONNX, CHROMIUM."""

import shutil
import sys
from pathlib import Path

LITERTJS = Path(sys.prefix) / "litertjs" / "node_modules" / "@litertjs"
ONNX = LITERTJS.parent / "onnxruntime-web"


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
