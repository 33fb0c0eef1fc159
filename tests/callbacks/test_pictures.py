"""What is drawn while a model trains: when, of which weights, and in which files."""

import json
import sys

import numpy as np
import pytest

from keras_vae import callbacks, models, plots
from tests.support import SHAPE, make_images
from tests.support.recipes import RECIPE
from tools import __main__ as cli

pytestmark = pytest.mark.turns

X = make_images(np.random.default_rng(0), 8)


def tiny(kind="vae", **options):
    return getattr(models, kind)(SHAPE, 2, units=(4,), seed=0, **options)


class TestWatch:
    def test_it_draws_every_few_epochs_and_after_the_last(self, tmp_path):
        watch = callbacks.Watch(tmp_path / "a", X, every=2, n=4)
        tiny().fit(X, epochs=3, batch_size=8, verbose=0, callbacks=[watch])
        drawn = {f"{kind}_{e:04}.png" for kind in ("samples", "reconstructions") for e in (2, 3)}
        assert {path.name for path in (tmp_path / "a").iterdir()} == drawn | {"curves.png"}

    def test_what_it_draws_is_the_model_as_it_is_then(self, tmp_path, monkeypatch):
        shown = []
        monkeypatch.setattr(callbacks.Watch, "show", lambda self, epoch, logs: shown.append(self))
        watch = callbacks.Watch(tmp_path, X, every=5, n=4, seed=3)
        model = tiny()
        before = model.sample(4, seed=3)
        model.fit(X, epochs=1, batch_size=8, verbose=0, callbacks=[watch])
        assert shown == [watch]
        np.testing.assert_array_equal(watch.samples(), model.sample(4, seed=3))
        assert np.abs(watch.samples() - before).max() > 0
        np.testing.assert_array_equal(watch.pairs()[:, 0], X[:4])
        np.testing.assert_array_equal(watch.pairs()[:, 1], model.reconstruct(X[:4]))

    def test_curves_go_on_where_an_earlier_run_stopped(self, tmp_path, monkeypatch):
        curves = []
        monkeypatch.setattr(plots, "training_curves", lambda history, path: curves.append(history))

        def fit(epochs):
            resume = callbacks.Resume(tmp_path / "state", keep=True)
            watch = callbacks.Watch(tmp_path / "w", every=1, n=1)
            tiny().fit(X, epochs=epochs, batch_size=8, verbose=0, callbacks=[resume, watch])

        fit(2)
        fit(3)
        assert [len(c["loss"]) for c in curves] == [1, 2, 3]
        assert curves[2]["loss"][:2] == pytest.approx(curves[1]["loss"])
        assert curves[2]["loss"][2] != curves[2]["loss"][1]

    def test_conditions_are_taken_in_turn(self, tmp_path):
        model = tiny("cvae", num_classes=3)
        watch = callbacks.Watch(tmp_path, X[:2], [2, 0], n=3)
        watch.set_model(model)
        np.testing.assert_array_equal(watch.samples(), model.sample(3, condition=[2, 0, 2], seed=0))

    def test_an_autoencoder_has_no_samples(self, tmp_path):
        watch = callbacks.Watch(tmp_path, X, n=2)
        tiny("autoencoder").fit(X, batch_size=8, verbose=0, callbacks=[watch])
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"curves.png", "reconstructions_0001.png"}

    def test_a_conditional_model_wants_conditions_before_it_trains(self, tmp_path):
        model = tiny("cvae", num_classes=3)
        before = model.get_weights()
        with pytest.raises(ValueError, match="give `condition`.*Received: condition=None"):
            model.fit(X, np.zeros(8), verbose=0, callbacks=[callbacks.Watch(tmp_path, X)])
        for a, b in zip(before, model.get_weights()):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("options", ({"every": 0}, {"n": 0}, {"every": 1.5}, {"n": True}))
    def test_bad_numbers_are_refused(self, options, tmp_path):
        with pytest.raises(ValueError, match="integer of at least 1. Received:"):
            callbacks.Watch(tmp_path, **options)


class TestTensorBoardPictures:
    def test_its_pictures_can_be_read_again(self, tmp_path):
        tf = pytest.importorskip("tensorflow")
        pictures = callbacks.TensorBoardPictures(tmp_path, X, n=2, seed=1)
        model = tiny()
        model.fit(X, epochs=2, batch_size=8, verbose=0, callbacks=[pictures])
        (path,) = (tmp_path / "pictures").iterdir()
        logged = {}
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "images"
                logged[value.tag, event.step] = tf.make_ndarray(value.tensor)
        assert set(logged) == {(k, e) for k in ("samples", "reconstructions") for e in (1, 2)}
        width, height, *drawn = logged["samples", 2]
        assert (int(width), int(height), len(drawn)) == (SHAPE[1], SHAPE[0], 2)
        greys = [tf.io.decode_png(picture).numpy() for picture in drawn]
        np.testing.assert_array_equal(greys, np.rint(255 * model.sample(2, seed=1)))
        first = logged["reconstructions", 2]
        assert int(first[1]) == 2 * SHAPE[0]
        pair = tf.io.decode_png(first[2]).numpy() / 255
        np.testing.assert_allclose(pair[: SHAPE[0]], X[0], atol=0.5 / 255)

    def test_without_tensorflow_it_says_what_to_install(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "tensorflow", None)
        with pytest.raises(ImportError, match="pip install tensorflow"):
            callbacks.TensorBoardPictures(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
@pytest.mark.once
def test_train_draws_its_progress(tmp_path, capsys):
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    assert cli.main(["train", str(folder), "--epochs", "2", "--plot", "1"]) == 0
    names = {path.name for path in (tmp_path / ".runs" / "small_progress").iterdir()}
    kinds = ("samples", "reconstructions")
    assert names == {"curves.png", *(f"{k}_{e:04}.png" for k in kinds for e in (1, 2))}
    assert "small_progress every 1 epochs" in capsys.readouterr().out
