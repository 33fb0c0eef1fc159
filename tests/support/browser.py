"""Shared by tests: LITERTJS, CHROMIUM."""

import shutil
import sys
from pathlib import Path

LITERTJS = Path(sys.prefix) / "litertjs" / "node_modules" / "@litertjs"


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
