"""What an installed package holds, read from the project's own file."""

import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_installed():
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "keras_vae").rglob("__init__.py")
    }
    listed = set(SETTINGS["tool"]["setuptools"]["packages"])
    assert listed == found | {"keras_vae._zoo", "keras_vae.tools"}


def test_data_goes_along():
    data = SETTINGS["tool"]["setuptools"]["package-data"]
    assert data["keras_vae._zoo"] == ["*/*"]
    for name in data["keras_vae.tools"]:
        assert (ROOT / "tools" / name).is_file()


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
