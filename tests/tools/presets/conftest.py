"""A folder with the recipe of a small preset."""

import json

import pytest

from tests.support.recipes import RECIPE


@pytest.fixture
def folder(tmp_path, offline):
    path = tmp_path / "small"
    path.mkdir()
    (path / "recipe.json").write_text(json.dumps(RECIPE))
    return path
