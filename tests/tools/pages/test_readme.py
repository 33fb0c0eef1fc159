"""The generated parts of the pages, and the presets by task."""

import pytest

from keras_vae import zoo
from tools.pages import catalogue, readme

pytestmark = pytest.mark.once


def test_a_part_stands_between_its_marks():
    text = "a\n<!-- zoo: x -->\nold\n<!-- /zoo -->\nb <!-- speed: y -->\n<!-- /speed -->"
    new = readme.replaced(text, "zoo", "| new |")
    assert new == text.replace("old", "| new |")
    assert readme.replaced(new, "zoo", "| new |") == new


@pytest.mark.parametrize("language", readme.LANGUAGES)
@pytest.mark.parametrize("mark", readme.PARTS)
def test_every_part_is_up_to_date(mark, language):
    name, content = readme.PARTS[mark]
    text = readme.page(name, language).read_text(encoding="utf-8")
    assert f"<!-- /{mark} -->" in text
    assert f"\n{content(language)}\n" in text, "run `python -m tools readme`"


@pytest.mark.parametrize("language", readme.LANGUAGES)
def test_the_zoo_shows_every_preset_once_with_its_picture(language):
    text = catalogue.markdown(language)
    for name in zoo.list_models():
        assert text.count(f"[`{name}`]({name}/README.md)") == 1
        assert f'<img src="{name}/{catalogue.picture(name)}" alt="{name}"' in text


def test_every_preset_has_a_task_that_says_something():
    for name in zoo.list_models():
        assert set(catalogue.tasks(name)) <= set(catalogue.TASKS), name
        assert catalogue.tasks(name)[0] != "more", f"{name}: give its function a task"
        assert catalogue.figure(name) != "-", name


def test_the_one_figure_is_that_of_the_task():
    assert catalogue.figure("mnist_miwae").startswith("imputation error")
    assert catalogue.figure("mnist_conv").startswith("NLL 8")


def test_anchors_are_those_of_github():
    assert catalogue.anchor("Ask for a digit, or for a smile") == "ask-for-a-digit-or-for-a-smile"
    assert catalogue.anchor("Qué es_x (a-b)") == "qué-es_x-a-b"


def test_without_a_checkout_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="in a checkout only"):
        readme.readme()
    assert not list(tmp_path.iterdir())
