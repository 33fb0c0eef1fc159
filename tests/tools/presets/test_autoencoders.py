"""The commands on autoencoders: trained, measured and shown on the packaged digits."""

import json

import keras
import numpy as np
import pytest

from keras_vae import corruption, datasets, metrics, priors, zoo
from tests.support.recipes import RECIPE
from tools.presets import evaluate, recipes
from tools.presets import train as training

pytestmark = [pytest.mark.once, pytest.mark.slow]

NOISE = keras.saving.serialize_keras_object(corruption.Gaussian(0.3))
KINDS = {
    "plain": ("autoencoder", {}, {"jacobian_examples": 20}),
    "denoiser": (
        "denoising_autoencoder",
        {"corruption": NOISE, "seed": 1},
        {"compare": "plain"},
    ),
    "sparse": ("sparse_autoencoder", {"k": 2, "units": []}, {}),
    "contractive": (
        "contractive_autoencoder",
        {"probes": 1, "weight": 5.0},
        {"jacobian_examples": 20, "compare": "plain"},
    ),
}


@pytest.fixture
def preset(tmp_path, offline):
    """Function from a kind to a preset of it, trained for two epochs."""

    def made(kind, sampler=None):
        function, arguments, evaluation = KINDS[kind]
        folder = tmp_path / kind
        folder.mkdir()
        own = {"input_shape": [28, 28, 1], "latent_dim": 6, "units": [16], "seed": 0, **arguments}
        recipe = {
            **RECIPE,
            "model": {"function": function, "arguments": own},
            "training": {
                **RECIPE["training"],
                "epochs": 2,
                "warmup_epochs": 0,
                "sampler": {"kind": "gmm", "components": 3, "seed": 2}
                if sampler is None
                else sampler,
            },
            "evaluation": {"samples": 1, **evaluation},
        }
        (folder / "recipe.json").write_text(json.dumps(recipe))
        return training.train(folder)

    return made


def figures(folder):
    evaluate.evaluate(folder)
    return {metric["title"]: metric for metric in zoo.info(folder)["metrics"]}


def test_the_sampler_is_that_of_the_training_split(preset):
    folder = preset("sparse")
    model = zoo.load(folder)
    x, _ = datasets.load("mnist", "train")
    expected = priors.fit(model.encode(x), 3, seed=2)
    found = keras.ops.convert_to_numpy(model.prior.means)
    np.testing.assert_allclose(found, expected.means, rtol=1e-3, atol=1e-3)
    assert {p.name for p in folder.glob("*.png")} >= {"samples.png", "reconstructions.png"}


def test_a_denoiser_is_measured_beside_its_noise_and_a_plain_autoencoder(preset):
    plain, folder = zoo.load(preset("plain")), preset("denoiser")
    found, model = figures(folder), zoo.load(folder)
    x, _ = datasets.load("mnist", "test")
    noisy = corruption.Gaussian(0.3).corrupt(x, seed=0)
    clipped = np.clip(noisy, 0, 1)
    for title, pictures in (
        ("PSNR of noisy data", noisy),
        ("PSNR of noisy data, clipped", clipped),
        ("PSNR of denoised data", model.denoise(noisy)),
        ("PSNR of the clipped data through plain", plain.reconstruct(clipped)),
    ):
        ratios = metrics.psnr(x, pictures)
        assert found[title]["value"] == pytest.approx(ratios.mean(), rel=1e-5)
        assert found[title]["standard_error"] == pytest.approx(ratios.std(ddof=1) / 10, rel=1e-4)
        assert "Gaussian(stddev 0.3), mean over images" in found[title]["how"]
    # Noise of 0.3 is 20 log10(1/0.3) = 10.46 dB.
    assert found["PSNR of noisy data"]["value"] == pytest.approx(10.46, abs=0.1)
    text = (folder / "README.md").read_text()
    assert "(denoised.png)" in text and (folder / "denoised.png").is_file()
    assert "model.denoise(" in text and "PSNR of denoised data" in text


def test_a_card_without_a_sampler_has_no_samples(preset):
    folder = preset("plain", sampler={})
    text = (folder / "README.md").read_text()
    assert not (folder / "samples.png").exists() and "samples" not in text
    assert "model.sample(" not in text and "model.encode(x)" in text
    assert (folder / "reconstructions.png").is_file()


def test_units_that_are_active_are_counted(preset):
    folder = preset("sparse")
    found = figures(folder)["units active at a time"]
    x, _ = datasets.load("mnist", "test")
    share = metrics.active_share(zoo.load(folder), x)
    assert found["value"] == pytest.approx(100 * share.mean())
    assert 0 < found["value"] <= 100 * 2 / 6 + 1e-6


def test_jacobians_are_compared_on_the_same_examples(preset):
    plain, folder = zoo.load(preset("plain")), preset("contractive")
    found, model = figures(folder), zoo.load(folder)
    x, _ = datasets.load("mnist", "test", limit=20)
    for whose, each in (("", model), (" of plain", plain)):
        norms = metrics.squared_jacobian(each, x)
        entry = found[f"squared Jacobian norm{whose}"]
        assert entry["value"] == pytest.approx(norms.mean(), rel=1e-5)
        assert "the first 20 of them" in entry["how"]
        relative = norms.mean() / each.encode(x).astype("float64").var(0).sum()
        entry = found[f"squared Jacobian norm over the codes' variance{whose}"]
        assert entry["value"] == pytest.approx(relative, rel=1e-5)


def test_without_the_other_preset_the_rest_is_measured(preset, capsys):
    found = figures(preset("contractive"))
    assert "Not compared with plain: there is no such preset yet." in capsys.readouterr().out
    assert "squared Jacobian norm" in found and not any("of plain" in title for title in found)


@pytest.mark.parametrize(
    "name", ["mnist_ae", "mnist_contractive", "mnist_denoising", "mnist_sparse"]
)
def test_packaged_recipes_are_of_a_megabyte(name):
    recipe = recipes.read(recipes.find(name))
    model = recipes.build(recipe)
    # The sampler is among the weights: full covariances of wide codes are not small.
    sampler = dict(recipe["training"]["sampler"])
    covariances = sampler.get("components", 1) * model.latent_dim**2
    assert 200_000 < model.count_params() + covariances < 300_000
    model.fit_sampler(np.random.default_rng(0).random((200, 28, 28, 1)), **sampler)
    assert model.sample(2, seed=0).shape == (2, 28, 28, 1)
