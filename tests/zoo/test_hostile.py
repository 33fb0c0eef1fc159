"""The kinds of attack on memory and time: each case is refused, early and clearly."""

import re

import pytest

from keras_vae import zoo
from tests.support import hostile
from tests.support.presets import tiny

# Of one load, beside what the process has: what SECURITY.md promises.
SECONDS, BYTES = 2.0, 300 * 10**6


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A folder with a preset and an archive of the same model."""
    root = tmp_path_factory.mktemp("originals")
    model = tiny()
    zoo.save(model, root / "preset")
    model.save(root / "model.keras")
    # What a first load imports is not of a case.
    for weights in ("pretrained", None):
        zoo.load(root / "model.keras", weights=weights)
    return root


@pytest.mark.turns
@pytest.mark.parametrize("name", hostile.CASES)
def test_it_is_refused_within_its_bounds(name, originals, tmp_path):
    found = hostile.attempt(name, originals, tmp_path / "case")
    assert found["result"] == "ValueError", found
    assert re.search(hostile.CASES[name][1], found["text"]), found
    assert found["names"], found
    assert found["text"].replace("\n", "").isprintable(), found
    assert found["seconds"] < SECONDS and found["bytes"] < BYTES, found


@pytest.mark.once
def test_every_kind_has_cases():
    kinds = [name.split(":")[0] for name in hostile.CASES]
    assert {kind: kinds.count(kind) for kind in sorted(set(kinds))} == {
        **{"K1": 6, "K2": 7, "K3": 6, "K4": 11, "K5": 8, "K6": 7, "K7": 11, "K9": 5, "K10": 3}
    }


def test_the_original_loads(originals):
    for path in (originals / "preset", originals / "model.keras"):
        assert zoo.load(path).latent_dim == 2
