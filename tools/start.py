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
TESTS = "[browser,dev,jax,litert,metrics,onnx,quantize,site,test,torch]"
EXTRAS = {"check": TESTS, "explore": "[browser,litert]", "site": "[site]", "test": TESTS}


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
        print("Installing keras_vae and what it needs; the first time takes minutes.", flush=True)
        pip = [str(python), "-m", "pip", "install", "--progress-bar", "off"]
        constraints = ["-c", str(TOOLS / "constraints.txt")]
        if "torch" in extras:
            # Alone and first: another package's wish for torch would bring CUDA along.
            _run([*pip, "torch==" + _pinned("torch==")])
        _run([*pip, *constraints, "-e", f"{ROOT}{extras}"])
        if "test" in extras:
            # A file of data is read of it, and nothing imported: it can do without pandas.
            _run([*pip, "--no-deps", "sktime==" + _pinned("sktime==")])
        if "browser" in extras:
            npm = [str(python.with_name("npm")), "install", "--silent", "--no-fund"]
            prefix = ["--prefix", str(ENVIRONMENT / "litertjs")]
            if subprocess.run([*npm, *prefix, *_pinned("# npm: ").split()]).returncode:
                print("npm installed nothing: what needs its packages will say so.", flush=True)
        stamp.write_text(digest)
    return str(python)


def _run(command):
    """Runs pip, and prints of what it says what it fetches and installs."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stdout:
            if said := _said(line):
                print(f"  {said}", flush=True)
    if process.returncode:
        raise SystemExit(f"pip failed: see above. Received: {' '.join(command)}")


def _said(line):
    """A line of pip in short, or None."""
    word, _, rest = line.strip().partition(" ")
    local = word == "Processing" and rest.endswith(".whl")
    if word == "Downloading" or local or line.strip().startswith("Using cached"):
        file, _, size = rest.removeprefix("cached ").partition(" ")
        # Its metadata come first, and say nothing.
        if file.endswith(".metadata"):
            return None
        name = "-".join(file.rsplit("/", 1)[-1].split("-")[:2])
        return f"{name} {size}".strip()
    if word == "Installing":
        number = rest.count(",") + 1
        return f"installing {number} packages" if rest.startswith("collected") else None
    return None


def _pinned(start):
    """What follows `start` on its line of the constraints."""
    lines = (TOOLS / "constraints.txt").read_text().splitlines()
    return next(line.removeprefix(start).strip() for line in lines if line.startswith(start))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
