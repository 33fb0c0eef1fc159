"""The gallery: figures that fit, lessons that say what was measured, claims that can fail."""

import re
from pathlib import Path

import numpy as np
import pytest

from keras_vae import datasets
from tools import __main__ as cli
from tools import gallery
from tools.applications import uses
from tools.gallery import lessons, parts

HERE = gallery.HERE
pytestmark = pytest.mark.once


@pytest.fixture(scope="module", autouse=True)
def packaged():
    """No MNIST: the packaged digits, and a judge that is sure of what has bright strokes."""
    patch = pytest.MonkeyPatch()
    patch.setenv("TFDS_DATA_DIR", "/nowhere")

    def probabilities(model, images):
        images = np.asarray(images, "float64")
        bright = (images > 0.9).sum(axis=(1, 2, 3))
        read = (images.sum(axis=(1, 2, 3)) * 1e3).astype(int) % 10
        return np.eye(10)[read] * np.where(bright > 20, 1.0, 0.5)[:, None]

    patch.setattr(parts, "probabilities", probabilities)
    patch.setattr(parts, "judge", lambda: None)
    for cached in (parts.prepared, parts.mnist):
        cached.cache_clear()
    yield
    patch.undo()
    for cached in (parts.prepared, parts.mnist):
        cached.cache_clear()


@pytest.mark.parametrize("name", gallery.NAMES)
class TestEveryFigure:
    def text(self, name, language):
        return lessons.path(HERE, name, language).read_text(encoding="utf-8")

    def test_its_claims_are_borne_out_by_what_was_recorded(self, name):
        numbers = gallery.recorded()[name]["numbers"]
        assert gallery.broken(name, numbers) == []
        # A claim that no numbers could break would be none.
        upside_down = {key: -value for key, value in numbers.items()}
        assert gallery.broken(name, upside_down)

    def test_claims_are_about_numbers_that_there_are(self, name):
        numbers = gallery.recorded()[name]["numbers"]
        sides = [side for a, _, b in gallery.module(name).CLAIMS for side in (a, b)]
        assert {side for side in sides if isinstance(side, str)} <= set(numbers)

    def test_its_lessons_state_the_numbers_that_were_recorded(self, name):
        numbers = gallery.recorded()[name]["numbers"]
        stated = {}
        for language in lessons.LANGUAGES:
            stated[language] = lessons.named(self.text(name, language))
            assert stated[language], "a lesson without a number"
            for key, written in stated[language]:
                assert written == f"{numbers[key]:g}", (language, key)
        assert sorted(set(stated["en"])) == sorted(set(stated["es"]))

    def test_its_lessons_say_how(self, name):
        for language, seed in (("en", "seed 0"), ("es", "semilla 0")):
            text = self.text(name, language)
            assert text.startswith("# ") and lessons.claim(text)
            assert lessons.named(lessons.claim(text)), "a claim without a number"
            assert gallery.command(name) in text and seed in text
            assert f"]({gallery.picture(name)})" in text
            assert f"`{name}.py`" in text, "the line to change"

    def test_the_line_to_change_is_there(self, name):
        """What a lesson calls by name in code is in the module."""
        source = (HERE / f"{name}.py").read_text(encoding="utf-8")
        for language in lessons.LANGUAGES:
            after = self.text(name, language).split(f"`{name}.py`", 1)[1]
            assert re.search(r"`([^`]+)`", after)[1] in source

    def test_its_picture_is_small(self, name):
        assert 3_000 < (HERE / gallery.picture(name)).stat().st_size <= parts.LARGEST


class TestIndex:
    def test_it_lists_every_figure_in_both_languages(self):
        for language, file in lessons.INDEX.items():
            text = (HERE / file).read_text(encoding="utf-8")
            for name in gallery.NAMES:
                own = lessons.path(HERE, name, language).read_text(encoding="utf-8")
                assert f"({name}.{language}.md)" in text and f"({gallery.picture(name)})" in text
                assert lessons.claim(own) in text and f"`{gallery.command(name)}`" in text

    def test_pictures_are_small_together_and_all_are_figures(self):
        pictures = {
            p.name: p.stat().st_size for p in HERE.iterdir() if p.suffix in (".png", ".jpg")
        }
        assert set(pictures) == set(map(gallery.picture, gallery.NAMES))
        assert sum(pictures.values()) <= 650_000


class TestLessons:
    def test_numbers_go_where_they_are_named(self):
        text = "a **1**<!--one-->, b **0.5**<!--two-->, **bold**"
        new = lessons.filled(text, {"one": 3, "two": 0.25})
        assert new == "a **3**<!--one-->, b **0.25**<!--two-->, **bold**"
        assert lessons.named(new) == [("one", "3"), ("two", "0.25")]

    def test_a_number_that_there_is_not_is_refused(self):
        with pytest.raises(ValueError, match="may name a. Received: 'b'"):
            lessons.filled("**1**<!--b-->", {"a": 1})

    def test_unknown_figures_are_refused_before_anything_is_drawn(self, tmp_path):
        with pytest.raises(ValueError, match="Received: 'hole'"):
            gallery.gallery(["holes", "hole"], tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_only_mnist_itself_is_recorded(self):
        with pytest.raises(ValueError, match="needs MNIST itself"):
            gallery.gallery(["samples"], record=True)


class TestMade:
    """Figures that presets alone draw, made for real; see `TestTrained` for the others."""

    def test_samples_and_their_lesson(self, tmp_path, monkeypatch, capsys):
        module, asked = gallery.module("samples"), {}

        def draw(path, plain=module.draw):
            parts.mnist("test", 1)
            asked.update(plain(path, n=50))
            return asked

        monkeypatch.setattr(module, "draw", draw)
        parts.prepared.cache_clear()
        status = cli.main(["gallery", "samples", "--out", str(tmp_path)])
        said = capsys.readouterr().out
        held = asked["vae_sure"] > asked["ae_sure"] < asked["ae_mixture_sure"]
        assert status == (0 if held else 1) and f"ae_sure: {asked['ae_sure']}" in said
        assert ("The lesson says" in said) != held and "1,000 digits that come with" in said
        files = {path.name for path in tmp_path.iterdir()}
        texts = {"samples.en.md", "samples.es.md", "README.md", "README.es.md"}
        assert files == {"samples.jpg", "numbers.json", *texts}
        english = (tmp_path / "samples.en.md").read_text(encoding="utf-8")
        assert dict(lessons.named(english)) == {k: f"{v:g}" for k, v in asked.items()}
        assert "MNIST was not prepared" in english

    def test_denoising_beats_a_filter(self, tmp_path):
        path = tmp_path / "denoising.jpg"
        numbers = gallery.module("denoising").draw(path, n=60)
        assert gallery.broken("denoising", numbers) == []
        assert path.stat().st_size > 3_000

    def test_near_codes_give_like_faces(self, tmp_path):
        numbers = gallery.module("neighbours").draw(tmp_path / "n.jpg", n=16)
        assert gallery.broken("neighbours", numbers) == []

    def test_faces_smile_when_asked(self, tmp_path):
        numbers = gallery.module("attributes").draw(tmp_path / "a.jpg", n=8)
        assert gallery.broken("attributes", numbers) == []

    def test_middles_are_of_unlike_digits(self, tmp_path):
        numbers = gallery.module("interpolation").draw(tmp_path / "i.jpg", n=30, steps=3)
        assert 15 < numbers["pairs"] < 30

    def test_what_needs_data_is_skipped_by_name(self, tmp_path, capsys):
        assert gallery.gallery(["smile"], tmp_path) == 0
        said = capsys.readouterr().out
        assert "smile is skipped: 'celeb_a_64'" in said and "0 figures" in said

    def test_smiles_are_told_apart_by_their_direction(self, tmp_path, monkeypatch):
        """The figure's AUROC is that of codes moved along the direction."""
        from keras_vae import zoo

        model = zoo.load("celeba_vae")
        codes = model.prior.sample(12, np.random.default_rng(0))
        codes[::2] += 2 * model.directions.vector("Smiling")
        faces = model.decode(codes)
        y = np.zeros((12, 40), "float32")
        y[::2, datasets.CELEBA_ATTRIBUTES.index("Smiling")] = 1
        monkeypatch.setattr(datasets, "load", lambda *a, **k: datasets.Data(faces, y))
        numbers = gallery.module("smile").draw(tmp_path / "s.png")
        assert (numbers["faces"], numbers["smiling"]) == (12, 6)
        along = model.encode(faces) @ model.directions.vector("Smiling")
        pairs = along[::2, None] > along[None, 1::2]
        assert numbers["vae_auroc"] == pytest.approx(pairs.mean(), abs=5e-4)
        assert pairs.mean() > 0.7
        gap = (along[::2].mean() - along[1::2].mean()) / along.std()
        assert numbers["vae_gap"] == pytest.approx(gap, abs=0.01)


@pytest.mark.slow
class TestTrained:
    """Figures whose models are trained by the script, with tiny settings."""

    sizes = {"epochs": 1, "examples": 64, "n": 40}

    @pytest.mark.parametrize("name", ("holes", "two_terms", "collapse", "anomalies"))
    def test_it_names_the_numbers_of_its_lesson(self, name, tmp_path, monkeypatch):
        # One model of several is enough.
        module, sizes = gallery.module(name), dict(self.sizes)
        if name == "anomalies":
            monkeypatch.setattr(uses, "anomaly_scores", lambda m, x, seed: (x[:, 9, 9, 0],) * 2)
            sizes["left_out"] = (1,)
        if name == "two_terms":
            monkeypatch.setattr(module, "WEIGHTS", {"both": (1.0, 1.0)})
        if name == "collapse":
            monkeypatch.setattr(module, "BETAS", {"collapsed": 100.0})
        numbers = module.draw(tmp_path / gallery.picture(name), **sizes)
        known = set(gallery.recorded()[name]["numbers"])
        kept = {"anomalies": "_1", "two_terms": "_both", "collapse": "_collapsed"}.get(name, "")
        assert set(numbers) == {key for key in known if key.endswith(kept)}
        assert all(np.isfinite(value) for value in numbers.values())
        assert (tmp_path / gallery.picture(name)).stat().st_size > 3_000

    def test_betas_of_ones_own(self, tmp_path):
        sizes = {**self.sizes, "betas": (0.5, 50)}
        numbers = gallery.module("betas").draw(tmp_path / "b.png", **sizes)
        assert numbers["kl_50"] < numbers["kl_0_5"] and len(numbers) == 8

    def test_terms_are_weighted(self):
        """a · reconstruction + b · KL, of the same evidence."""
        from types import SimpleNamespace

        evidence = SimpleNamespace(reconstruction=np.array([3.0, 5.0]), kl=np.array([1.0, 2.0]))
        loss, terms = gallery.module("two_terms").Weighted(2.0, 10.0)(evidence)
        np.testing.assert_allclose(loss, [16.0, 30.0])
        assert [*terms] == ["reconstruction_loss", "kl_loss"]


class TestCommand:
    def test_it_lists_what_there_is(self, capsys):
        assert cli.main(["gallery", "--list"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == list(gallery.NAMES)

    def test_recording_elsewhere_is_refused(self, capsys):
        assert cli.main(["gallery", "--record", "--out", "x"]) == 2
        assert "leave --out out" in capsys.readouterr().err


def test_every_module_of_a_figure_is_listed():
    found = {p.stem for p in Path(HERE).glob("*.py")} - {"__init__", "lessons", "parts"}
    assert found == set(gallery.NAMES)


def test_grids_run_from_the_upper_left():
    codes = parts.grid((0, 10), (1, 12), 2)
    np.testing.assert_allclose(codes, [[0, 12], [1, 12], [0, 10], [1, 10]])
