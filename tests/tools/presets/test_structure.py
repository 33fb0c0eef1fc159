"""The commands on models with clusters, few labels or factors, on the packaged digits."""

import json

import keras
import numpy as np
import pytest

from keras_vae import datasets, metrics, models, priors, zoo
from tests.support.recipes import RECIPE
from tools.presets import evaluate, recipes
from tools.presets import train as training

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("offline")]

KINDS = {
    "vamp_vae": {"components": 4},
    "mixture_vae": {"components": 4},
    "flow_prior_vae": {"couplings": 2, "hidden_units": 8},
    "factor_vae": {"discriminator_units": [8]},
    "auxiliary_vae": {"num_classes": 10, "auxiliary_dim": 2},
    "structured_vae": {"components": 4, "iterations": 2},
}


def recipe_of(function):
    recipe = json.loads(json.dumps(RECIPE))
    recipe["model"]["function"] = function
    recipe["model"]["arguments"] |= KINDS[function]
    if function == "factor_vae":
        del recipe["training"]["warmup_epochs"]
        recipe["evaluation"]["headline"] = "total correlation"
    if function == "auxiliary_vae":
        recipe["training"]["labels"] = {"number": 100, "repeats": 2}
    return recipe


@pytest.mark.slow
@pytest.mark.parametrize("function", sorted(KINDS))
def test_train_and_evaluate(function, tmp_path, monkeypatch):
    """Every figure is that of the model that was written."""
    monkeypatch.setattr(evaluate, "agreement", lambda *_: (0.25, 0.9, 100))
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(recipe_of(function)))
    training.train(folder)
    found = {m["title"]: m for m in evaluate.evaluate(folder)}
    assert {"NLL", "-ELBO", "reconstruction", "KL"} <= set(found)
    assert all(np.isfinite(m["value"]) and m["n"] == 100 for m in found.values())
    assert {m["title"] for m in zoo.info(folder)["metrics"]} == set(found)
    model = zoo.load(folder)
    x, y = datasets.load("mnist", "test")
    expected = -model.log_likelihood(x, samples=5, verbose=False).mean()
    assert found["NLL"]["value"] == pytest.approx(expected, rel=1e-6)
    assert found["-ELBO"]["value"] == pytest.approx(
        found["reconstruction"]["value"] + found["KL"]["value"], rel=1e-6
    )
    if function in ("mixture_vae", "structured_vae"):
        clusters = metrics.cluster_probabilities(model, x).argmax(-1)
        accuracy = 100 * metrics.clustering_accuracy(clusters, y.astype(int))
        assert found["clustering accuracy"]["value"] == pytest.approx(accuracy)
        assert "of 4 components" in found["clustering accuracy"]["how"]
    if function == "auxiliary_vae":
        wrong = 100 * (model.classify(x).argmax(-1) != y).mean()
        assert found["error of the classifier, 100 labels"]["value"] == pytest.approx(wrong)
        assert "100" in (folder / "README.md").read_text()
    if function == "factor_vae":
        assert type(model) is models.VAE
        q = model.posterior(x)
        assert found["total correlation"]["value"] == pytest.approx(
            metrics.normal_total_correlation(q.mean, q.variance)
        )


@pytest.mark.parametrize("function", ["mixture_vae", "structured_vae"])
def test_a_mixture_starts_from_the_codes_of_another_preset(function, tmp_path):
    plain = models.vae(latent_dim=2, units=(8,), seed=3)
    name = str(zoo.save(plain, tmp_path / "plain"))
    model = getattr(models, function)(latent_dim=2, units=(8,), components=3, seed=0)
    x, _ = datasets.load("mnist", "train", limit=200)
    recipes.started(model, name, x)
    codes = plain.encode(x)
    for part in ("encoder", "decoder", "posterior_layer"):
        for a, b in zip(getattr(model, part).get_weights(), getattr(plain, part).get_weights()):
            np.testing.assert_array_equal(a, b)
    found = priors.fit(codes, 3, seed=0)
    means = keras.ops.convert_to_numpy(model.prior.means)
    np.testing.assert_allclose(means, found.means, rtol=1e-5, atol=1e-6)
    # It fits the codes far better than where it would have started.
    fresh = getattr(models, function)(latent_dim=2, units=(8,), components=3, seed=0).prior
    z = keras.ops.convert_to_tensor(codes)
    likely, before = (
        keras.ops.convert_to_numpy(prior.distribution().log_prob(z)).mean()
        for prior in (model.prior, fresh)
    )
    assert likely > before + 0.1


def test_few_labels_are_equally_many_of_each_class(rng):
    y = np.repeat(np.arange(4), 25)
    x = np.arange(100.0)
    again_x, told = recipes.few_labels(x, y, 12, repeats=3, seed=1)
    assert len(again_x) == len(told) == 100 + 3 * 12
    known = told[:100] >= 0
    assert np.bincount(told[:100][known]).tolist() == [3, 3, 3, 3]
    np.testing.assert_array_equal(told[:100][known], y[known])
    # What is repeated is what has a label, each as often, with that label.
    rows = again_x[100:].astype(int)
    np.testing.assert_array_equal(y[rows], told[100:])
    assert set(rows) == set(np.flatnonzero(known)) and np.bincount(rows).max() == 3
    other = recipes.few_labels(x, y, 12, seed=2)[1]
    assert (other[:100] >= 0).tolist() != known.tolist()
    np.testing.assert_array_equal(recipes.few_labels(x, y, 12, 3, seed=1)[1], told)


def test_no_label_but_those_few_reaches_training_or_validation():
    recipe = recipe_of("auxiliary_vae")
    recipe["training"]["labels"] = {"number": 20, "repeats": 1}
    model = recipes.build(recipe)
    _, told = recipes.data(recipe, "train", model)
    assert (told[:800] >= 0).sum() == 20 and len(told) == 820
    for split in ("validation", "test"):
        assert (recipes.data(recipe, split, model)[1] == -1).all()
    _, shown = recipes.shown(recipe, model, 5)
    np.testing.assert_array_equal(shown, datasets.load("mnist", "test", limit=5).y)


@pytest.mark.parametrize(
    "name",
    ["mnist_vamp", "mnist_mixture", "mnist_factor", "mnist_adgm", "mnist_svae"],
)
def test_recipes_build_and_are_small(name):
    recipe = recipes.read(recipes.find(name))
    model = recipes.build(recipe, 10)
    model = model.plain()
    assert model.data_shape == (28, 28, 1)
    assert 4 * model.count_params() < 1.5e6
