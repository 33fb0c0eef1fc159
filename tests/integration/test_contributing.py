"""The worked example of the contributor's guide works, and is as short as it says."""

import importlib
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from tests.support import ROOT, SHAPE, make_images

pytestmark = pytest.mark.once

GUIDE = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = re.findall(r"^\*\*\d\. `(\S+\.py)`\*\*", GUIDE, re.MULTILINE)
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def names_of(path, monkeypatch):
    """The global names of a Python file of the checkout."""
    parts = Path(path).with_suffix("").parts
    if parts[0] == "tests":
        monkeypatch.setattr(sys, "path", [str((ROOT / path).parent), *sys.path])
        parts = parts[-1:]
    return dict(vars(importlib.import_module(".".join(parts))))


def test_the_example_works(monkeypatch, rng):
    assert len(FILES) == len(BLOCKS) == 3
    objective, paper, test = (names_of(path, monkeypatch) for path in FILES)
    # Without the decorators' effect on the registers of the process.
    exec(BLOCKS[0], objective := {**objective, "register": lambda value: value})
    objectives = types.SimpleNamespace(**{**vars(paper["objectives"]), "Renyi": objective["Renyi"]})
    paper |= {"paper": lambda: lambda function: function, "objectives": objectives}
    exec(BLOCKS[1], paper)
    model = paper["renyi_vae"](latent_dim=2, input_shape=SHAPE, units=(8,))
    losses = model.fit(make_images(rng, 32), epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    before = set(test)
    exec(BLOCKS[2], test := {**test, "objectives": objectives})
    (added,) = (name for name in set(test) - before if name.startswith("test_"))
    test[added](rng)


def test_it_takes_at_most_sixty_lines():
    # One line for the name in `__all__`, two empty ones before each block.
    assert 1 + sum(2 + block.count("\n") for block in BLOCKS) <= 60
