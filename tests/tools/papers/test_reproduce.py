"""Tables of papers: recipes that build, tiny runs that go on, figures that are the model's."""

import json
import types

import keras
import numpy as np
import pytest

from keras_vae import datasets, models, objectives
from keras_vae.datasets import sprites
from tools import __main__ as cli
from tools.papers import reproduce, shown, tables
from tools.presets import recipes
from tools.presets import train as training

pytestmark = pytest.mark.once

TINY = {"input_shape": (28, 28, 1), "latent_dim": 2, "units": (8,), "likelihood": "bernoulli"}
FIT = {"epochs": 300, "batch_size": 50, "learning_rate": 2e-3, "verbose": 0, "warmup_epochs": 30}


@pytest.fixture
def stub(monkeypatch, request):
    """The table "static" with two tiny rows, of the packaged digits."""
    request.getfixturevalue("offline")

    def rows():
        options = {"samples": 5}
        return [
            tables.row("first", {"NLL": 89.9}, "vae", TINY, "mnist", FIT, **options),
            tables.row("second", {}, "vae", {**TINY, "beta": 0.5}, "mnist", FIT, **options),
        ]

    monkeypatch.setitem(tables.TABLES, "static", {**tables.TABLES["static"], "rows": rows})


def run(folder, **options):
    defaults = {"budget": 0.01, "out": folder, "split": "validation", "limit": 60}
    return reproduce.reproduce("static", **{**defaults, **options})


def test_rows_are_trained_measured_and_written(stub, tmp_path, monkeypatch):
    measured = {}

    def likelihood(model, recipe, split, limit):
        measured[recipe["model"]["arguments"].get("beta")] = model, split, limit
        return reproduce.likelihood(model, recipe, split, limit)

    monkeypatch.setitem(reproduce.MEASURES, "likelihood", likelihood)
    found = run(tmp_path)
    assert list(found) == ["first", "second"]
    written = json.loads((tmp_path / "static.json").read_text())
    assert [row["name"] for row in written["rows"]] == ["first", "second"]
    first = written["rows"][0]
    assert (first["epochs"], first["paper_epochs"]) == (3, 300)
    assert (first["split"], first["limit"], first["budget"]) == ("validation", 60, 0.01)
    assert first["published"] == {"NLL": 89.9}
    model, *_ = measured[None]
    x, _ = datasets.load("mnist", "validation", limit=60)
    expected = -model.log_likelihood(x, 5, verbose=False)
    assert first["ours"]["NLL"]["value"] == pytest.approx(expected.mean(), rel=1e-6)
    error = expected.std(ddof=1) / 60**0.5
    assert first["ours"]["NLL"]["standard_error"] == pytest.approx(error, rel=1e-5)
    epochs, losses = zip(*first["validation_curve"])
    assert epochs == (1, 2, 3) and first["validation_loss"] == pytest.approx(min(losses))
    assert (tmp_path / "static.png").is_file()
    # The warm-up is a tenth of the training, as in the paper: .3 epochs of two batches.
    assert model.objective.beta.steps == 1
    text = shown.markdown(tmp_path)
    value = f"{expected.mean():.2f} ± {error:.2f}"
    assert f"| first | NLL | 89.9 | {value} | 3 of 300 | validation, n = 60, K = 5" in text
    assert f"; {keras.backend.backend()}, {first['hardware']}: `python -m tools" in text
    assert "| second | NLL | - |" in text
    # Three of 300 epochs say little: folded.
    assert "<summary>Less than a fifth of the paper's epochs: first, second</summary>" in text
    assert text.endswith("training](static.png)\n\n</details>")
    assert not list((tmp_path / ".runs" / "static").iterdir())


def test_what_is_done_is_not_done_again(stub, tmp_path, monkeypatch, capsys):
    run(tmp_path, rows=["first"])
    before = (tmp_path / "static.json").read_text()
    trained, original = [], training._fit

    def fit(model, *arguments, **options):
        trained.append(model)
        return original(model, *arguments, **options)

    monkeypatch.setattr(training, "_fit", fit)
    run(tmp_path, rows=["first"])
    assert not trained and "first: done before." in capsys.readouterr().out
    assert (tmp_path / "static.json").read_text() == before
    run(tmp_path, rows=["first"], limit=50)
    assert len(trained) == 1
    run(tmp_path, rows=["second"])
    run(tmp_path, rows=["first"], limit=50, restart=True)
    assert len(trained) == 3
    # The other row is still there.
    assert list(reproduce.read("static", tmp_path)) == ["first", "second"]


def test_an_interrupted_row_goes_on(stub, tmp_path, monkeypatch):
    original, seen = training.KeepBest.on_epoch_end, []

    def on_epoch_end(self, epoch, logs=None):
        original(self, epoch, logs)
        seen.append(epoch)
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.KeepBest, "on_epoch_end", on_epoch_end)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, rows=["first"])
    assert not (tmp_path / "static.json").exists()
    run(tmp_path, rows=["first"])
    # The epoch that it was in is done again.
    assert seen == [0, 1, 1, 2]
    assert (tmp_path / "static.json").exists()


def test_a_row_that_stops_early_says_after_how_many_epochs(stub, tmp_path, monkeypatch):
    original = training.KeepBest.on_epoch_end

    def stop(self, epoch, logs=None):
        original(self, epoch, logs)
        self.model.stop_training = epoch == 1

    monkeypatch.setattr(training.KeepBest, "on_epoch_end", stop)
    found = run(tmp_path, rows=["first"])["first"]
    assert (found["epochs"], found["paper_epochs"]) == (2, 300)
    assert "| 2 of 300 |" in shown.markdown(tmp_path)


def test_stages_go_on_from_each_other(stub, tmp_path, monkeypatch):
    """With their own samples and part of the epochs; a second run begins where one stopped."""
    stages = [{"samples": 1, "part": 0.75}, {"samples": 4, "part": 0.25}]
    fit = {"epochs": 400, "batch_size": 50, "learning_rate": 2e-3, "verbose": 0, "stages": stages}
    made = tables.row("growing", {}, "iwae", TINY, "mnist", fit, 5)
    monkeypatch.setitem(tables.TABLES["static"], "rows", lambda: [made])
    seen, original = [], training._fit

    def train(model, x, y, validation, settings, folder):
        began = model.get_weights()
        found = original(model, x, y, validation, settings, folder)
        seen.append((model.objective.samples, settings["epochs"], began, model.get_weights()))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(training, "_fit", train)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    found = run(tmp_path)["growing"]
    assert [(samples, epochs) for samples, epochs, _, _ in seen] == 2 * [(1, 3), (4, 1)]
    (_, _, start, one), (_, _, second, two), (_, _, _, again), (_, _, _, last) = seen
    for a, b, c in zip(one, second, again, strict=True):
        np.testing.assert_array_equal(a, b)
        # What was done is not done again.
        np.testing.assert_array_equal(a, c)
    for a, b in zip(two, last, strict=True):
        np.testing.assert_array_equal(a, b)
    for before, after in ((start, one), (second, two)):
        assert max(np.abs(a - b).max() for a, b in zip(before, after)) > 1e-4
    # The last stage is of one epoch, which is its best, and the fourth of all.
    assert (found["best_epoch"], found["epochs"], found["paper_epochs"]) == (4, 4, 400)
    assert [epoch for epoch, _ in found["validation_curve"]] == [1, 2, 3, 4]
    assert len(reproduce.stages({"model": {"arguments": {}}, "training": {"epochs": 5}})) == 1


def test_a_curve_has_few_points_and_the_last(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,val_loss\n" + "".join(f"{i},{i / 2}\n" for i in range(101)))
    curve = reproduce._curve(log, after=7, points=50)
    assert len(curve) == 34 and curve[-1] == (108, 50.0) and curve[-2] == (105, 48.5)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws rows of these curves and figures; returns the picture's axes."""
    from matplotlib.figure import Figure

    original, seen = Figure.savefig, []

    def savefig(self, *args, **options):
        seen.append(self)
        original(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)

    def draw(rows):
        defaults = {"published": {}, "epochs": 3}
        rows = [{**defaults, **row} for row in rows]
        written = {"rows": rows, "title": "t", "unit": "nats"}
        (tmp_path / "t.json").write_text(json.dumps(written), encoding="utf-8")
        shown.plot(tmp_path, "t")
        assert (tmp_path / "t.png").is_file() == bool(seen)
        return seen[-1].axes if seen else None

    return draw


CURVES = {"a": [(1, 1190.0), (2, 300.0), (3, 97.6)], "b": [(1, 480.0), (3, 155.0)]}


def test_every_bound_is_inside_the_plot(drawn):
    """Though a first epoch is a thousand nats above, or rows are nats apart."""
    rows = [
        {"name": n, "validation_curve": c, "ours": {"NLL": {"value": 90.0}}}
        for n, c in CURVES.items()
    ]
    # A row whose curve was not kept is there by what was measured.
    bare = {"name": "c", "epochs": 8, "ours": {"NLL": {"value": 85.0}}, "published": {"NLL": 80.0}}
    (axes,) = drawn([*rows, bare])
    (bottom, top), (left, right) = axes.get_ylim(), axes.get_xlim()
    points = [(8, 85.0), (3, 90.0), *(curve[-1] for curve in CURVES.values())]
    assert {tuple(line.get_xydata()[-1]) for line in axes.lines if line.get_xydata().size} > {
        *points
    }
    for epoch, loss in points:
        assert bottom < loss < top and left < epoch < right
    assert 70 < bottom < 80 and 155 < top < 200
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["a", "b", "c", "validation loss", "NLL, test", "NLL, published"]


def test_scores_are_drawn_as_bars_and_each_loss_on_its_own_scale(drawn):
    curves = {"a": [(1, 9e3), (2, -4360.0), (3, -8136.0), (4, -1e4)], "b": [(1, 3.0), (2, 1.0)]}
    scores = {"a": {"MIG": (0.1, 3), "SAP": (0.2, 2)}, "b": {"MIG": (0.3, 3)}}
    rows = [
        {
            "name": name,
            "validation_curve": curve,
            "ours": {title: {"value": v, "digits": d} for title, (v, d) in scores[name].items()},
        }
        for name, curve in curves.items()
    ]
    bars, *losses = drawn(rows)
    assert [bar.get_width() for bar in bars.patches] == [0.1, 0.2, 0.3]
    assert [text.get_text() for text in bars.texts] == ["0.100", "0.20", "0.300"]
    assert [text.get_text() for text in bars.get_yticklabels()] == ["MIG", "SAP"]
    # Bars of one score are beside each other, around its name.
    assert bars.get_yticks() == pytest.approx([0.2, 1.2])
    centres = [bar.get_y() + bar.get_height() / 2 for bar in bars.patches]
    assert centres == pytest.approx([0, 1, 0.4])
    for axes, (name, curve) in zip(losses, curves.items(), strict=True):
        assert axes.get_title() == f"{name}, validation loss"
        bottom, top = axes.get_ylim()
        assert bottom < curve[-1][1] < top
    assert losses[0].get_ylim()[1] < 0


def test_without_a_curve_there_is_no_picture(drawn):
    assert drawn([{"name": "a", "ours": {"NLL": {"value": 1.0}}}]) is None


def test_rows_far_from_their_epochs_are_folded(tmp_path):
    def made(name, epochs, **more):
        figure = {"NLL": reproduce._figure(1.0, how="K = 2")}
        row = {"name": name, "published": {}, "epochs": epochs, "paper_epochs": 10, "ours": figure}
        return {**row, "backend": "jax", "hardware": "a machine", "command": "this", **more}

    rows = [made("far", 1), made("near", 2), made("flat", 1, explained="Flat from epoch 1.")]
    written = {"title": "t", "paper": "p", "notes": "n", "rows": rows}
    (tmp_path / "static.json").write_text(json.dumps(written), encoding="utf-8")
    (tmp_path / "wae.json").write_text(json.dumps({**written, "rows": rows[:1]}), encoding="utf-8")
    front, folded = shown.markdown(tmp_path, ["wae", "static"]).split("<details>", 1)
    # The table that has rows in the open comes first.
    assert "| near |" in front and "| flat |" in front and "Flat from epoch 1. K = 2" in front
    assert "| far |" not in front and folded.count("| far |") == 2
    assert "Menos de una quinta parte" in shown.markdown(tmp_path, ["wae"], "es")


def test_figures_that_were_found_alike_share_a_line(tmp_path):
    figures = [("MIG", 0.04, "n = 5"), ("sap", 0.07, "n = 5"), ("NLL", 1.0, "K = 2")]
    made = {
        "name": "row", "published": {"MIG": 0.45}, "epochs": 2, "paper_epochs": 9,
        "ours": {title: reproduce._figure(value, how=how) for title, value, how in figures},
        "backend": "jax", "hardware": "a machine", "command": "this",
    }  # fmt: skip
    written = {"title": "t", "paper": "p", "notes": "n", "rows": [made]}
    (tmp_path / "static.json").write_text(json.dumps(written), encoding="utf-8")
    end = "jax, a machine: `this` |"
    assert shown.markdown(tmp_path, ["static"]).splitlines()[-2:] == [
        f"| row | MIG<br>sap | 0.45<br>- | 0.04<br>0.07 | 2 of 9 | n = 5; {end}",
        f"| row | NLL | - | 1.00 | 2 of 9 | K = 2; {end}",
    ]


def test_averaged_weights_forget_the_start():
    """Of a start at 100 and weights that are 0 from the first step, next to nothing is left."""
    recipe = {"epochs": 4, "batch_size": 100, "weight_average": 0.999}
    small = reproduce.averaged(recipe, 50_001)
    steps = 4 * 501
    assert small["weight_average"] == pytest.approx(1 - 50 / steps)
    assert 100 * small["weight_average"] ** steps < 1e-18 < 100 * 0.999**steps
    assert {**small, "weight_average": 0.999} == recipe
    # A long training keeps its own, and one of less than 50 steps averages nothing.
    assert reproduce.averaged({**recipe, "epochs": 100}, 50_001)["weight_average"] == 0.999
    assert reproduce.averaged(recipe, 1000)["weight_average"] == 0


@pytest.mark.parametrize("last", [False, True])
def test_the_best_epoch_is_measured_or_the_last(stub, tmp_path, monkeypatch, last):
    """Of a training whose validation loss rises."""
    made = tables.row("only", {}, "vae", TINY, "mnist", {**FIT, "last": last}, 5)
    monkeypatch.setitem(tables.TABLES["static"], "rows", lambda: [made])
    original, seen = training.KeepBest.on_epoch_end, []

    def on_epoch_end(self, epoch, logs=None):
        original(self, epoch, {**logs, "val_loss": 100.0 + epoch})
        seen.append(self.model.get_weights())

    monkeypatch.setattr(training.KeepBest, "on_epoch_end", on_epoch_end)
    measured = []

    def likelihood(model, recipe, split, limit):
        measured.append(model.get_weights())
        return reproduce.likelihood(model, recipe, split, limit)

    monkeypatch.setitem(reproduce.MEASURES, "likelihood", likelihood)
    found = run(tmp_path)["only"]
    assert (found["best_epoch"], found["epochs"]) == ((3, 3) if last else (1, 3))
    for a, b in zip(measured[0], seen[2 if last else 0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_samples_of_the_bound_can_be_chosen(stub, tmp_path, capsys):
    how = "validation, n = 60, K = {}, seed 0"
    first = run(tmp_path, rows=["first"])["first"]
    assert first["ours"]["NLL"]["how"] == how.format(5) and "--samples" not in first["command"]
    more = run(tmp_path, rows=["first"], samples=9)["first"]
    assert more["ours"]["NLL"]["how"] == how.format(9)
    assert more["command"].endswith("--samples 9")
    capsys.readouterr()
    run(tmp_path, rows=["first"], samples=9)
    assert "first: done before." in capsys.readouterr().out
    with pytest.raises(ValueError, match="at least 1. Received: samples=0"):
        run(tmp_path, samples=0)
    with pytest.raises(ValueError, match="wae measures no bound: leave `samples` out"):
        reproduce.reproduce("wae", out=tmp_path, samples=5)


def test_bad_words_are_said(stub, tmp_path, capsys):
    with pytest.raises(ValueError, match=r"Rows of static are first, second. Received: \['x'\]"):
        run(tmp_path, rows=["x"])
    with pytest.raises(ValueError, match="above 0. Received: budget=0"):
        run(tmp_path, budget=0)
    with pytest.raises(ValueError, match="no reproduction"):
        reproduce.reproduce("static", limit=5)
    with pytest.raises(ValueError, match="iwae, iwae_two_layers, static.*Received: 'nothing'"):
        reproduce.reproduce("nothing")
    assert cli.main(["reproduce", "static", "--limit", "5"]) == 2
    assert "no reproduction" in capsys.readouterr().err


def test_budgets_scale_epochs_warm_up_and_patience():
    paper = {"epochs": 2000, "warmup_epochs": 100, "patience": 50, "batch_size": 100}
    half = reproduce.scaled(paper, 0.5)
    assert half == {"epochs": 1000, "warmup_epochs": 50, "patience": 25, "batch_size": 100}
    least = reproduce.scaled(paper, 1e-9)
    # A patience of few epochs would listen to noise.
    assert (least["epochs"], least["patience"]) == (1, 10)
    assert reproduce.scaled({**paper, "patience": 4}, 0.5)["patience"] == 4
    assert least["warmup_epochs"] == pytest.approx(0.05)
    assert reproduce.scaled(paper, 1.0) == paper


@pytest.mark.parametrize("name", tables.TABLES)
def test_recipes_build_models_of_their_data(name):
    words = [a for a in cli.parser()._subparsers._group_actions[0].choices["reproduce"]._actions]
    assert name in next(a.choices for a in words if a.dest == "table")
    table = tables.TABLES[name]
    assert table["measure"] in reproduce.MEASURES
    rows = table["rows"]()
    assert len({row["name"] for row in rows}) == len(rows)
    for row in rows:
        for stage in reproduce.stages(row["recipe"]):
            model = recipes.build(stage, 10)
            assert model.data_shape == datasets.info(stage["data"]).shape
            assert model.condition is None
            assert ("factor" in row["name"]) == isinstance(model, models.FactorVAE)


@pytest.mark.parametrize("name, gradient", [("iwae", "dreg"), ("iwae_two_layers", "standard")])
def test_rows_of_bounds_differ_in_nothing_else(name, gradient):
    rows = {row["name"]: row["recipe"] for row in tables.TABLES[name]["rows"]()}
    assert list(rows) == ["vae_1", "vae_5", "iwae_5", "vae_50", "iwae_50"]
    same = []
    for row, recipe in rows.items():
        kind, k = row.split("_")
        stages = recipe["training"].pop("stages")
        same.append(recipe)
        found = [stage["objective"].get_config() for stage in stages]
        assert [config["samples"] for config in found] == [n for n in (1, 5, 50) if n <= int(k)]
        assert sum(stage["part"] for stage in stages) == pytest.approx(1)
        for stage, config in zip(stages, found):
            assert (
                type(stage["objective"]) is {"vae": objectives.ELBO, "iwae": objectives.IWAE}[kind]
            )
            if kind == "iwae":
                few = 4 if config["samples"] == 50 else None
                assert (config["gradient"], config["backward"]) == (gradient, few)
            else:
                assert (config["beta"], config["free_bits"]) == (1, 0)
    assert same[1:] == same[:-1] and same[0]["training"]["centred"]


def test_centred_networks_begin_where_the_data_are(rng):
    """The encoder sees x - mean; a decoder that says nothing gives the mean."""
    model = models.vae((4, 3, 1), 2, units=(5, 6), seed=0)
    x = (rng.random((40, 4, 3, 1)) < np.linspace(0.2, 0.9, 12).reshape(4, 3, 1)).astype("float32")
    mean = x.mean(0, keepdims=True)
    before = model.encoder.predict(x - mean, verbose=0)
    outputs = model.decoder.predict(np.ones((1, 2)), verbose=0)
    recipes.centred(model, x)
    np.testing.assert_allclose(model.encoder.predict(x, verbose=0), before, atol=1e-6)
    shift = model.decoder.predict(np.ones((1, 2)), verbose=0) - outputs
    np.testing.assert_allclose(1 / (1 + np.exp(-shift)), mean, atol=1e-5)


class TestGatedNetworks:
    def test_a_layer_is_a_product_with_its_gate(self, rng):
        model = tables.gated_vamp_vae((2, 2, 1), 3, units=(5,), components=4, seed=1)
        x = rng.random((6, 2, 2, 1)).astype("float32")
        a, b, c, d = model.encoder.get_weights()
        flat = x.reshape(6, 4)
        expected = (flat @ a + b) / (1 + np.exp(-(flat @ c + d)))
        np.testing.assert_allclose(model.encoder.predict(x, verbose=0), expected, rtol=1e-4)
        assert model.prior.components == 4
        assert np.isfinite(model.log_likelihood((x > 0.5).astype("float32"), 3)).all()

    def test_seeds_decide_the_weights(self):
        first, again, other = (
            tables.gated_vamp_vae((2, 2, 1), 2, (3,), 2, seed=s).get_weights() for s in (0, 0, 1)
        )
        for a, b in zip(first, again):
            np.testing.assert_array_equal(a, b)
        assert any((a != b).any() for a, b in zip(first, other))


class TestDisentanglement:
    def measured(self, encode):
        pytest.importorskip("sklearn")
        model = types.SimpleNamespace(encode=encode)
        return reproduce.disentanglement(model, {"data": "sprites"}, "validation", 1500)

    def test_perfect_codes_score_1_and_dead_dimensions_do_not_count(self):
        _, y = sprites.load("validation", "uint8", 1500)
        dead = np.random.default_rng(0).normal(size=(1500, 2)) * 1e-3
        found = self.measured(lambda x: np.concatenate([y, dead], axis=1).astype("float32"))
        assert found["MIG"]["value"] > 0.8  # 20 bins of 32 and 40 values
        assert found["FactorVAE score"]["value"] > 0.95
        assert "5 of 7 dimensions" in found["MIG"]["how"]

    def test_a_collapsed_code_scores_0(self):
        found = self.measured(lambda x: np.zeros((len(x), 3)))
        assert found == {
            "MIG": {
                "value": 0.0,
                "standard_error": None,
                "how": "validation, n = 1500, 0 of 3 dimensions, seed 0",
                "digits": 3,
            }
        }
