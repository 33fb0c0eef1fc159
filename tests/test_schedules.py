"""Schedules: their values at known steps, and that training follows them."""

import keras
import numpy as np
import pytest

from keras_vae import models, objectives, schedules
from tests.support import SHAPE, array


@pytest.mark.parametrize(
    "schedule, expected",
    [
        (schedules.Linear(0.0, 1.0, 10), {0: 0.0, 1: 0.1, 5: 0.5, 10: 1.0, 99: 1.0}),
        (schedules.Linear(25.0, 5.0, 4), {0: 25.0, 1: 20.0, 4: 5.0, 5: 5.0}),
        (
            schedules.Cyclical(0.0, 2.0, period=8, cycles=2, rise=0.5),
            {0: 0.0, 2: 1.0, 4: 2.0, 7: 2.0, 8: 0.0, 10: 1.0, 15: 2.0, 16: 2.0, 40: 2.0},
        ),
    ],
)
def test_values(schedule, expected):
    for step, value in expected.items():
        assert float(array(schedule(keras.ops.convert_to_tensor(step)))) == pytest.approx(value)
    assert schedules.evaluate(schedule, 0, training=False) == schedule.final
    again = schedules.deserialize(schedules.serialize(schedule))
    assert again == schedule and again is not schedule


def test_numbers_stay_numbers():
    assert schedules.serialize(0.5) == 0.5 == schedules.deserialize(0.5)
    assert schedules.evaluate(0.5, 3, training=True) == 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: schedules.Linear(0, 1, 0),
        lambda: schedules.Linear(0, 1, 2.5),
        lambda: schedules.Cyclical(0, 1, 0),
        lambda: schedules.Cyclical(0, 1, 5, cycles=0),
        lambda: schedules.Cyclical(0, 1, 5, rise=0.0),
    ],
)
def test_bad_lengths_are_refused(make):
    with pytest.raises(ValueError, match="Received"):
        make()


def test_training_follows_the_schedule_and_evaluation_its_end(images):
    """Learning rate 0: loss - reconstruction = β(step) · KL, step by step."""
    steps = 4
    model = models.vae(SHAPE, 2, units=(8,), beta=schedules.Linear(0.0, 2.0, steps))
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    ratios = []
    for _ in range(steps + 2):
        logs = model.fit(images, batch_size=len(images), verbose=0).history
        ratios.append((logs["loss"][0] - logs["reconstruction_loss"][0]) / logs["kl_loss"][0])
    np.testing.assert_allclose(ratios, [0.0, 0.5, 1.0, 1.5, 2.0, 2.0], atol=2e-3)
    logs = model.evaluate(images, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(
        logs["reconstruction_loss"] + 2.0 * logs["kl_loss"], rel=1e-5
    )


def test_a_schedule_survives_saving(images, tmp_path):
    model = models.vae(SHAPE, 2, units=(8,), beta=schedules.Linear(0.0, 1.0, 10))
    model.fit(images, batch_size=32, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.objective.beta == schedules.Linear(0.0, 1.0, 10)
    assert int(array(loaded.step)) == 2


@pytest.mark.parametrize("bad", [{"beta": -1.0}, {"samples": 0}, {"samples": 1.5}])
def test_bad_objectives_are_refused(bad):
    with pytest.raises(ValueError, match="Received"):
        objectives.ELBO(**bad)


def test_exponential_falls_to_its_floor():
    schedule = schedules.Exponential(1.0, 0.5, 3e-5)
    for step in (0, 1000, 20_000, 23_105, 10**6):
        expected = max(0.5, np.exp(-3e-5 * step))
        value = array(schedule(keras.ops.convert_to_tensor(step)))
        assert value == pytest.approx(expected, rel=1e-5)
    assert schedule.final == 0.5
    assert schedules.Exponential(**schedule.get_config()) == schedule
    for values in ((1.0, 0.5, 0.0), (0.4, 0.5, 1.0), (1.0, 0.0, 1.0)):
        with pytest.raises(ValueError, match="Received: start="):
            schedules.Exponential(*values)
