"""Presets of tiny models, to be copied or damaged."""

import shutil
from pathlib import Path

import pytest

from keras_vae import zoo
from keras_vae.zoo import presets
from tests.support.presets import tiny


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A saved vae; copy it before changing it."""
    return zoo.save(tiny(), tmp_path_factory.mktemp("original") / "tiny")


@pytest.fixture
def preset(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "preset"))


@pytest.fixture
def packaged(original, tmp_path, monkeypatch):
    """A zoo with three presets and things that are none."""
    root = tmp_path / "zoo"
    for name in ("mnist_conv", "mnist_dense", "celeba_conv", ".mnist_2d.previous", ".mnist_2d.x1"):
        shutil.copytree(original, root / name)
    (root / "only_a_recipe").mkdir()
    (root / "only_a_recipe" / "recipe.json").write_text("{}")
    (root / "a_file").write_text("")
    monkeypatch.setattr(presets, "_FOLDERS", (tmp_path / "not there", root))
    return root
