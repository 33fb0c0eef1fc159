"""A likelihood of tables of mixed types against NumPy; tables in and out of models."""

import sys

import keras
import numpy as np
import pytest

from keras_vae import likelihoods, models, testing, zoo
from tests.support import array, reference, tensor

CITIES = ["Lima", "Madrid", "Quito"]
KINDS = {"age": "normal", "city": CITIES, "smoker": "binary", "share": likelihoods.Normal}


def kinds():
    return {k: v() if isinstance(v, type) else v for k, v in KINDS.items()}


def make_table(n=40, seed=0):
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, n)
    return {
        "age": age,
        "city": np.array(CITIES)[(age - 18) // 21],
        "smoker": rng.random(n) < 0.4,
        "share": rng.random(n),
    }


def with_missing(table):
    """The same with some values missing, each in the way of its type."""
    table = {name: np.array(values, object) for name, values in table.items()}
    table["age"][1] = np.nan
    table["city"][2] = None
    table["smoker"][3] = None
    table["share"][1:3] = [np.nan, None]
    return table


def structured(table):
    rows = np.empty(len(table["age"]), [(k, v.dtype) for k, v in table.items()])
    for name, values in table.items():
        rows[name] = values
    return rows


def same(found, expected):
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


class TestMatrix:
    def test_numbers_are_standardised_and_categories_one_hot(self):
        table = make_table()
        columns = likelihoods.Columns(kinds()).adapt(table)
        found = columns.encode(table)
        assert columns.shape == (6,) and found.dtype == "float32"
        age = table["age"]
        np.testing.assert_allclose(found[:, 0], (age - age.mean()) / age.std(), atol=1e-6)
        np.testing.assert_array_equal(found[:, 1:4], table["city"][:, None] == np.array(CITIES))
        np.testing.assert_array_equal(found[:, 4], table["smoker"])
        # Of a range: as it is.
        np.testing.assert_array_equal(found[:, 5], table["share"].astype("float32"))

    @pytest.mark.parametrize("kind", [dict, structured])
    def test_decode_is_the_inverse(self, kind):
        table = make_table()
        columns = likelihoods.Columns(kinds()).adapt(kind(table))
        found = columns.decode(columns.encode(kind(table)))
        assert isinstance(found, np.ndarray) == (kind is structured)
        found = {name: found[name] for name in table}
        np.testing.assert_allclose(found.pop("share"), table.pop("share"), rtol=1e-6)
        same(found, table)

    def test_missing_values_are_nan_and_not_counted_in_scales(self):
        table = make_table()
        missing = with_missing(table)
        columns = likelihoods.Columns(kinds()).adapt(missing)
        found = columns.encode(missing)
        nan = np.zeros(found.shape, bool)
        nan[1, 0] = nan[2, 1:4] = nan[3, 4] = nan[1:3, 5] = True
        np.testing.assert_array_equal(np.isnan(found), nan)
        others = np.delete(table["age"], 1)
        expected = (others - others.mean()) / others.std()
        np.testing.assert_allclose(np.delete(found[:, 0], 1), expected, atol=1e-6)

    def test_known_values_are_kept(self):
        missing = with_missing(make_table())
        columns = likelihoods.Columns(kinds()).adapt(missing)
        kept = columns.decode(np.full((40, 6), 0.25, "float32"), like=missing, keep=True)
        assert kept["age"][0] == missing["age"][0] and kept["city"][2] == "Lima"
        assert kept["smoker"][3] == False and kept["share"][2] == 0.25  # noqa: E712
        np.testing.assert_array_equal(kept["city"][3:], missing["city"][3:])

    def test_integers_are_rounded_into_what_their_dtype_holds(self):
        table = {"small": np.array([0, 200], "uint8"), "large": np.array([-(2**62), 2**62])}
        columns = likelihoods.Columns({"small": "normal", "large": "normal"}).adapt(table)
        found = columns.decode(np.array([[-1.5, -9.0], [0.504, 0.0], [9.0, 9.0]], "float32"))
        np.testing.assert_array_equal(found["small"], np.array([0, 150, 255], "uint8"))
        limits = np.iinfo("int64")
        np.testing.assert_array_equal(found["large"], [limits.min, 0, limits.max])

    def test_a_constant_column_has_the_scale_one(self):
        columns = likelihoods.Columns({"a": "normal"}).adapt({"a": [3.0, 3.0]})
        np.testing.assert_array_equal(columns.encode({"a": [3.0, 5.0]}), [[0.0], [2.0]])

    def test_kinds_are_found_by_dtype(self):
        table = {**make_table(), "level": [1, None, 3, 2] * 10, "yes": [True, None] * 20}
        columns = likelihoods.Columns.of(table, {"level": [1, 2, 3]})
        spec = dict(columns.get_config()["columns"])
        assert spec == {
            "age": "normal",
            "city": CITIES,
            "smoker": "binary",
            "share": "normal",
            "level": [1, 2, 3],
            "yes": "binary",
        }
        assert columns.is_adapted and columns.shape == (10,)


class TestDensity:
    def setup_method(self):
        rng = np.random.default_rng(1)
        self.columns = likelihoods.Columns(kinds()).adapt(make_table())
        self.x = self.columns.encode(make_table(4, seed=1))
        self.outputs = rng.normal(size=(3, 4, 6)).astype("float32")
        city = self.outputs[..., 1:4].astype("float64")
        log_p = city - np.log(np.exp(city).sum(-1, keepdims=True))
        self.each = np.concatenate(
            [
                reference.normal_log_prob(self.x[:, :1], self.outputs[..., :1], 0.0),
                self.x[:, 1:4] * log_p,
                reference.bernoulli_log_prob(self.x[:, 4:5], self.outputs[..., 4:5]),
                reference.normal_log_prob(self.x[:, 5:], self.outputs[..., 5:], 0.0),
            ],
            axis=-1,
        )

    def test_log_prob_is_the_sum_over_columns(self):
        found = array(self.columns.log_prob(tensor(self.x), tensor(self.outputs)))
        np.testing.assert_allclose(found, self.each.sum(-1), rtol=1e-5)

    def test_missing_values_add_nothing(self):
        missing = np.zeros((4, 6), bool)
        missing[0, 1:4] = missing[1, 0] = missing[2] = True
        x = np.where(missing, np.nan, self.x).astype("float32")
        observed = likelihoods.Observed(self.columns)
        found = array(observed.log_prob(tensor(x), tensor(self.outputs)))
        np.testing.assert_allclose(found, np.where(missing, 0.0, self.each).sum(-1), atol=1e-5)
        np.testing.assert_allclose(found[:, 2], 0.0)
        best = -0.5 * np.log(2 * np.pi) * np.array([2, 1, 0, 2])
        np.testing.assert_allclose(observed.best_log_prob(x), best, rtol=1e-6)

    def test_columns_of_one_kind_share_a_vector_of_variances(self):
        """Each number has its own, wherever its column stands."""
        columns = likelihoods.Columns(
            {"a": "normal", "b": ["x", "y"], "c": "binary", "d": "normal", "e": "binary"}
        )
        (raw,) = columns.trainable_variables
        raw.assign([-1.0, 2.0])
        log_var = 10 * np.tanh(np.array([-1.0, 2.0]) / 10)
        rng = np.random.default_rng(3)
        x = np.array([[0.3, 0, 1, 1, -0.7, 0], [1.0, 1, 0, 0, 2.0, 1]], "float32")
        outputs = rng.normal(size=(2, 6)).astype("float32")
        city = outputs[:, 1:3].astype("float64")
        expected = np.stack(
            [
                reference.normal_log_prob(x[:, 0], outputs[:, 0], log_var[0]),
                *(x[:, 1:3] * (city - np.log(np.exp(city).sum(-1, keepdims=True)))).T,
                reference.bernoulli_log_prob(x[:, 3], outputs[:, 3]),
                reference.normal_log_prob(x[:, 4], outputs[:, 4], log_var[1]),
                reference.bernoulli_log_prob(x[:, 5], outputs[:, 5]),
            ],
            axis=-1,
        )
        found = array(columns.log_prob_each(tensor(x), tensor(outputs)))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        mean = array(columns.mean(tensor(outputs)))
        np.testing.assert_array_equal(mean[:, [0, 4]], outputs[:, [0, 4]])
        np.testing.assert_allclose(mean[:, 3], 1 / (1 + np.exp(-outputs[:, 3])), rtol=1e-5)
        drawn = columns.sample(np.repeat(mean[:1], 40_000, axis=0), rng)
        np.testing.assert_allclose(drawn.mean(0), mean[0], atol=0.05)
        np.testing.assert_allclose(drawn[:, [0, 4]].std(0), np.exp(log_var / 2), rtol=0.02)
        best = -0.5 * (2 * np.log(2 * np.pi) + log_var.sum())
        np.testing.assert_allclose(columns.best_log_prob(x), best, rtol=1e-6)

    def test_masses_of_categories_sum_to_one(self):
        columns = likelihoods.Columns({"city": CITIES, "smoker": "binary"})
        outputs = np.random.default_rng(2).normal(size=(1, 6, 4)).astype("float32")
        outputs[:] = outputs[:, :1]
        x = np.array([[*city, s] for city in np.eye(3) for s in (0, 1)], "float32")
        found = array(columns.log_prob(tensor(x), tensor(outputs)))
        assert np.exp(found).sum() == pytest.approx(1.0, rel=1e-6)

    def test_means_and_draws(self, rng):
        mean = array(self.columns.mean(tensor(self.outputs)))
        city = np.exp(self.outputs[..., 1:4].astype("float64"))
        np.testing.assert_allclose(mean[..., 1:4], city / city.sum(-1, keepdims=True), rtol=1e-5)
        np.testing.assert_allclose(mean[..., 4], 1 / (1 + np.exp(-self.outputs[..., 4])), rtol=1e-5)
        np.testing.assert_array_equal(mean[..., [0, 5]], self.outputs[..., [0, 5]])
        many = np.repeat(mean[0, :1], 40_000, axis=0)
        drawn = self.columns.sample(many, rng)
        np.testing.assert_array_equal(drawn[:, 1:4].sum(-1), 1.0)
        assert set(np.unique(drawn[:, 1:5])) == {0.0, 1.0}
        np.testing.assert_allclose(drawn.mean(0), mean[0, 0], atol=0.02)
        np.testing.assert_allclose(drawn[:, [0, 5]].std(0), 1.0, atol=0.02)

    def test_a_likelihood_of_several_outputs_per_value(self):
        class Pair(likelihoods.Likelihood):
            def data_shape(self, output_shape):
                return (*output_shape[:-1], output_shape[-1] // 2)

            def log_prob(self, x, outputs, training=False):
                error = x[..., 0] - outputs[..., 0]
                return -0.5 * (np.log(2 * np.pi) + outputs[..., 1]) - 0.5 * error**2 / np.e

            def mean(self, outputs):
                return outputs[..., :1]

        columns = likelihoods.Columns({"a": Pair(), "b": ["x", "y"]})
        assert columns.shape == (3,) and columns.data_shape((4,)) == (3,)
        outputs = np.array([[[0.5, 1.0, 0.0, 0.0]]], "float32")
        found = array(columns.log_prob(tensor([[2.0, 0.0, 1.0]]), tensor(outputs)))
        expected = reference.normal_log_prob(2.0, 0.5, 1.0) - np.log(2)
        np.testing.assert_allclose(found, [[expected]], rtol=1e-5)
        with pytest.raises(ValueError, match=r"must give 4 outputs.*Received: output shape \(3,\)"):
            columns.data_shape((3,))


class TestRefusals:
    @pytest.mark.parametrize(
        "columns, error, match",
        [
            ({}, ValueError, "at least one column"),
            (["age"], ValueError, "must be a dict"),
            ({"a": "poison"}, ValueError, "list of categories or a likelihood.*'poison'"),
            ({"a": ["x"]}, ValueError, "at least two, all different"),
            ({"a": ["x", "y", "x"]}, ValueError, "at least two, all different"),
            ({"a": [1, True]}, ValueError, "at least two, all different"),
            ({"a": ["x", None]}, TypeError, "None marks a missing value"),
            ({("a",): "normal"}, TypeError, "a string or an integer"),
            ({"a": likelihoods.Normal("optimal")}, ValueError, "do not depend on the batch"),
            ({"a": likelihoods.MSSSIM()}, ValueError, "of single values"),
            (dict.fromkeys("ab", likelihoods.Normal()), ValueError, "likelihood of its own"),
        ],
    )
    def test_columns(self, columns, error, match):
        with pytest.raises(error, match=match):
            likelihoods.Columns(columns)

    @pytest.mark.parametrize(
        "change, error, match",
        [
            ({"city": ["Lyon"] * 40}, ValueError, r"'city'.*by None.*Received: 'Lyon' \(40 rows\)"),
            ({"age": ["old"] * 40}, TypeError, "'age' must hold numbers.*list of its categories"),
            ({"age": [np.inf] * 40}, ValueError, "must be finite.*40 infinite"),
            ({"age": np.array(["2026-01-01"] * 40, "M8[D]")}, TypeError, "days since the first"),
            ({"smoker": np.arange(40)}, ValueError, "list of both.*from 0 to 39"),
            ({"share": np.arange(40)}, ValueError, r"\[0, 1\].*data_range=None.*from 0 to 39"),
            ({"share": [0.5]}, ValueError, "same length.*1 and 40 rows"),
            ({"more": np.zeros(40)}, ValueError, r"Take the columns by.*with 'more'"),
        ],
    )
    def test_tables(self, change, error, match):
        columns = likelihoods.Columns(kinds()).adapt(make_table())
        with pytest.raises(error, match=match):
            columns.encode({**make_table(), **change})

    def test_a_missing_column_and_no_table(self):
        columns = likelihoods.Columns(kinds())
        with pytest.raises(ValueError, match="Received: without 'age', 'share'"):
            columns.adapt({"city": CITIES, "smoker": [True] * 3})
        with pytest.raises(TypeError, match="`table` must be a table.*ndarray"):
            columns.adapt(np.zeros((3, 6)))
        with pytest.raises(ValueError, match=r"model\.likelihood\.adapt\(table\)"):
            columns.encode(make_table())
        with pytest.raises(ValueError, match="'age' has no known value"):
            columns.adapt({**make_table(), "age": [None] * 40})
        with pytest.raises(ValueError, match="Column 'text' has more different values"):
            likelihoods.Columns.of({"text": [f"row {i}" for i in range(1001)]})


def trained(name="vae", table=None, **kwargs):
    columns = likelihoods.Columns(kinds())
    model = getattr(models, name)(
        columns.shape, 2, units=(16,), likelihood=columns, seed=0, **kwargs
    )
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(make_table(200) if table is None else table, epochs=100, batch_size=50, verbose=0)
    return model


@pytest.mark.turns
class TestModels:
    def test_a_table_goes_in_and_comes_out(self):
        table = make_table(200)
        model = trained()
        rebuilt = model.reconstruct(table)
        assert {k: v.dtype for k, v in rebuilt.items()} == {k: v.dtype for k, v in table.items()}
        # The city is a function of the age.
        assert (rebuilt["city"] == table["city"]).mean() > 0.8
        matrix = model.likelihood.encode(table)
        np.testing.assert_array_equal(model.encode(table), model.encode(matrix))
        np.testing.assert_allclose(
            model.predict(table, verbose=0), model.reconstruct(matrix), atol=1e-6
        )
        bound = model.log_likelihood(table, 20, verbose=False)
        np.testing.assert_array_equal(bound, model.log_likelihood(matrix, 20, verbose=False))
        batches = [{k: v[i : i + 50] for k, v in table.items()} for i in range(0, 200, 50)]
        rows = [structured(batch) for batch in batches]
        np.testing.assert_allclose(model.encode(rows[0]), model.encode(batches[0]), atol=1e-6)
        history = model.fit((batch for batch in rows), validation_data=table, verbose=0).history
        assert np.isfinite(history["val_loss"]).all()

    def test_draws_are_tables_of_the_same_distribution(self):
        model = trained()
        table = make_table(200)
        drawn = model.sample(2000, noise=True, seed=0)
        assert {k: v.dtype for k, v in drawn.items()} == {k: v.dtype for k, v in table.items()}
        assert drawn["age"].mean() == pytest.approx(table["age"].mean(), abs=4.0)
        assert drawn["smoker"].mean() == pytest.approx(table["smoker"].mean(), abs=0.08)
        for city in CITIES:
            share = (table["city"] == city).mean()
            assert (drawn["city"] == city).mean() == pytest.approx(share, abs=0.1)

    def test_missing_values_are_filled_in(self):
        table = make_table(200)
        missing = {k: np.array(v, object) for k, v in table.items()}
        missing["city"][::4] = None
        missing["smoker"][1::5] = None
        model = trained("miwae", missing, samples=5)
        filled = model.impute(missing, samples=50)
        known = np.array([v is not None for v in missing["city"]])
        np.testing.assert_array_equal(filled["city"][known], table["city"][known])
        assert set(filled["city"][~known]) <= set(CITIES)
        assert (filled["city"][~known] == table["city"][~known]).mean() > 0.6
        np.testing.assert_array_equal(filled["age"], missing["age"])
        assert set(filled["smoker"]) == {True, False}

    def test_a_plain_model_says_which_takes_missing_values(self):
        model = trained()
        with pytest.raises(ValueError, match=r"models\.miwae\(columns\.shape.*Received: 4 rows"):
            model.encode(with_missing(make_table()) | {"smoker": [None] * 4 + [True] * 36})

    @pytest.mark.parametrize("name", ["vae", "miwae"])
    def test_it_is_saved_with_the_model(self, name, tmp_path):
        model = trained(name)
        table = make_table()
        expected = model.sample(9, noise=True, seed=1)
        model.save(tmp_path / "model.keras")
        zoo.save(model, tmp_path / "preset")
        loaded = keras.models.load_model(tmp_path / "model.keras"), zoo.load(tmp_path / "preset")
        for other in loaded:
            same(other.sample(9, noise=True, seed=1), expected)
            np.testing.assert_array_equal(other.encode(table), model.encode(table))
            same(other.reconstruct(table), model.reconstruct(table))

    def test_it_keeps_what_every_model_promises(self):
        columns = likelihoods.Columns({"a": "normal", "b": ["x", "y"], "c": "binary"})
        model = models.vae(columns.shape, 2, units=(8,), likelihood=columns, seed=0)
        rng = np.random.default_rng(0)
        x = np.concatenate([rng.normal(size=(8, 1)), np.eye(2)[rng.integers(0, 2, 8)]], 1)
        x = np.concatenate([x, rng.integers(0, 2, (8, 1))], axis=1).astype("float32")
        done = testing.check_model(model, x, checks=[c for c in testing.CHECKS if c != "learning"])
        assert len(done) == len(testing.CHECKS) - 1


@pytest.mark.once
class TestPandas:
    def test_frames_of_every_dtype(self):
        pandas = pytest.importorskip("pandas")
        table = make_table(200)
        frame = pandas.DataFrame(
            {
                **table,
                "level": pandas.Categorical(
                    np.array(["low", "high"])[table["smoker"].astype(int)],
                    categories=["low", "middle", "high"],
                    ordered=True,
                ),
                "children": pandas.array(np.arange(200) % 4, dtype="Int64"),
                "owns": pandas.array(table["smoker"], dtype="boolean"),
                "word": pandas.array(table["city"], dtype="string"),
                0: np.float32(table["share"]),
            },
            index=np.arange(200) + 7,
        )
        frame.loc[9, ["city", "level", "children", "owns"]] = pandas.NA
        frame.loc[9, "share"] = np.nan
        columns = likelihoods.Columns.of(frame)
        assert columns.shape == (1 + 3 + 1 + 1 + 3 + 1 + 1 + 3 + 1,)
        model = models.miwae(columns.shape, 2, units=(8,), likelihood=columns, samples=2, seed=0)
        model.fit(frame, epochs=2, verbose=0)
        drawn = model.sample(5, noise=True, seed=0)
        pandas.testing.assert_series_equal(drawn.dtypes, frame.dtypes)
        assert list(drawn.index) == list(range(5))
        filled = model.impute(frame, samples=5)
        assert not filled.isna().any().any()
        pandas.testing.assert_frame_equal(filled.drop(index=9), frame.drop(index=9))
        assert filled.loc[9, "age"] == frame.loc[9, "age"]
        rebuilt = model.reconstruct(frame)
        pandas.testing.assert_index_equal(rebuilt.index, frame.index)
        with pytest.raises(ValueError, match=r"Received: 'Lyon' \(1 rows\)"):
            model.encode(frame.assign(city=["Lyon", *frame["city"][1:]]))

    def test_without_pandas_a_frame_is_a_dict_of_columns(self, monkeypatch):
        """Of a model that was trained on one elsewhere."""
        monkeypatch.setitem(sys.modules, "pandas", None)
        kinds = {"age": "normal", "city": CITIES, "share": "normal", "owns": "binary"}
        dtypes = [["age", "Int64"], ["city", "category"], ["share", "float64"], ["owns", "boolean"]]
        scales = [[40.0, 10.0], [0.0, 1.0], [0.5, 0.1], [0.0, 1.0]]
        columns = likelihoods.Columns(kinds, scales, ["pandas", dtypes])
        x = np.array([[0.26, 0, 0, 1, 1.0, 0.2], [-1.0, 1, 0, 0, 0.0, 0.9]], "float32")
        found = columns.decode(x)
        same(
            found,
            {
                "age": np.array([43, 30]),
                "city": np.array(["Quito", "Lima"]),
                "share": np.array([0.6, 0.5]),
                "owns": np.array([False, True]),
            },
        )

    def test_other_frames_are_read_by_their_columns(self):
        polars = pytest.importorskip("polars")
        columns = likelihoods.Columns.of(polars.DataFrame(make_table()))
        np.testing.assert_allclose(
            columns.encode(polars.DataFrame(make_table())), columns.encode(make_table())
        )
