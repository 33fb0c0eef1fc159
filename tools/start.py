"""The first commands of a checkout; needs Python 3.11 or later and nothing else.

    python3 tools/start.py         makes an environment and runs the demo
    python3 tools/start.py test    makes an environment and runs all tests
    python3 tools/start.py check   the same environment; style, type hints, order of modules

The environment is `.venv` in the checkout, made once. Everything else on the
line goes to the command, such as `demo --out pictures`.
"""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
ROOT = TOOLS.parent
ENVIRONMENT = ROOT / ".venv"
# What a command needs beside the core; the tests run on every backend.
TESTS = "[browser,dev,jax,litert,metrics,onnx,test,torch]"
EXTRAS = {"check": TESTS, "explore": "[browser,litert]", "test": TESTS}


def main(arguments):
    """Makes the environment and hands over to `python -m tools`."""
    if sys.version_info < (3, 11):  # noqa: UP036 (any Python may start this)
        raise SystemExit(
            "keras_vae needs Python 3.11 or later. Received: " + sys.version.split()[0]
        )
    arguments = arguments or ["demo"]
    python = environment(EXTRAS.get(arguments[0], ""))
    command = [python, "-m", "tools", *arguments]
    return subprocess.run(command, cwd=ROOT).returncode


def environment(extras):
    """Makes `.venv` hold the project and its extras; returns its Python."""
    windows = sys.platform == "win32"
    python = ENVIRONMENT / ("Scripts/python.exe" if windows else "bin/python")
    if not python.exists():
        print(f"Making an environment in {ENVIRONMENT.name}/", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
    wanted = "".join(
        path.read_text() for path in (ROOT / "pyproject.toml", TOOLS / "constraints.txt")
    )
    # An environment that was made with the tests' extras serves the demo too.
    stamp = ENVIRONMENT / f"installed{extras.strip('[]').replace(',', '-')}"
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        print("Installing keras_vae; the first time takes a few minutes.", flush=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        constraints = ["-c", str(TOOLS / "constraints.txt")]
        if "torch" in extras:
            # Alone and first: another package's wish for torch would bring CUDA along.
            subprocess.run([*pip, "torch==" + _pinned("torch==")], check=True)
        subprocess.run([*pip, *constraints, "-e", f"{ROOT}{extras}"], check=True)
        if "browser" in extras:
            npm = [str(python.with_name("npm")), "install", "--silent", "--no-fund"]
            prefix = ["--prefix", str(ENVIRONMENT / "litertjs")]
            if subprocess.run([*npm, *prefix, _pinned("# npm: ")]).returncode:
                print("LiteRT.js was not installed: what needs it will say so.", flush=True)
        stamp.write_text(digest)
    return str(python)


def _pinned(start):
    """What follows `start` on its line of the constraints."""
    lines = (TOOLS / "constraints.txt").read_text().splitlines()
    return next(line.removeprefix(start).strip() for line in lines if line.startswith(start))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
