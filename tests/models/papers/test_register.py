"""The register of papers: signatures, the catalogue, errors of Python's own kind."""

import inspect

import numpy as np
import pytest

from keras_vae import models
from keras_vae.models.papers import register
from tests.support import SHAPE
from tests.support.registry import HEAD, PAPERS

pytestmark = pytest.mark.once


def test_the_register_is_what_models_offers():
    functions = {n for n in models.__all__ if n.islower()} - {"mark_missing", "pad_series"}
    assert functions == set(PAPERS) == {paper.name for paper in models.papers.catalogue()}
    for name, paper in PAPERS.items():
        assert getattr(models, name) is paper.function


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_every_paper_takes_the_same_first_arguments(name):
    paper = PAPERS[name]
    parameters = inspect.signature(paper.function).parameters
    assert list(parameters)[: len(HEAD)] == list(HEAD)
    for key, parameter in list(parameters.items())[len(HEAD) : -1]:
        assert parameter.kind is parameter.KEYWORD_ONLY, key
        assert parameter.annotation is not parameter.empty, key
    assert list(parameters.values())[-1].kind is inspect.Parameter.VAR_KEYWORD
    assert issubclass(inspect.signature(paper.function).return_annotation, models.VAE)
    assert paper.defaults["name"] == name
    assert 1980 < paper.year < 2030 and paper.authors and paper.title and paper.formula
    printed = str(paper)
    assert paper.title in printed and paper.formula in printed and f"models.{name}" in printed


def test_positional_and_keyword_arguments_are_the_same():
    options = {"kind": "ii", "off_diagonal": 2.0}
    positional = models.dip_vae(SHAPE, 2, "dense", (8,), "normal", 3, "mine", **options)
    named = models.dip_vae(
        input_shape=SHAPE, latent_dim=2, network="dense", units=(8,), likelihood="normal", seed=3,
        name="mine", **options,
    )  # fmt: skip
    for a, b in zip(positional.get_weights(), named.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for model in (positional, named):
        assert model.name == "mine" and model.seed == 3
        assert type(model.likelihood).__name__ == "Normal"
        assert model.objective.get_config()["off_diagonal"] == 2.0
    assert models.dip_vae(SHAPE, 2, units=(8,)).name == "dip_vae"


def test_defaults_of_dense_networks():
    assert PAPERS["iwae"].dense == {"units": (200, 200), "activation": "tanh"}

    def widths(**options):
        encoder = models.iwae(SHAPE, 2, **options).encoder
        found = [layer for layer in encoder.layers if hasattr(layer, "units")]
        return [(layer.units, layer.activation.__name__) for layer in found]

    assert widths() == widths(units=None) == [(200, "tanh"), (200, "tanh")]
    assert widths(units=(8,), activation="relu") == [(8, "relu")]
    assert "tanh" not in str(widths(network="conv"))


def test_errors_name_the_function_and_the_argument():
    for call, match in (
        (lambda: models.dip_vae(speed=1), "unexpected keyword argument 'speed'"),
        (lambda: models.vq_vae(speed=1), "unexpected keyword argument 'speed'"),
        (lambda: models.dip_vae(objective=1), r"multiple values .* argument 'objective'"),
        (lambda: models.dip_vae(SHAPE, input_shape=SHAPE), r"dip_vae\(\) got multiple .*_shape'"),
        (lambda: models.dip_vae(*range(8)), r"dip_vae\(\) takes from 0 to 7 .* 8 were given"),
    ):
        with pytest.raises(TypeError, match=match):
            call()


def test_a_docstring_without_its_paper():
    def nameless(input_shape=SHAPE, latent_dim=2, **options) -> models.VAE:
        """Nameless: -log p(x)."""

    with pytest.raises(ValueError, match="docstring of a paper begins .*Received: nameless"):
        register.paper()(nameless)
    nameless.__doc__ = None
    try:
        # As under Python's option -OO.
        register.paper()(nameless)
        assert PAPERS["nameless"].title is None
    finally:
        PAPERS.pop("nameless", None)


def test_the_catalogue_prints():
    printed = repr(models.papers.catalogue())
    assert printed.count("\n\n") == len(PAPERS) - 1
    assert 'Kingma & Welling, "Auto-Encoding Variational Bayes", 2014' in printed
    assert "gamma=6.4" in printed and "dense      units=(500, 500)" in printed
