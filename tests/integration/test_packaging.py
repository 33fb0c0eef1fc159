"""What an installed package holds, read from the project's own file."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from keras_vae import zoo
from keras_vae.zoo import description
from tests.support import ROOT

pytestmark = pytest.mark.once

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_installed():
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for folder in ("keras_vae", "tools")
        for path in (ROOT / folder).rglob("__init__.py")
    }
    found = {f"keras_vae.{name}" if name.startswith("tools") else name for name in found}
    listed = set(SETTINGS["tool"]["setuptools"]["packages"])
    assert listed == found | {"keras_vae._zoo"}


def test_data_goes_along():
    data = SETTINGS["tool"]["setuptools"]["package-data"]
    assert data["keras_vae._zoo"] == ["*/*"]
    for name in data["keras_vae.tools"]:
        assert (ROOT / "tools" / name).is_file()
    assert data["keras_vae.tools.explore"] == ["page/*"]


def test_what_is_required_is_pinned():
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "tools" / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    project = SETTINGS["project"]
    wanted = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    for requirement in wanted:
        name = requirement.split(">=")[0].split("==")[0].lower().replace("_", "-")
        assert name in pinned, f"{name} is missing in tools/constraints.txt"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built from a copy: building leaves files behind."""
    pytest.importorskip("setuptools", "77")
    root = tmp_path_factory.mktemp("wheel")
    clean = shutil.ignore_patterns("__pycache__", ".runs", ".*")
    for name in ("keras_vae", "tools", "zoo"):
        shutil.copytree(ROOT / name, root / "source" / name, ignore=clean)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    done = subprocess.run(
        [*command, "-w", str(root), str(root / "source")],
        capture_output=True,
        text=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert done.returncode == 0, done.stderr
    (path,) = root.glob("*.whl")
    return path


@pytest.mark.slow
class TestWheel:
    def test_it_is_small_and_for_every_machine(self, wheel):
        assert wheel.stat().st_size < 80e6
        assert wheel.name.startswith("keras_vae-") and wheel.name.endswith("-py3-none-any.whl")

    def test_it_holds_code_presets_and_the_command_and_nothing_else(self, wheel):
        with zipfile.ZipFile(wheel) as file:
            names = set(file.namelist())
            points = next(n for n in names if n.endswith("entry_points.txt"))
            assert b"keras-vae = keras_vae.tools.__main__:main" in file.read(points)
        code = {str(p.relative_to(ROOT)) for p in (ROOT / "keras_vae").rglob("*.py")}
        code.add("keras_vae/py.typed")
        own = [*(ROOT / "tools").rglob("*.py"), *(ROOT / "tools/explore/page").iterdir()]
        tools = {f"keras_vae/{p.relative_to(ROOT)}" for p in own}
        data = {f"keras_vae/tools/{n}" for n in ("digits.npz", "constraints.txt")}
        presets = {
            f"keras_vae/_zoo/{p.parent.name}/{p.name}"
            for p in (ROOT / "zoo").glob("[!.]*/*")
            if p.is_file()
        }
        info = {n for n in names if n.split("/")[0].endswith(".dist-info")}
        gallery = {
            f"keras_vae/tools/gallery/{p.name}"
            for p in (ROOT / "tools" / "gallery").glob("*.*")
            if p.suffix in (".py", ".md", ".json", ".jpg", ".png")
        }
        assert {Path(n).name for n in gallery} >= {"numbers.json", "README.md", "holes.py"}
        assert names - info == code | tools | data | presets | gallery
        endings = {Path(n).suffix for n in presets}
        assert endings <= {".csv", ".h5", ".json", ".md", ".npz", ".jpg", ".png"}
        for name in zoo.list_models():
            for part in (
                description.CONFIG,
                description.METADATA,
                description.WEIGHTS,
                description.GOLDEN,
                description.RECIPE,
            ):
                assert f"keras_vae/_zoo/{name}/{part}" in names
