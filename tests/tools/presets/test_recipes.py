"""Recipes of strangers: names of the register of papers only, behind the wall."""

import copy
import json
import time

import pytest

from keras_vae.models.papers import PAPERS
from keras_vae.zoo import plain
from tests.support.recipes import RECIPE
from tools.presets import recipes

pytestmark = pytest.mark.once


@pytest.fixture
def written(tmp_path):
    """A function that writes a changed recipe and returns its folder."""

    def write(change=lambda recipe: None):
        recipe = copy.deepcopy(RECIPE)
        change(recipe)
        (tmp_path / "recipe.json").write_text(json.dumps(recipe))
        return tmp_path

    return write


def test_a_recipe_builds_its_model(written):
    model = recipes.build(recipes.read(written()))
    assert model.latent_dim == 2 and model.data_shape == (28, 28, 1)


@pytest.mark.parametrize("name", recipes.names())
def test_packaged_recipes_are_read(name):
    recipe = recipes.read(recipes.find(name))
    assert recipe["model"]["function"] in PAPERS


def arguments(**changed):
    return lambda recipe: recipe["model"]["arguments"].update(changed)


LAMBDA = {"module": "keras.layers", "class_name": "Lambda", "config": {}, "registered_name": None}
SYSTEM = {"module": "os", "class_name": "system", "config": "true", "registered_name": "system"}


@pytest.mark.parametrize(
    "change, message",
    [
        # Attributes of `models` that are no papers.
        *(
            (lambda recipe, name=name: recipe["model"].update(function=name), "register of papers")
            for name in ("VAE", "catalogue", "__loader__", "hub_names.zoo.load", "np", 3, None)
        ),
        (arguments(beta=LAMBDA), "Nothing was executed"),
        (arguments(beta=SYSTEM), "Nothing was executed"),
        (arguments(units=[2] * 10**5), "a list of 100,000 for 'units'"),
        (arguments(latent_dim=10**9), "latent_dim=1000000000"),
        (arguments(input_shape=[2**20, 2**20, 3]), "asks for more"),
        (lambda recipe: recipe["model"].update(arguments=[]), "arguments"),
        (lambda recipe: recipe.update(model="vae"), "needs a dict `model`"),
        (lambda recipe: recipe.pop("training"), "needs a dict `training`"),
        (lambda recipe: recipe.update(data=[]), "names its `data`"),
        (arguments(name="\x1b[2J"), "not printable"),
    ],
)
def test_others_are_refused(written, change, message):
    folder = written(change)
    began = time.process_time()
    with pytest.raises(ValueError, match=message) as caught:
        recipes.read(folder)
    assert time.process_time() - began < 2
    assert str(folder / "recipe.json") in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b"[" * 10**5, b'{"a": ' + b"[" * 10**5 + b"]" * 10**5 + b"}"]
)
def test_what_is_no_recipe(written, content):
    folder = written()
    (folder / "recipe.json").write_bytes(content)
    with pytest.raises(ValueError, match="recipe.json"):
        recipes.read(folder)


def test_a_link_is_not_followed(written, tmp_path):
    folder = written()
    (folder / "recipe.json").rename(folder / "elsewhere")
    (folder / "recipe.json").symlink_to(folder / "elsewhere")
    with pytest.raises(ValueError, match="no symbolic links"):
        recipes.read(folder)


@pytest.mark.parametrize(
    "changed",
    [
        {"unheard_of": 3},
        {"latent_dim": "many"},
        {"network": {"a": 1}},
        {"model_class": "VAE"},
        # The wall's budget: more numbers than any model without weights may have.
        {"units": [2**14, 2**14, 2**14], "latent_dim": 2**14},
    ],
)
def test_arguments_that_make_no_model(written, changed):
    recipe = recipes.read(written(arguments(**changed)))
    with pytest.raises(ValueError, match="describe no model"):
        recipes.build(recipe)


def test_functions_of_the_callers_own_are_called(written):
    recipe = recipes.read(written())
    recipe["model"]["function"] = lambda **given: given
    assert recipes.build(recipe)["latent_dim"] == 2


def test_what_stands_in_a_card_does_nothing():
    shown = plain.markup({"a": ["<script>alert(1)</script>", 3], "b": "x\n# y\x1b[2J"})
    assert shown == {"a": ["&lt;script>alert(1)&lt;/script>", 3], "b": "x\\n# y\\x1b[2J"}
