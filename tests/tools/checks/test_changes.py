"""Which tests belong to a changed file."""

import subprocess

import pytest

from tools.checks import changes

pytestmark = pytest.mark.once

TREE = {
    "keras_vae/__init__.py": "from keras_vae import models, priors\n",
    "keras_vae/_checks.py": "import numpy as np\n",
    "keras_vae/priors/__init__.py": "from keras_vae.priors.vamp import VampPrior\n"
    "from keras_vae.priors.normal import Standard\n",
    "keras_vae/priors/normal.py": "class Standard: pass\n",
    "keras_vae/priors/vamp.py": "from .. import _checks\nclass VampPrior: pass\n",
    "keras_vae/models/__init__.py": "from .papers import vamp_vae\n",
    "keras_vae/models/papers.py": "from keras_vae import priors as p\nx = p.VampPrior\n",
    "keras_vae/priors/small.py": "",
    "tools/__init__.py": "",
    "tools/page/__init__.py": "",
    "tests/support/helper.py": "from keras_vae.priors import Standard\n",
    "tests/test_checks.py": "",
    "tests/priors/test_vamp.py": "",
    "tests/priors/test_normal.py": "",
    "tests/models/test_papers.py": "",
    "tests/tools/page/test_page.py": "",
    "tests/integration/test_all.py": "from keras_vae import priors\nx = priors.Standard\n",
    "tests/integration/test_helped.py": "from tests.support.helper import x\n",
}


@pytest.fixture
def tree(tmp_path):
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "changed, wanted",
    [
        # The mirror, and that of the paper that uses it, not of the other prior.
        ("keras_vae/priors/vamp.py", {"priors/test_vamp", "models/test_papers"}),
        ("keras_vae/_checks.py", {"test_checks", "priors/test_vamp", "models/test_papers"}),
        # Tests that import it themselves or through a helper.
        (
            "keras_vae/priors/normal.py",
            {"priors/test_normal", "integration/test_all", "integration/test_helped"},
        ),
        ("tests/support/helper.py", {"integration/test_helped"}),
        ("tests/priors/test_vamp.py", {"priors/test_vamp"}),
        ("tools/page/__init__.py", {"tools/page/test_page"}),
        ("README.md", set()),
        # Without a file of its own in the tests: those of its folder.
        ("keras_vae/priors/small.py", {"priors/test_vamp", "priors/test_normal"}),
    ],
)
def test_tests_of_a_changed_file(tree, changed, wanted):
    assert set(changes.tests_of([changed], tree)) == {f"tests/{name}.py" for name in wanted}


def test_changed_files_are_those_of_git(tree):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tree), *who, *arguments], check=True, capture_output=True)

    git("init")
    git("add", "-A")
    git("commit", "-m", "all")
    assert changes.changed_files(tree) == []
    (tree / "keras_vae/_checks.py").write_text("changed = 1\n")
    (tree / "keras_vae/new.py").write_text("")
    (tree / "keras_vae/models/papers.py").unlink()
    assert changes.changed_files(tree) == [
        "keras_vae/_checks.py",
        "keras_vae/models/papers.py",
        "keras_vae/new.py",
    ]
