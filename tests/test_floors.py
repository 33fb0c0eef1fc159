"""The order of the modules: no circle, no import upwards, no long root folder."""

import ast
import graphlib
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parent.parent
# From the bottom to the top. A module imports from lower floors and from its own package only:
# two names of one floor do not know each other.
FLOORS = (
    "_atomic _budget _checks _hdf5 _registry _types _version training",
    "conditions corruption datasets distribution distributions initializers schedules similarity",
    "directions layers",
    "flows networks quantizers",
    "likelihoods objectives posteriors priors metrics plots",
    "callbacks",
    "models",
    "zoo",
    # Files that are exported carry their preset's metadata.
    "anomaly export testing",
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}


def modules(root):
    """The Python files of the package below `root`, by their dotted names."""
    files = {}
    for path in (root / "keras_vae").rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def imports(name, files):
    """Names of modules that a module imports, also inside its functions."""
    package = name.split(".") if files[name].stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(files[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                target = f"{source}.{alias.name}"
                yield target if target in files else source


def faults(root):
    """What breaks the order in the package below `root`, one line for each fault."""
    files, lines = modules(root), []
    graph = {name: set() for name in files}
    for name in files:
        for target in sorted(set(imports(name, files))):
            part, other = (f"{n}.".split(".")[1] for n in (name, target))
            if target.split(".")[0] == "tools" or part and target == "keras_vae":
                lines.append(f"{name} imports {target}, which is above it")
            elif target.split(".")[0] == "keras_vae" and target not in files:
                lines.append(f"{name} imports {target}, which does not exist")
            elif target in files:
                graph[name].add(target)
                if part and part != other:
                    missing = [n for n in (part, other) if n not in FLOOR_OF]
                    lines += [f"{n} has no floor in tests/test_floors.py" for n in missing]
                    if not missing and FLOOR_OF[other] >= FLOOR_OF[part]:
                        lines.append(f"{name} imports {target}, which is not below it")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        lines.append(f"circle: {' <- '.join(error.args[1])}")
    return lines


def test_no_circle_and_no_import_upwards():
    assert faults(ROOT) == []


@pytest.mark.parametrize(
    "planted, expected",
    [
        ({}, []),
        ({"metrics/a.py": "from keras_vae import models"}, ["metrics.a imports keras_vae.models"]),
        ({"models/b.py": "def f():\n    import keras_vae.zoo"}, ["models.b imports keras_vae.zoo"]),
        ({"layers.py": "from .flows import Planar"}, ["layers imports keras_vae.flows"]),
        ({"posteriors/c.py": "from .. import priors"}, ["posteriors.c imports keras_vae.priors"]),
        ({"layers.py": "from tools import demo"}, ["layers imports tools"]),
        ({"zoo/d.py": "import keras_vae"}, ["zoo.d imports keras_vae"]),
        ({"zoo/e.py": "from keras_vae.gone import x"}, ["zoo.e imports keras_vae.gone"]),
        ({"odd.py": "from keras_vae import layers"}, ["odd has no floor"]),
        ({"models/f.py": "from keras_vae.models import VAE"}, []),
        (
            {"models/f.py": "from . import g", "models/g.py": "def h():\n    from . import f"},
            ["circle: "],
        ),
        ({"models/__init__.py": "from . import f", "models/f.py": "from . import VAE"}, ["circle"]),
    ],
)
def test_a_planted_fault_is_found(planted, expected, tmp_path):
    tree = {f"{name}/__init__.py": "" for name in ("models", "metrics", "posteriors", "priors")}
    tree |= {"__init__.py": "from keras_vae import layers, models", "zoo/__init__.py": ""}
    for name, text in {**tree, "layers.py": "", "flows.py": "", **planted}.items():
        path = tmp_path / "keras_vae" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = faults(tmp_path)
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert re.match(f"(keras_vae.)?{re.escape(start)}", line), line


@pytest.mark.parametrize("folder, most", [("keras_vae", 18), ("tools", 10)])
def test_the_root_folders_stay_short(folder, most):
    assert len(list((ROOT / folder).glob("*.py"))) <= most


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_backend_adapters_stay_short(backend):
    path = ROOT / "keras_vae" / "training" / f"{backend}.py"
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 130


def test_nothing_else_is_at_the_top():
    """What git has there: no folder that a command wrote."""
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout of git")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = {name.split("/")[0] for name in listed}
    assert {name for name in found if not name.startswith(".")} == {
        *("pyproject.toml", "README.md", "README.es.md", "LICENSE", "CITATION.cff"),
        *("keras_vae", "zoo", "tests", "tools"),
    }
