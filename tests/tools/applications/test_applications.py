"""What codes are good for: each measure against what is known, the table, the command."""

import json
import types

import numpy as np
import pytest

from keras_vae import datasets, metrics, models, zoo
from tests.support import make_images
from tests.support.recipes import RECIPE
from tools import __main__ as cli
from tools.applications import applications, outliers, uses
from tools.pages import readme

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns


@pytest.mark.once
class TestCompression:
    def test_components_are_those_of_the_data(self, rng):
        x = rng.normal(size=(80, 3, 4, 1)) * np.arange(1, 13).reshape(3, 4, 1) + 2.0
        mean, directions = uses.principal_components(x, 4)
        centred = (x - x.mean(0)).reshape(80, 12)
        _, values, expected = np.linalg.svd(centred, full_matrices=False)
        np.testing.assert_allclose(mean, x.mean(0))
        cosines = np.abs((directions.reshape(4, 12) * expected[:4]).sum(1))
        np.testing.assert_allclose(cosines, 1.0, rtol=1e-9)
        # What is lost is what the other directions hold.
        error = np.square(x - uses.project(x, mean, directions)).sum()
        assert error == pytest.approx(np.square(values[4:]).sum())

    def test_a_linear_autoencoder_errs_as_principal_components_do(self):
        x = np.tile(make_images(np.random.default_rng(0), 100), (20, 1, 1, 1))
        least = np.square(x - uses.project(x, *uses.principal_components(x, 2))).mean()
        model = uses.linear_autoencoder(x, 2, epochs=20, seed=0, learning_rate=0.01)
        assert not model.encoder.get_weights() and len(model.decoder.get_weights()) == 2
        error = np.square(x - model.reconstruct(x)).mean()
        assert least * 0.9999 < error < least * 1.01


class TestClassification:
    def model(self, **attributes):
        plain = {"condition": None, "codes_are_integers": False}
        plain |= {"encode": lambda x: np.reshape(x, (len(x), -1))[:, :3]}
        return types.SimpleNamespace(**{**plain, **attributes})

    @pytest.mark.usefixtures("offline")
    def test_it_is_the_share_that_neighbours_name(self, monkeypatch, tmp_path):
        x, y = datasets.load("mnist", "train", limit=200)
        queries, truth = datasets.load("mnist", "test")
        monkeypatch.setattr(zoo, "load", lambda name: self.model(encode=lambda x: x[:, ::7, ::7]))
        monkeypatch.setattr(zoo, "folder", lambda name: tmp_path)
        (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
        splits = {"train": (x, y), "test": (queries, truth)}
        monkeypatch.setattr(datasets, "load", lambda name, split, limit: splits[split])
        pixels, codes = uses.classification("test", None, 0, tmp_path, presets=["one"])
        flat = [a.reshape(len(a), -1) for a in (x, queries)]
        expected = 100 * (metrics.nearest_labels(flat[0], y, flat[1]) == truth).mean()
        assert pixels[1] == pytest.approx(expected) and "784 numbers" in pixels[2]["how"]
        assert codes[0].endswith("codes of one") and "16 numbers" in codes[2]["how"]
        assert 20 < codes[1] < pixels[1]
        assert (tmp_path / "classification.png").is_file()

    def test_codes_of_quantized_models_are_their_vectors(self):
        book = np.arange(6.0).reshape(3, 2)
        codes = np.array([[[0, 2]], [[1, 1]]])
        model = self.model(
            encode=lambda x: codes, num_codes=3, codebook=book, codes_are_integers=True
        )
        np.testing.assert_array_equal(
            uses.codes_of(model, np.zeros(2)), [[0, 1, 4, 5], [2, 3, 2, 3]]
        )

    def test_a_code_made_with_the_label_is_refused(self):
        model = self.model(condition=types.SimpleNamespace(optional=False))
        with pytest.raises(ValueError, match="made with the label.*Received: condition="):
            uses.codes_of(model, np.zeros((1, 2)))


@pytest.mark.usefixtures("offline")
def test_anomalies_are_found_by_a_model_of_the_others(tmp_path, monkeypatch):
    """The scores are the model's own, and the class left out is not trained on."""
    fitted, trained = [], uses._fit

    def fit(model, x, *arguments):
        fitted.append((model, len(x)))
        trained(model, x, *arguments)

    monkeypatch.setattr(uses, "_fit", fit)
    found = uses.anomalies("test", None, 0, tmp_path, digits=(1, 0), epochs=2)
    values = {title: value for title, value, _ in found}
    x, y = datasets.load("mnist", "test")
    _, labels = datasets.load("mnist", "train")
    assert [n for _, n in fitted] == [(labels != 1).sum(), (labels != 0).sum()]
    model = fitted[1][0]
    error = np.square(model.reconstruct(x) - x).mean(axis=(1, 2, 3))
    assert values["AUROC of 0 left out, reconstruction error"] == metrics.auroc(error, y == 0)
    for title in ("reconstruction error", "negative ELBO"):
        both = [values[f"AUROC of {d} left out, {title}"] for d in (1, 0)]
        assert values[f"AUROC, {title}"] == pytest.approx(np.mean(both))
    # After two epochs of 800 digits: zeros are strange to what saw none, ones are easy.
    assert values["AUROC of 0 left out, reconstruction error"] > 0.7
    assert (tmp_path / "anomalies.png").is_file()


@pytest.mark.once
def test_outliers_are_scored_on_rows_that_nothing_was_fitted_to(monkeypatch):
    """Each detector's area under the curve, on the same rows."""
    datasets_of = pytest.importorskip("sklearn.datasets")
    monkeypatch.setattr(outliers, "RUNS", 2)
    seen = []

    def detectors(shape, epochs, seed):
        def norm(x, held_out):
            seen.append((x, held_out))
            return np.square(held_out).sum(axis=1)

        return {"norm": norm, "minus": lambda x, held_out: -norm(x, held_out)}

    monkeypatch.setattr(outliers, "detectors", detectors)
    found = outliers.outliers("test", None, 0, None)
    titles = ["breast cancer"] * 2 + ["a digit that training never saw"] * 2
    assert [title for title, _, _ in found] == [
        f"AUROC of {name}, {title}" for name, title in zip(["norm", "minus"] * 2, titles)
    ]
    # 357 benign rows and 36 malignant ones: 60 and 20 %.
    assert (len(seen[0][0]), len(seen[0][1])) == (235, 79)
    np.testing.assert_allclose(seen[0][0].mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(found[0][1] + found[1][1], 1.0)
    # Malignant cells are further from the mean.
    assert found[0][1] > 0.8
    x, digit = datasets_of.load_digits(return_X_y=True)
    pure = seen[4][0]
    assert pure.shape[0] == pytest.approx(0.6 * (digit != 0).sum(), abs=25)
    rows = np.random.default_rng(0).permutation(9)
    train, held_out = outliers.divided(9, "validation", 0)
    np.testing.assert_array_equal(train, rows[:5])
    np.testing.assert_array_equal(held_out, rows[5:7])
    impure, outlier = outliers._impure(x, digit == 3, 0, limit=100)
    assert len(impure) == 110 and outlier.sum() == 10


@pytest.mark.once
def test_detectors_are_ours_and_those_of_scikit_learn(rng):
    pytest.importorskip("sklearn")
    x, held_out = rng.normal(size=(40, 4)), 9.0 * np.eye(4)
    for name, detector in outliers.detectors((4,), 2, 0).items():
        scores = np.concatenate([detector(x, held_out), detector(x, x[:9])])
        assert np.isfinite(scores).all(), name
        if "ratio" not in name:
            assert scores[:4].min() > np.median(scores[4:]), name


class TestDenoising:
    @pytest.mark.usefixtures("offline")
    def test_figures_are_those_of_the_pictures(self, tmp_path):
        model = models.denoising_autoencoder(
            latent_dim=2, units=(4,), corruption="gaussian", seed=0
        )
        preset = zoo.save(model, tmp_path / "noisy")
        (preset / "recipe.json").write_text(json.dumps(RECIPE))
        found = uses.denoising("test", None, 3, tmp_path, preset=str(preset))
        values = {title: value for title, value, _ in found}
        x, _ = datasets.load("mnist", "test")
        noisy = model.corruption.corrupt(x, 3)
        assert values["PSNR of noisy pictures"] == pytest.approx(metrics.psnr(x, noisy).mean())
        assert values[f"PSNR of {preset}"] == pytest.approx(
            metrics.psnr(x, model.denoise(noisy)).mean(), rel=1e-5
        )
        held_out, _ = datasets.load("mnist", "validation")
        seen = np.clip(model.corruption.corrupt(held_out, 3), 0, 1)
        each = {k: metrics.psnr(held_out, f(seen)).mean() for k, f in uses.FILTERS.items()}
        assert f"PSNR of the best filter ({max(each, key=each.get)})" in values
        assert (tmp_path / "denoising.png").is_file()

    def test_another_kind_of_preset_is_refused(self, tmp_path):
        preset = zoo.save(models.vae(latent_dim=2, units=(4,), seed=0), tmp_path / "p")
        (preset / "recipe.json").write_text(json.dumps(RECIPE))
        with pytest.raises(ValueError, match="no denoiser. Received: preset="):
            uses.denoising("test", None, 0, None, preset=str(preset))


@pytest.mark.once
class TestFilters:
    @pytest.mark.parametrize("name", uses.FILTERS)
    def test_a_flat_picture_stays(self, name):
        flat = np.full((1, 6, 5, 1), 0.25)
        np.testing.assert_allclose(uses.FILTERS[name](flat), flat)

    def test_a_median_takes_single_pixels_away(self):
        x = np.zeros((1, 7, 7, 1))
        x[0, 3, 3] = 1.0
        assert uses.median_filter(x).max() == 0.0
        x[0, 2:5, 2:5] = 1.0
        assert uses.median_filter(x)[0, 3, 3, 0] == 1.0

    def test_a_blur_is_the_normal_density(self):
        x = np.zeros((1, 21, 21, 1))
        x[0, 10, 10] = 1.0
        blurred = uses.gaussian_blur(x, 1.5)[0, :, :, 0]
        assert blurred.sum() == pytest.approx(1.0)
        ratio = np.exp(-0.5 * (3**2 + 2**2) / 1.5**2)
        assert blurred[13, 12] / blurred[10, 10] == pytest.approx(ratio)


@pytest.mark.once
class TestTable:
    @pytest.fixture
    def stub(self, monkeypatch):
        def use(split, limit, seed, folder, epochs=2):
            return [("errors", 0.5 * epochs, {"unit": "nats", "error": 0.1, "how": "by hand, "})]

        for name in applications.NAMES:
            monkeypatch.setattr(uses, name, use)

    def test_entries_say_how_they_were_made(self, stub, tmp_path):
        (entry,) = applications.apply("anomalies", tmp_path, seed=3, epochs=4)
        assert entry["value"] == 2.0 and entry["standard_error"] == 0.1
        assert entry["how"] == "test, by hand, seed 3"
        assert entry["command"] == "python -m tools apply anomalies --seed 3 --epochs 4"
        assert applications.read(tmp_path) == [entry]

    def test_each_application_replaces_its_own(self, stub, tmp_path):
        assert len(applications.apply("all", tmp_path)) == 5
        applications.apply("compression", tmp_path, epochs=9)
        applications.apply("compression", tmp_path, split="validation")
        entries = applications.read(tmp_path)
        assert len(entries) == 6
        own = [e for e in entries if e["application"] == "compression"]
        assert [(e["split"], e["value"]) for e in own] == [("test", 4.5), ("validation", 1.0)]
        text = applications.markdown(tmp_path)
        assert text.count("<details>") == text.count("</details>") == 5
        part = text.split("<summary>compression (2 figures)</summary>")[1].split("</details>")[0]
        assert "| errors | 4.50 ± 0.10 nats | test, by hand, seed 0 |" in part
        assert part.count("\n| errors |") == 2

    def test_a_part_of_the_data_is_not_written(self, stub, tmp_path, monkeypatch):
        monkeypatch.setattr(applications, "FOLDER", tmp_path / "zoo")
        (entry,) = applications.apply("denoising", limit=7)
        assert "first 7 examples" in entry["how"] and not (tmp_path / "zoo").exists()
        assert cli.main(["apply", "denoising", "--limit", "7", "--out", str(tmp_path)]) == 0
        assert applications.read(tmp_path)[0]["command"].endswith("denoising --limit 7")

    def test_bad_words_are_said(self, stub):
        with pytest.raises(ValueError, match="Received: name='cooking'"):
            applications.apply("cooking")
        with pytest.raises(ValueError, match=r"one application. Received: \['epochs'\]"):
            applications.apply("all", epochs=3)

    def test_the_command_knows_the_same_names(self):
        commands = cli.parser()._subparsers._group_actions[0].choices
        (names,) = (a.choices for a in commands["apply"]._actions if a.dest == "name")
        assert tuple(names) == (*applications.NAMES, "all")

    def test_without_a_table_there_is_no_markdown(self, tmp_path):
        assert applications.read(tmp_path) == [] and applications.markdown(tmp_path) == ""

    def test_the_readme_takes_it(self):
        text = "<!-- applications: x -->\nold\n<!-- /applications -->"
        assert "new" in readme.replaced(text, "applications", "new")
