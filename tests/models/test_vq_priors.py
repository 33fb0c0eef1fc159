"""VQ-VAEs with each prior of codes, by its name or as a layer."""

import json
import re

import keras
import numpy as np
import pytest

from keras_vae import models, priors, zoo
from tests.support import ROOT
from tests.support.quantized import tiny

pytestmark = pytest.mark.turns

KINDS = {
    "pixelcnn": priors.GatedPixelCNN,
    "transformer": priors.CodeTransformer,
    "masked": priors.MaskedTransformer,
}


def plain(value):
    """A configuration without what differs from run to run.

    That is where classes are defined, how the model was compiled and the numbers behind the
    names of layers.
    """
    if isinstance(value, dict):
        left_out = ("module", "compile_config", "build_config")
        return {k: plain(v) for k, v in value.items() if k not in left_out}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return re.sub(r"_\d+$", "", value) if isinstance(value, str) else value


def as_written(found, written):
    """Of a configuration what an older file says too: later arguments have their defaults."""
    if isinstance(written, dict):
        return {k: as_written(found[k], v) for k, v in written.items()}
    if isinstance(written, list):
        assert len(found) == len(written)
        return [as_written(a, b) for a, b in zip(found, written, strict=True)]
    return found


@pytest.mark.parametrize("name", KINDS)
def test_a_name_makes_the_prior_of_these_codes(name):
    prior = tiny(prior=name, prior_channels=8, num_classes=3, condition_dropout=0.2).prior
    assert type(prior) is KINDS[name]
    assert (prior.num_codes, prior.map_shape, prior.condition_dim) == (16, (2, 2), 3)
    config = prior.get_config()
    assert config["channels" if name == "pixelcnn" else "width"] == 8
    assert config["depth"] == 1 and config["condition_dropout"] == 0.2
    # As the layer itself makes its weights from this seed.
    again = type(prior).from_config(config)
    for mine, other in zip(prior.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("name", ["transformer", "masked"])
def test_it_learns_draws_and_loads(name, images, tmp_path):
    model = tiny(prior=name, prior_channels=8, num_classes=3)
    labels = np.arange(64) % 3
    assert np.isfinite(model.fit(images, labels, verbose=0).history["prior_loss"]).all()
    adam = keras.optimizers.Adam(0.01)
    history = model.fit_prior(images, labels, epochs=20, optimizer=adam, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    loaded = zoo.load(zoo.save(model, tmp_path / "preset"))
    assert type(loaded.prior) is KINDS[name]
    codes = model.sample_codes(5, condition=1, seed=2)
    assert codes.shape == (5, 2, 2) and codes.min() >= 0 and codes.max() < 16
    np.testing.assert_array_equal(loaded.sample_codes(5, condition=1, seed=2), codes)
    np.testing.assert_array_equal(model.sample(5, 1, seed=2), model.decode(codes))


@pytest.mark.once
def test_a_layer_is_taken_as_it_is():
    layer = priors.CodeTransformer(16, (2, 2), 3, 6, 1, 3, seed=4, condition_dropout=0.1)
    assert tiny(prior=layer, num_classes=3, prior_channels=64, prior_depth=8).prior is layer


@pytest.mark.once
@pytest.mark.parametrize("preset", ["mnist_vq", "cifar10_vq", "celeba_vq"])
def test_the_presets_are_still_what_their_recipes_make(preset):
    folder = ROOT / "zoo" / preset
    recipe = json.loads((folder / "recipe.json").read_text())["model"]
    assert recipe["function"] == "vq_vae"
    written = plain(json.loads((folder / "config.json").read_text()))
    # A recipe that names no prior has that of before there was a choice.
    named = {"prior": "pixelcnn", **recipe["arguments"]}
    for arguments in (recipe["arguments"], named):
        model = models.vq_vae(**arguments)
        found = plain(json.loads(json.dumps(keras.saving.serialize_keras_object(model))))
        assert as_written(found, written) == written


@pytest.mark.once
@pytest.mark.parametrize(
    "options, match",
    [
        ({"prior": "gpt"}, r"must be one of \('pixelcnn', .* Received: prior='gpt'"),
        ({"prior": None}, r"such as `priors.CodeTransformer\(16, \(2, 2\)\)`.* prior=None"),
        ({"prior": "masked", "prior_channels": 6}, "multiple of 4; .* prior_channels=6"),
        (
            {"prior": "masked", "prior_channels": 8, "prior_kernel_size": 5},
            "prior_kernel_size: the PixelCNN's, so leave them out. Received: prior='masked'",
        ),
    ],
)
def test_names_and_sizes_that_do_not_fit(options, match):
    with pytest.raises(ValueError, match=match):
        tiny(**options)


@pytest.mark.once
def test_layers_that_do_not_fit():
    def make(prior, **options):
        return tiny(prior=prior, prior_channels=64, **{"prior_depth": 8, **options})

    other = priors.CodeTransformer(9, (2, 2), None, 8, 1, 2)
    with pytest.raises(ValueError, match="prior_depth: the prior's own, so give them to `CodeTr"):
        make(other, prior_depth=1)
    with pytest.raises(ValueError, match="for the codes of this model: .*16.* Received: .*9"):
        make(other)
    with pytest.raises(ValueError, match=r"Received: .*'map_shape': \(None, None\)"):
        make(priors.UniformCodes(16))
    with pytest.raises(ValueError, match="Received: prior=<StandardNormal"):
        make(priors.StandardNormal(4))
    uniform = priors.UniformCodes(16, (2, 2))
    assert make(uniform).prior is uniform
