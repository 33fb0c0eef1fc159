"""Which tests belong to changed files, by git and by the imports in the source."""

import ast
import functools
import subprocess
from pathlib import Path

PACKAGES = ("keras_vae", "tools", "tests")


def changed_files(root):
    """Files that differ from the last commit and files that git does not know, as paths."""
    commands = (["diff", "--name-only", "HEAD"], ["ls-files", "--others", "--exclude-standard"])
    names = []
    for command in commands:
        git = ["git", "-C", str(root), *command]
        names += subprocess.run(git, check=True, capture_output=True, text=True).stdout.split("\n")
    return sorted(filter(None, names))


def tests_of(files, root):
    """The test files of changed files and of all modules that import these.

    Those are the changed test files, the tests that mirror a module (or else those of its
    folder), and the tests that import a changed module themselves.

    Args:
        files: changed files, paths relative to `root` with slashes.
        root: folder of the checkout.

    Returns:
        Paths of test files relative to `root`, sorted.
    """
    root = Path(root)
    modules = {
        _name(path.relative_to(root)): path
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
    }
    imports = {name: _imports(name, path, modules) for name, path in modules.items()}
    changed = {_name(Path(file)) for file in files if file.endswith(".py")} & set(modules)
    affected, new = set(changed), changed
    while new:
        # A package hands names on; who imports them is found by the names.
        new = {
            name
            for name, wanted in imports.items()
            if wanted & new and name not in affected and not _is_package(modules[name])
        }
        affected |= new
    chosen = set()
    for name in affected:
        path = modules[name].relative_to(root)
        if path.name.startswith("test_"):
            # Tests of tests' helpers, and those that import what changed: not what is far away.
            if name in changed or imports[name] & changed or _helpers(imports[name]) & affected:
                chosen.add(path.as_posix())
        else:
            mirror = Path("tests", *path.parts[path.parts[0] == "keras_vae" :])
            own = mirror.parent.name if _is_package(path) else path.stem.strip("_")
            mirror = mirror.with_name(f"test_{own}.py")
            # Small modules share the tests of their folder.
            there = (root / mirror).exists()
            found = [root / mirror] if there else (root / mirror.parent).glob("test_*.py")
            chosen |= {path.relative_to(root).as_posix() for path in found}
    return sorted(chosen)


@functools.lru_cache(maxsize=1000)
def _parsed(path):
    return ast.parse(path.read_text())


def _helpers(names):
    return {name for name in names if name.startswith("tests.")}


def _name(path):
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_package(path):
    return path.name == "__init__.py"


def _imports(name, path, modules):
    """The modules whose names a module uses, looked up behind the packages that export them."""
    tree = _parsed(path)
    package = name if _is_package(path) else name.rpartition(".")[0]
    found, bound = set(), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.add(_known(alias.name, modules))
                bound[(alias.asname or alias.name).split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            for alias in node.names:
                target = _resolve(base, alias.name, modules)
                found.add(target)
                bound[alias.asname or alias.name] = target
    for node in ast.walk(tree):
        # `priors.VampPrior` after `from keras_vae import priors`.
        chain = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        if chain and isinstance(node, ast.Name) and bound.get(node.id) in modules:
            target = bound[node.id]
            for attribute in chain:
                if target in modules and _is_package(modules[target]):
                    target = _resolve(target, attribute, modules)
                    found.add(target)
    return found - {None, name}


def _known(name, modules):
    return name if name in modules else None


def _resolve(package, attribute, modules, depth=5):
    """The module that defines what a package exports under a name."""
    if f"{package}.{attribute}" in modules:
        return f"{package}.{attribute}"
    if package not in modules or not _is_package(modules[package]) or not depth:
        return _known(package, modules)
    for node in _parsed(modules[package]).body:
        if isinstance(node, ast.ImportFrom):
            names = {alias.asname or alias.name: alias.name for alias in node.names}
            if attribute in names:
                base = _base(node, package)
                return _resolve(base, names[attribute], modules, depth - 1)
    return package


def _base(node, package):
    """The module that `from ... import` names, in a module of this package."""
    above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    return ".".join([*above, *filter(None, [node.module])])
