"""Data as users bring it: sources, tables, dictionaries, pairs, weights, metrics."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import _checks, conditions, likelihoods, models

BACKEND = keras.backend.backend()
D = 6
X = np.random.default_rng(0).random((24, D)).astype("float32")
Y = np.arange(24) % 3
IGNORED = "ignore:(`shuffle=True` was passed|Your input ran out)"
pytestmark = pytest.mark.filterwarnings(IGNORED)


def tiny(make=models.vae, **options):
    if make is models.factor_vae:
        options.setdefault("discriminator_units", (8, 8))
    return make((D,), 2, **{"units": (8,), "likelihood": "normal", "seed": 0, **options})


def still(model, **options):
    """Compiled so that training does not move it."""
    model.compile(optimizer=keras.optimizers.SGD(0.0), **options)
    return model


class Table:
    """As pandas' DataFrame: iterates over the names of its columns, and has no one dtype."""

    def __init__(self, array, columns=None):
        self.array = np.asarray(array)
        self.columns = list(columns or "abcdefgh"[: self.array.shape[1]])
        self.dtypes = [self.array.dtype] * self.array.shape[1]
        self.shape = self.array.shape

    def __len__(self):
        return len(self.array)

    def __iter__(self):
        return iter(self.columns)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype)


class Series(Table):
    def __init__(self, array):
        self.array = np.asarray(array)
        self.shape, self.dtype = self.array.shape, self.array.dtype


def parts_of(arrays, size=8):
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


def source(kind, *arrays, form=tuple):
    """Batches of 8 of arrays; `form` makes a batch of a tuple of them."""
    parts = [form(part) for part in parts_of(arrays)]
    if kind == "tf":
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices(arrays).batch(8)
        return data.map(lambda *batch: form(batch))
    if kind == "loader":
        torch = pytest.importorskip("torch")
        rows = [tuple(a[i] for a in arrays) for i in range(len(arrays[0]))]
        return torch.utils.data.DataLoader(list(map(form, rows)), batch_size=8)
    if kind == "generator":
        return (part for part in parts)
    if kind == "list iterator":
        return iter(parts)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return len(parts)

        def __getitem__(self, index):
            return parts[index]

    return Batches(workers=2 if kind == "workers" else 1)


def bare(batch):
    return batch[0]


def tfds(batch):
    return dict(zip(("image", "label"), batch, strict=False))


KINDS = ["tf", "PyDataset", "workers", "loader", "generator", "list iterator"]


@pytest.mark.turns
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [tuple, bare, tfds])
def test_every_source_trains_and_is_evaluated(kind, form):
    model = still(tiny())
    kl = model.posterior(X).kl(model.prior).mean()
    make = lambda: source(kind, X, Y, form=form)  # noqa: E731
    history = model.fit(make(), validation_data=make(), verbose=0).history
    logs = model.evaluate(make(), verbose=0, return_dict=True)
    for value in (history["kl_loss"][0], history["val_kl_loss"][0], logs["kl_loss"]):
        assert value == pytest.approx(kl, rel=1e-4)
    assert int(ops.convert_to_numpy(model.step)) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_is_taken_by_inference(kind):
    plain, labelled = tiny(), tiny(models.cvae, num_classes=3)
    for model, y in ((plain, None), (labelled, Y)):
        for form in (tuple, tfds) + ((bare,) if y is None else ()):
            make = lambda form=form: source(kind, X, Y, form=form)  # noqa: E731
            np.testing.assert_allclose(model.encode(make()), model.encode(X, y), atol=1e-6)
            rebuilt = model.reconstruct(X, y)
            np.testing.assert_allclose(model.reconstruct(make()), rebuilt, atol=1e-6)
            np.testing.assert_allclose(model.predict(make(), verbose=0), rebuilt, atol=1e-6)
            found = model.log_likelihood(make(), samples=3, verbose=False)
            np.testing.assert_allclose(found, model.log_likelihood(X, 3, y, verbose=False))
            np.testing.assert_allclose(
                model.posterior(make()).mean, model.posterior(X, y).mean, atol=1e-6
            )


def forms_of_arrays(tmp_path):
    yield Table(X), Series(Y)
    yield np.memmap(tmp_path / "x", "float32", "w+", shape=X.shape), np.zeros(24, "int32")
    yield X.astype("float64"), Y.tolist()
    try:
        import pandas as pd
    except ImportError:
        pass
    else:
        yield pd.DataFrame(X), pd.Series(Y)
        yield pd.DataFrame(X, columns=list("abcdef")), pd.DataFrame({"y": Y})
    try:
        import h5py
    except ImportError:
        pass
    else:
        file = h5py.File(tmp_path / "x.h5", "w")
        yield file.create_dataset("x", data=X), file.create_dataset("y", data=Y)


@pytest.mark.turns
def test_tables_and_files_are_arrays(tmp_path):
    for x, y in forms_of_arrays(tmp_path):
        known = np.asarray(x).astype("float32")
        for make, label, given in (
            (tiny, None, None),
            (lambda: tiny(models.cvae, num_classes=3), np.asarray(y).reshape(-1), y),
        ):
            expected, model = still(make()), still(make())
            losses = [
                m.fit(*data, validation_data=data, shuffle=False, verbose=0).history["val_kl_loss"]
                for m, data in ((expected, (known, label)), (model, (x, given)))
            ]
            assert losses[0] == losses[1]
            assert model.evaluate(x, given, verbose=0) == pytest.approx(
                expected.evaluate(known, label, verbose=0), rel=1e-5
            )
            np.testing.assert_array_equal(model.encode(x, given), expected.encode(known, label))
            data = x if given is None else (x, given)
            np.testing.assert_allclose(
                model.predict(data, verbose=0), expected.reconstruct(known, label), atol=1e-6
            )
    history = tiny().fit(Table(X), Table(X), validation_data=(Table(X), Table(X)), verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()


@pytest.mark.turns
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "bad, match",
    [
        (X * 255, r"batch 3.*lie in \[0, 1\]. Pixels of 0..255 become that by `x / 255`"),
        (X * np.nan, "batch 3.*must be finite. Received: 48 NaN"),
        (X - 2, r"batch 3.*Received: values from .*Normal\(data_range=None\)"),
    ],
)
def test_a_later_batch_is_checked_before_it_is_trained_on(kind, bad, match):
    x = np.concatenate([X[:16], bad[16:]])
    expected = still(tiny())
    model = still(tiny())
    expected.fit(X[:16], batch_size=8, verbose=0)
    with pytest.raises(ValueError, match=match) as caught:
        model.fit(source(kind, x), verbose=0)
    assert str(np.float32(x[20, 3])) not in str(caught.value)
    assert np.isfinite(model.encode(X)).all()
    # TensorFlow may have counted the step that it could not finish.
    assert int(ops.convert_to_numpy(model.step)) in ((2, 3) if BACKEND == "tensorflow" else (2,))
    for use in (
        lambda: model.evaluate(source(kind, x), verbose=0),
        lambda: model.encode(source(kind, x)),
        lambda: model.predict(source(kind, x), verbose=0),
    ):
        with pytest.raises(ValueError, match=match):
            use()
    with pytest.raises(ValueError, match=r"batch 3 of validation_data"):
        model.fit(X, validation_data=source(kind, x), verbose=0)
    assert np.isfinite(model.fit(source(kind, X), verbose=0).history["loss"]).all()


@pytest.mark.turns
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label", [5, -1, 1.5])
def test_labels_and_weights_of_later_batches(kind, label):
    model = tiny(models.cvae, num_classes=3)
    y = np.where(np.arange(24) < 16, 1, label)
    with pytest.raises(ValueError, match="y` of batch 3: (Labels must be|Conditions must be 8)"):
        model.fit(source(kind, X, y), verbose=0)
    weights = np.where(np.arange(24) < 16, 1.0, np.nan).astype("float32")
    with pytest.raises(ValueError, match="`sample_weight` must be finite"):
        model.fit(source(kind, X, Y, weights), verbose=0)
    vectors = np.where(np.arange(24)[:, None] < 16, [[0.0, 1.0]], np.inf).astype("float32")
    attributed = tiny(models.cvae, condition_dim=2)
    with pytest.raises(ValueError, match="y` of batch 3: Conditions must be finite"):
        attributed.fit(source(kind, X, vectors), verbose=0)


def test_an_error_of_the_source_is_the_same_on_every_backend():
    class Own(Exception):
        pass

    def failing():
        yield (X[:8],)
        yield (X[:8],)
        raise Own("in the source")

    model = tiny()
    for use in (model.fit, model.evaluate):
        with pytest.raises(Own, match="in the source"):
            use(failing(), verbose=0)
        assert np.isfinite(model.encode(X)).all()


def test_refusals_of_sources_say_what_to_write():
    model = tiny()
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="has its own batch size: leave `batch_size` out"):
            use(source("generator", X), batch_size=8, verbose=0)
        with pytest.raises(ValueError, match="`y` is a part of each batch: leave it out"):
            use(source("generator", X), Y, verbose=0)
        with pytest.raises(TypeError, match=r"keys 'a', 'b'|keys \['a', 'b'\]"):
            use({"a": X, "b": Y}, verbose=0)
        with pytest.raises(ValueError, match="own labels: leave `y` out"):
            use({"image": X}, Y, verbose=0)
    history = model.fit({"image": X, "label": Y}, validation_data={"image": X}, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices(X)
    with pytest.raises(ValueError, match=r"`data.batch\(64\)`"):
        model.fit(rows, verbose=0)
    with pytest.raises(ValueError, match=r"has no rows of its own|batch"):
        model.encode(rows)


@pytest.mark.turns
class TestPairs:
    NOISY = np.clip(X + 0.5 * np.random.default_rng(1).normal(size=X.shape), -1, 2).astype(
        "float32"
    )

    @pytest.mark.parametrize(
        "make",
        [models.vae, models.autoencoder, models.denoising_autoencoder, models.factor_vae],
    )
    @pytest.mark.parametrize("fast", [False, True])
    def test_the_likelihood_scores_y_and_the_encoder_sees_x(self, make, fast):
        """Where y is a constant, it is learnt; and codes are those of x."""
        y = np.full_like(X, 0.25)
        model = tiny(make)
        model.compile(keras.optimizers.Adam(0.05))
        model.fit(self.NOISY, y, epochs=40, batch_size=24, verbose=0, fast=fast)
        # The data itself spreads by .29.
        assert np.abs(model.predict(X, verbose=0) - 0.25).mean() < 0.1

    def test_the_loss_is_that_of_y(self):
        model = still(tiny(likelihood=likelihoods.Normal(1.0)))
        model.posterior_layer.set_weights([0 * w for w in model.posterior_layer.get_weights()])
        model.decoder.layers[1].kernel.assign(0 * model.decoder.layers[1].kernel)
        mean = model.reconstruct(X)
        y = X**2
        expected = (0.5 * (y - mean) ** 2 + 0.5 * np.log(2 * np.pi)).sum(-1).mean()
        data = [(self.NOISY, y), (source("tf", self.NOISY, y),), (source("generator", X, y),)]
        for given in data:
            history = model.fit(*given, validation_data=(X, y), verbose=0).history
            for name in ("reconstruction_loss", "val_reconstruction_loss"):
                assert history[name][0] == pytest.approx(expected, rel=1e-4)
        logs = model.evaluate(self.NOISY, y, verbose=0, return_dict=True)
        assert logs["reconstruction_loss"] == pytest.approx(expected, rel=1e-4)
        assert logs["reconstruction_loss"] != pytest.approx(
            model.evaluate(X, verbose=0, return_dict=True)["reconstruction_loss"], rel=1e-3
        )

    @pytest.mark.parametrize("likelihood", ["normal", likelihoods.Bernoulli(dynamic=True)], ids=str)
    def test_the_data_with_itself_is_the_data(self, likelihood):
        losses = []
        for args in ((X,), (X, X), (X, X.astype("float64")), (X, Y)):
            model = tiny(likelihood=likelihoods.get(likelihood))
            history = model.fit(*args, epochs=2, batch_size=8, shuffle=False, verbose=0)
            losses.append((history.history["loss"], model.get_weights()[0].tolist()))
        assert losses[0] == losses[1] == losses[2] == losses[3]
        model = tiny(likelihood=likelihoods.get(likelihood))
        history = model.fit(source("generator", X, X), epochs=1, verbose=0)
        assert history.history["loss"][0] == pytest.approx(losses[0][0][0], rel=1e-5)

    def test_the_given_corruption_is_the_only_one(self, monkeypatch):
        model, seen = tiny(models.denoising_autoencoder), []
        corrupt = type(model.corruption).__call__
        monkeypatch.setattr(
            type(model.corruption), "__call__", lambda *a: (seen.append(1), corrupt(*a))[1]
        )
        model.fit(self.NOISY, X, verbose=0)
        assert not seen
        model.fit(X, verbose=0)
        assert seen

    def test_where_pairs_have_no_meaning(self):
        labelled = tiny(models.cvae, num_classes=3)
        with pytest.raises(ValueError, match="is its condition.*unconditional model on pairs"):
            labelled.fit(self.NOISY, X, verbose=0)
        with pytest.raises(ValueError, match="is its condition.*unconditional model on pairs"):
            labelled.fit(source("generator", self.NOISY, X), verbose=0)
        attributed = tiny(models.cvae, condition_dim=D)
        assert np.isfinite(attributed.fit(X, X, verbose=0).history["loss"]).all()
        auxiliary = models.auxiliary_vae((D,), 2, units=(4,), seed=0)
        with pytest.raises(ValueError, match="AuxiliaryVAE has no meaning for pairs"):
            auxiliary.fit(X, X[::-1], verbose=0)
        with pytest.raises(ValueError, match=r"`y` must lie in \[0, 1\]"):
            tiny().fit(X, 2 * X, verbose=0)
        with pytest.raises(ValueError, match="`x` must lie.*/ 255"):
            tiny().fit(255 * X, X, verbose=0)
        with pytest.raises(ValueError, match="one value for each example. Received: 5 for 24"):
            tiny().fit(X, X[:5], verbose=0)


class TestMetrics:
    @pytest.mark.parametrize(
        "make, y",
        [
            (tiny, None),
            (tiny, X),
            (tiny, X[::-1]),
            (lambda: tiny(models.cvae, num_classes=3), Y),
            (lambda: tiny(models.factor_vae), None),
        ],
    )
    def test_they_compare_data_with_its_reconstruction(self, make, y):
        model = still(make(), metrics=["mse", keras.metrics.MeanAbsoluteError(name="off")])
        data = X if y is None else (X, y)
        history = model.fit(X, y, validation_data=data, verbose=0).history
        scored = y if y is not None and np.ndim(y) > 1 else X
        error = model.reconstruct(X, y if y is Y else None) - scored
        expected = {"mse": (error**2).mean(), "off": np.abs(error).mean()}
        logs = model.evaluate(X, y, verbose=0, return_dict=True)
        for name, value in expected.items():
            for found in (history[name][0], history["val_" + name][0], logs[name]):
                assert found == pytest.approx(value, rel=1e-4)
        batch = model.test_on_batch(X, y, return_dict=True)
        assert batch["mse"] == pytest.approx(expected["mse"], rel=1e-4)

    def test_weighted_ones_are_weighted(self):
        model = still(tiny(), weighted_metrics=["mse"])
        weights = np.arange(24).astype("float32")
        history = model.fit(X, sample_weight=weights, verbose=0).history
        each = ((model.reconstruct(X) - X) ** 2).mean(-1)
        assert history["mse"][0] == pytest.approx(np.average(each, weights=weights), rel=1e-4)

    def test_what_has_no_meaning_is_refused(self):
        model = tiny()
        for options, match in (
            ({"loss": "mse"}, "compile it without `loss`"),
            ({"loss_weights": [2.0]}, "`loss_weights` belong to a `loss`"),
        ):
            model.compile("adam", **options)
            for use in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
                with pytest.raises(ValueError, match=match):
                    use(X)
        missing = models.miwae((D,), 2, units=(4,), seed=0)
        missing.compile("adam", metrics=["mse"])
        with pytest.raises(ValueError, match="cannot leave missing values out"):
            missing.fit(X, verbose=0)


class TestWeights:
    @pytest.mark.parametrize("fast", [False, True])
    def test_the_loss_is_the_sum_of_its_terms(self, fast):
        model = still(tiny())
        weights = np.linspace(0.0, 3.0, 24).astype("float32")
        options = {"sample_weight": weights, "verbose": 0, "fast": fast, "batch_size": 8}
        logs = model.fit(X, **options).history
        total = logs["reconstruction_loss"][0] + logs["kl_loss"][0]
        assert logs["loss"][0] == pytest.approx(total, rel=1e-5)
        kl = model.posterior(X).kl(model.prior)
        assert logs["kl_loss"][0] == pytest.approx((weights * kl).mean(), rel=1e-4)
        found = model.evaluate(X, sample_weight=weights, verbose=0, return_dict=True)
        assert found["kl_loss"] == pytest.approx((weights * kl).mean(), rel=1e-4)
        assert found["loss"] == pytest.approx(
            found["reconstruction_loss"] + found["kl_loss"], rel=1e-5
        )

    def test_weights_of_one_change_no_bit(self):
        runs = []
        for weights in (None, np.ones(24)):
            model = tiny()
            history = model.fit(
                X, sample_weight=weights, epochs=2, batch_size=8, verbose=0, shuffle=False
            )
            runs.append((*history.history["loss"], *history.history["kl_loss"]))
        if BACKEND == "jax":
            # XLA fuses another program in another way.
            assert runs[0] == pytest.approx(runs[1], rel=1e-6)
        else:
            assert runs[0] == runs[1]

    @pytest.mark.turns
    @pytest.mark.parametrize("kind", [None, *KINDS])
    def test_class_weights(self, kind):
        """Of labels that the model ignores, and of those that are its conditions."""
        weights = {0: 0.0, 1: 2.0}
        each = np.array([0.0, 2.0, 1.0])[Y]
        for model, y in ((still(tiny()), None), (still(tiny(models.cvae, num_classes=3)), Y)):
            kl = (each * model.posterior(X, y).kl(model.prior)).mean()
            data = (X, Y) if kind is None else (source(kind, X, Y),)
            history = model.fit(*data, class_weight=weights, verbose=0).history
            assert history["kl_loss"][0] == pytest.approx(kl, rel=1e-4)
        with pytest.raises(ValueError, match="give `y`, an integer for each example"):
            data = X if kind is None else source(kind, X)
            tiny().fit(data, class_weight=weights, verbose=0)

    def test_class_and_sample_weights(self):
        model = still(tiny())
        with pytest.raises(ValueError, match="not both: multiply them"):
            model.fit(X, Y, sample_weight=np.ones(24), class_weight={0: 2.0}, verbose=0)
        logs = model.train_on_batch(X, Y, class_weight={0: 0.0, 1: 0.0, 2: 0.0}, return_dict=True)
        assert logs["loss"] == 0.0


class TestKerasOptions:
    def test_integers_of_numpy(self):
        model = tiny()
        model.fit(
            X,
            epochs=np.int64(3),
            initial_epoch=np.int32(1),
            batch_size=np.int64(6),
            validation_data=X,
            validation_freq=np.int64(2),
            validation_batch_size=np.int64(4),
            validation_steps=np.int64(2),
            steps_per_epoch=np.int64(2),
            verbose=0,
        )
        assert int(ops.convert_to_numpy(model.step)) == 4
        assert model.predict(X, batch_size=np.int64(5), steps=np.int64(2), verbose=0).shape == (
            10,
            D,
        )

    @pytest.mark.parametrize("fast", [False, True])
    def test_callbacks_that_set_the_learning_rate(self, fast):
        model = tiny()
        model.compile(keras.optimizers.SGD(0.125))
        rates = []
        schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
        look = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: rates.append(
                float(ops.convert_to_numpy(model.optimizer.learning_rate))
            )
        )
        stuck = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=1e9)
        history = model.fit(
            X, epochs=3, batch_size=8, callbacks=[schedule, look, stuck], verbose=0, fast=fast
        )
        assert rates == pytest.approx([0.0625, 0.03125, 0.0078125])
        assert history.history["learning_rate"] == pytest.approx(rates)

    @pytest.mark.parametrize("fast", [False, True])
    def test_the_best_weights_come_back(self, fast):
        model, kept = tiny(), []
        model.compile(keras.optimizers.SGD(1e-3))
        stop = keras.callbacks.EarlyStopping(
            "kl_loss", mode="max", patience=1, restore_best_weights=True, min_delta=1e9
        )
        keep = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: kept.append(model.get_weights())
        )
        history = model.fit(X, epochs=9, callbacks=[keep, stop], verbose=0, fast=fast)
        assert len(history.epoch) == 2
        for one, other in zip(kept[0], model.get_weights(), strict=True):
            if one.ndim:
                np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize("compiled", [{"run_eagerly": True}, {"steps_per_execution": 2}])
    def test_how_it_is_compiled(self, compiled):
        if BACKEND == "torch" and "steps_per_execution" in compiled:
            pytest.skip("Keras refuses it on PyTorch")
        model = still(tiny(), **compiled, metrics=["mse"])
        history = model.fit(X, batch_size=8, validation_data=source("PyDataset", X), verbose=0)
        error = ((model.reconstruct(X) - X) ** 2).mean()
        assert history.history["mse"][0] == pytest.approx(error, rel=1e-4)
        assert history.history["val_mse"][0] == pytest.approx(error, rel=1e-4)
        assert model.predict(X, verbose=0).shape == X.shape

    def test_one_batch(self):
        model = still(tiny())
        kl = model.posterior(X).kl(model.prior).mean()
        for use in (model.train_on_batch, model.test_on_batch):
            logs = use(X, return_dict=True)
            assert logs["kl_loss"] == pytest.approx(kl, rel=1e-4)
            with pytest.raises(ValueError, match="lie in"):
                use(255 * X)
        np.testing.assert_allclose(model.predict_on_batch(X), model.reconstruct(X), atol=1e-6)
        assert int(ops.convert_to_numpy(model.step)) == 1

    def test_predict_calls_its_callbacks(self):
        seen = []
        callback = keras.callbacks.LambdaCallback()
        callback.on_predict_batch_end = lambda batch, logs: seen.append(logs["outputs"].shape)
        tiny().predict(X, batch_size=10, callbacks=[callback], verbose=0)
        assert seen == [(10, D), (10, D), (4, D)]


@pytest.mark.once
class TestHints:
    def test_channels_first(self):
        model = models.vae((8, 4, 3), 2, units=(4,), seed=0)
        with pytest.raises(ValueError, match=r"np.moveaxis\(x, 1, -1\).*x.permute\(0, 2, 3, 1\)"):
            model.encode(np.zeros((2, 3, 8, 4)))

    def test_labels(self):
        labels = conditions.Labels(3, ("cat", "dog", "owl"))
        with pytest.raises(ValueError, match=r"`y.argmax\(axis=-1\)`"):
            labels.check(np.eye(3)[[0, 1]], 2)
        with pytest.raises(ValueError, match=r"model.condition.index\(name\) for name in y"):
            labels.check(np.array(["cat", "dog"]), 2)

    def test_columns_that_are_no_numbers(self):
        table = Table(np.array([["a", "b"]] * 3), ("name", "age"))
        with pytest.raises(TypeError, match="of the columns 'name' .*, 'age'"):
            _checks.array(table, "x")

    def test_no_data_in_errors(self):
        for value in (X, Table(X), np.arange(99)):
            with pytest.raises(ValueError) as caught:
                _checks.count(value, "samples")
            assert len(str(caught.value)) < 150

    def test_one_look_finds_every_bad_number(self):
        for limits in ((0.0, 1.0), (-1.0, 1.0), None):
            model = tiny(likelihood=likelihoods.Normal(1.0, data_range=limits))
            assert _checks.seems_good(model, X)
            bad = [np.nan, -np.nan, np.inf, -np.inf, *((1.0001, -1.0001) if limits else ())]
            for value, place in itertools.product(bad, (0, 77, X.size - 1)):
                x = X.copy()
                x.flat[place] = value
                assert not _checks.seems_good(model, x)
            assert not _checks.seems_good(model, X[:, :5])
        edge = np.array([[0, 1, 0, 1, 0.5, 1]], "float32")
        assert _checks.seems_good(tiny(), edge)
