"""Every function and class that a user calls says what it takes and gives."""

import inspect

import pytest

import keras_vae

pytestmark = pytest.mark.once

# Packages whose `__all__` is the public API, and files that are.
PUBLIC = (
    "anomaly conditions corruption datasets directions distribution distributions export "
    "flows layers likelihoods metrics networks objectives plots posteriors priors quantizers "
    "schedules zoo"
).split()
# What users call on a model.
METHODS = (
    "encode posterior decode reconstruct sample interpolate traverse edit log_likelihood log_px "
    "fit_sampler"
).split()


def public():
    for name in PUBLIC:
        module = getattr(keras_vae, name)
        names = getattr(module, "__all__", None) or [
            n
            for n, value in vars(module).items()
            if getattr(value, "__module__", 0) == module.__name__
        ]
        for n in names:
            value = getattr(module, n)
            if not n.startswith("_") and (inspect.isfunction(value) or inspect.isclass(value)):
                yield pytest.param(value, id=f"{name}.{n}")
    for n in METHODS:
        yield pytest.param(getattr(keras_vae.models.VAE, n), id=f"models.VAE.{n}")


def unhinted(value):
    """Names of the parameters without a hint, and "return" where that has none."""
    function = value
    if inspect.isclass(value):
        function = value.__init__
        if not str(getattr(function, "__module__", "")).startswith("keras_vae"):
            return []
    signature = inspect.signature(function)
    bare = [
        name
        for name, parameter in signature.parameters.items()
        if name != "self" and parameter.annotation is parameter.empty
    ]
    return bare + ["return"] * (signature.return_annotation is signature.empty)


@pytest.mark.parametrize("value", public())
def test_it_has_hints(value):
    assert unhinted(value) == []


def test_a_missing_hint_is_found():
    def half(x: int, y, *, z: int = 1):
        return x, y, z

    assert unhinted(half) == ["y", "return"]
