"""Names of classes in files: each is of one class."""

import pytest

from keras_vae import _registry, posteriors

pytestmark = pytest.mark.once


def test_a_name_is_of_one_class():
    with pytest.raises(TypeError, match="rename tests.*'keras_vae>Categorical', which is of"):
        _registry.register(type("Categorical", (), {"get_config": dict}))
    # The same class again, as where a module is loaded twice.
    assert _registry.register(posteriors.Categorical) is posteriors.Categorical
