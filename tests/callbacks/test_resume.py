"""Going on after an interruption, and stopping at a loss that is not a number."""

import json
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import callbacks, models
from tests.support import ROOT, SHAPE, resume_child

BACKEND = keras.backend.backend()
# PyTorch may add in another order in another process.
TOLERANCE = 1e-6 if BACKEND == "torch" else 0.0


def tiny(**kwargs):
    return models.vae(SHAPE, 2, **{"units": (4,), "seed": 0, **kwargs})


class Interrupt(keras.callbacks.Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self.when, self.epoch = (epoch, batch), None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.when:
            raise KeyboardInterrupt


def state_of(model):
    slots = model.optimizer.variables
    return [ops.convert_to_numpy(v) for v in (*model.variables, *slots)]


def assert_same(one, other, atol=TOLERANCE):
    assert len(one) == len(other)
    for a, b in zip(one, other):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


class TestResume:
    @pytest.mark.parametrize("kind", ["plain", "dropout"])
    def test_an_interrupted_fit_ends_like_a_whole_one(self, kind, images, tmp_path):
        def build():
            model = tiny(likelihood="dynamic_bernoulli")
            if kind == "dropout":
                inputs = keras.Input(SHAPE)
                x = keras.layers.Flatten()(inputs)
                x = keras.layers.Dropout(0.3, seed=1)(x)
                x = keras.layers.Dense(4, kernel_initializer="ones")(x)
                encoder = keras.Model(inputs, x)
                model = models.VAE(encoder, model.decoder, model.posterior_layer, seed=0)
            model.compile(keras.optimizers.Adam(0.01, use_ema=True))
            return model

        def fit(model, folder, *more):
            return model.fit(
                images[:21],
                batch_size=8,
                epochs=3,
                verbose=0,
                validation_data=images[21:30],
                callbacks=[
                    callbacks.Resume(tmp_path / folder, log=tmp_path / "log.csv"),
                    callbacks.SwapAverages(swap_on_epoch=True),
                    *more,
                ],
            )

        whole = build()
        history = fit(whole, "whole")
        assert not (tmp_path / "whole").exists()
        with pytest.raises(KeyboardInterrupt):
            fit(build(), "other", Interrupt(2, 1))
        resumed = build()
        again = fit(resumed, "other")
        assert history.epoch == again.epoch == [0, 1, 2]
        assert set(history.history) == set(again.history)
        for name, values in history.history.items():
            np.testing.assert_allclose(again.history[name], values, rtol=1e-6, err_msg=name)
        assert_same(state_of(whole), state_of(resumed))
        rows = (tmp_path / "log.csv").read_text().splitlines()
        assert rows[0].startswith("epoch,kl_loss,loss") and len(rows) == 4

    def test_a_finished_fit_does_nothing_until_asked_for_more(self, images, tmp_path):
        def fit(model, epochs):
            resume = callbacks.Resume(tmp_path / "state", keep=True)
            return model.fit(images, epochs=epochs, verbose=0, callbacks=resume)

        first = tiny()
        fit(first, 2)
        second = tiny()
        assert fit(second, 2).epoch == [0, 1]
        assert_same(state_of(first), state_of(second), 0.0)
        assert fit(second, 3).epoch == [0, 1, 2]
        assert int(ops.convert_to_numpy(second.step)) == 6

    def test_what_stopped_early_stays_so(self, images, tmp_path):
        def fit(model):
            stop = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=1)
            resume = callbacks.Resume(tmp_path / "state", keep=True)
            return model.fit(images, epochs=9, verbose=0, callbacks=[resume, stop])

        assert fit(tiny()).epoch == [0, 1]
        model = tiny()
        assert fit(model).epoch == [0, 1] and int(ops.convert_to_numpy(model.step)) == 4

    @pytest.mark.filterwarnings("ignore:Skipping nested container")
    def test_a_state_that_does_not_fit_is_refused(self, images, tmp_path):
        resume = callbacks.Resume(tmp_path / "state", keep=True)
        tiny().fit(images, verbose=0, callbacks=resume)
        other = tiny(units=(5,))
        before = other.get_weights()
        with pytest.raises(ValueError, match="another model, or is damaged.*Received"):
            other.fit(images, verbose=0, callbacks=resume)
        assert_same(before, other.get_weights(), 0.0)
        (tmp_path / "state" / "state.json").write_text("{")
        with pytest.raises(ValueError, match="state is damaged.*Received"):
            tiny().fit(images, verbose=0, callbacks=resume)

    def test_weights_and_epoch_change_together(self, images, tmp_path):
        """A kill between writing the one and the other leaves the earlier pair."""
        resume = callbacks.Resume(tmp_path / "state", keep=True)
        tiny().fit(images, epochs=2, verbose=0, callbacks=resume)
        state = json.loads((tmp_path / "state" / "state.json").read_text())
        files = {path.name for path in (tmp_path / "state").iterdir()}
        assert files == {"state.json", "epoch_2.weights.h5"} and state["epoch"] == 2
        # As on_epoch_end leaves it: the next weights are there, the state is not yet.
        (tmp_path / "state" / "epoch_3.weights.h5").write_bytes(b"half")
        model = tiny()
        model.fit(images, epochs=3, verbose=0, callbacks=resume)
        assert int(ops.convert_to_numpy(model.step)) == 6

    def test_the_order_is_that_of_seed_and_epoch(self):
        x = np.arange(10, dtype="float32")[:, None]
        source = callbacks.Shuffled(x, x, batch_size=4, seed=1, sample_weight=x[:, 0])
        assert len(source) == 3

        def epoch(number):
            source.epoch = number
            batches = [source[i] for i in range(3)]
            assert all((a == b).all() and (a[:, 0] == c).all() for a, b, c in batches)
            return np.concatenate([a for a, *_ in batches])[:, 0]

        first, second, again = epoch(0), epoch(1), epoch(0)
        assert sorted(first) == sorted(second) == list(range(10))
        assert (first == again).all() and (first != second).any()
        assert (first != np.arange(10)).any()

    @pytest.mark.slow
    def test_killed_at_random_moments(self, tmp_path):
        """SIGKILL; `python tests/support/resume_child.py kill FOLDER 50` is the long run."""
        command = [sys.executable, resume_child.__file__, "kill", str(tmp_path), "3"]
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        summary = done.stdout.splitlines()[-1]
        assert f"{BACKEND}: 3 kills, 1 runs compared, worst difference" in summary
        assert float(summary.split()[-1]) <= TOLERANCE, done.stdout


def test_averages_are_swapped_in_and_out_to_the_bit(images):
    """Validation sees the averages; training goes on with the weights it had."""
    model = tiny()
    model.compile(keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5))
    seen = {}

    class Look(keras.callbacks.Callback):
        def __init__(self, when):
            super().__init__()
            self.when = when

        def look(self, at):
            seen[self.when, at] = [w.copy() for w in model.get_weights()]

        def on_test_begin(self, logs=None):
            self.look("begin")

        def on_test_end(self, logs=None):
            self.look("end")

    swap = callbacks.SwapAverages(swap_on_epoch=True)
    beside = [Look("before"), swap, Look("after")]
    model.fit(images, batch_size=16, epochs=2, verbose=0, callbacks=beside, validation_data=images)
    assert_same(seen["before", "begin"], seen["after", "end"], 0.0)
    assert_same(seen["after", "begin"], seen["before", "end"], 0.0)
    gaps = [np.abs(a - b).max() for a, b in zip(seen["before", "begin"], seen["after", "begin"])]
    assert max(gaps) > 1e-4


class TestStopAtNaN:
    @pytest.mark.parametrize("epoch, batch", [(0, 0), (1, 2)])
    def test_it_says_where_and_gives_the_weights_back(self, epoch, batch, images):
        model = tiny()
        kept = {}

        class Poison(keras.callbacks.Callback):
            def on_epoch_begin(self, number, logs=None):
                self.number = number
                kept[number] = state_of(model)
                if (number, 0) == (epoch, batch):
                    self.poison()

            def on_train_batch_end(self, number, logs=None):
                if (self.number, number + 1) == (epoch, batch):
                    if BACKEND == "jax":
                        model.jax_state_sync()
                    self.poison()

            def poison(self):
                bias = model.decoder.layers[-2].bias
                bias.assign(bias * np.nan)

        with pytest.raises(FloatingPointError) as caught:
            model.fit(images, batch_size=16, epochs=3, verbose=0, callbacks=[Poison()])
        text = str(caught.value)
        assert f"since epoch {epoch + 1}, batch {batch + 1}." in text
        assert "Received: " in text and "loss=nan" in text and "reconstruction_loss=nan" in text
        if batch:
            assert f"again those at the beginning of epoch {epoch + 1}" in text
            assert_same(kept[epoch], state_of(model), 0.0)
            # And goes on.
            assert np.isfinite(model.fit(images, verbose=0).history["loss"]).all()

    def test_bad_data_in_a_later_batch_is_named_and_not_trained_on(self, images):
        """The weights are those after the last good step."""

        class Batches(keras.utils.PyDataset):
            def __len__(self):
                return 3

            def __getitem__(self, index):
                return (images[:4] * (np.nan if index == 1 else 1.0),)

        model, other = tiny(), tiny()
        with pytest.raises(ValueError, match="`batch 2` must be finite. Received: 256 NaN"):
            model.fit(Batches(), verbose=0, shuffle=False)
        other.fit(images[:4], batch_size=4, shuffle=False, verbose=0, fast=False)
        assert_same(other.get_weights(), model.get_weights(), 1e-6)

    def test_a_learning_rate_that_blows_up(self, images):
        model = tiny()
        model.compile(keras.optimizers.SGD(1e30))
        with pytest.raises(FloatingPointError, match="Lower the learning rate.*Received"):
            model.fit(images, epochs=9, batch_size=8, verbose=0)
        assert all(np.isfinite(w).all() for w in model.get_weights())


class TestAStateThatCameWithAFolder:
    """Its weights are those beside it, and are checked as a stranger's are."""

    @pytest.fixture
    def folder(self, tmp_path, images):
        model = tiny()
        model.compile("adam")
        model.fit(images, epochs=1, verbose=0, callbacks=[callbacks.Resume(tmp_path, keep=True)])
        return tmp_path

    def resumed(self, folder, images):
        model = tiny()
        model.compile("adam")
        model.fit(images, epochs=2, verbose=0, callbacks=[callbacks.Resume(folder, keep=True)])

    @pytest.mark.parametrize(
        "changed, message",
        [
            ({"weights": "../elsewhere.weights.h5"}, "weights of '../elsewhere"),
            ({"weights": "/tmp/epoch_1.weights.h5"}, "weights of '/tmp"),
            ({"weights": None}, "weights of 'None'"),
            ({"epoch": "1"}, "no number of an epoch"),
            ({"logs": 3}, "no list of logs"),
            ({"logs": [{"loss": "\x1b[2J"}]}, "logs that are no numbers"),
        ],
    )
    def test_other_states_are_refused(self, folder, images, changed, message):
        state = json.loads((folder / "state.json").read_text())
        (folder / "state.json").write_text(json.dumps({**state, **changed}))
        with pytest.raises(ValueError, match=f"The kept state is of another model.*{message}"):
            self.resumed(folder, images)

    def test_a_link_and_a_file_with_links(self, folder, images):
        weights = folder / "epoch_1.weights.h5"
        with h5py.File(weights, "r+") as file:
            file["more"] = h5py.ExternalLink("/etc/hosts.h5", "/")
        with pytest.raises(ValueError, match="arrays of numbers only"):
            self.resumed(folder, images)
        weights.rename(folder / "elsewhere")
        weights.symlink_to(folder / "elsewhere")
        with pytest.raises(ValueError, match="is a link"):
            self.resumed(folder, images)

    def test_a_state_of_a_hundred_thousand_levels(self, folder, images):
        (folder / "state.json").write_text("[" * 10**5)
        with pytest.raises(ValueError, match="The kept state is damaged"):
            self.resumed(folder, images)
