"""Tables of the READMEs."""

import pytest

from keras_vae import zoo
from tools.pages import phone, readme

pytestmark = pytest.mark.once


def test_readme_table_stands_between_its_marks():
    text = "a\n<!-- zoo: x -->\nold\n<!-- /zoo -->\nb <!-- speed: y -->\n<!-- /speed -->"
    new = readme.replaced(text, "zoo", "| new |")
    assert new == text.replace("old", "| new |")
    assert readme.replaced(new, "zoo", "| new |") == new


@pytest.mark.parametrize("name", ["README.md", "README.es.md"])
def test_readme_table_is_up_to_date(name):
    text = (readme.ROOT / name).read_text(encoding="utf-8")
    for preset in zoo.list_models():
        assert readme._row(preset) in text, "run `python -m tools readme`"
    assert phone.markdown() in text, "run `python -m tools readme`"
