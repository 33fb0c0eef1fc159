"""Schedules: numbers that change during training, as functions of the step.

A schedule maps the model's `step` (an integer tensor that counts optimizer steps)
to a float tensor, inside the compiled training step. A Python number changed by a
callback would be a constant of the compiled program: the change would have no
effect. Outside training a schedule has its `final` value, so that validation losses
of different epochs are comparable.
"""

from typing import Any

import keras
from keras import ops

from keras_vae import _checks
from keras_vae._registry import register


def evaluate(value: Any, step: Any, training: bool) -> Any:
    """The value of a schedule at `step`, or its final value outside training; or a number."""
    if not isinstance(value, Schedule):
        return value
    return value(step) if training else value.final


def serialize(value: Any) -> Any:
    """The Keras configuration of a schedule; a number is returned as it is."""
    if isinstance(value, Schedule):
        return keras.saving.serialize_keras_object(value)
    return value


def deserialize(value: Any) -> Any:
    """Inverse of `serialize`."""
    if isinstance(value, dict):
        return keras.saving.deserialize_keras_object(value)
    return value


def _positive_steps(**steps):
    for name, value in steps.items():
        if not _checks.is_integer(value):
            raise ValueError(
                f"`{name}` must be an integer of at least 1 (optimizer steps). "
                f"Received: {name}={value!r}"
            )


class Schedule:
    """Base class: `__call__(step)` and `final`."""

    @property
    def final(self):
        """The value outside training and after the end of the schedule."""
        raise NotImplementedError

    def __call__(self, step):
        raise NotImplementedError

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    __hash__ = None  # type: ignore[assignment]


@register
class Linear(Schedule):
    """From `start` to `end` in `steps` optimizer steps, then `end`.

    `Linear(0.0, 1.0, steps)` is the KL warm-up of Bowman et al. 2016 and
    Sønderby et al. 2016; `Linear(0.0, 25.0, steps)` a capacity (Burgess 2018).

    Args:
        start: value at step 0.
        end: value from step `steps` on.
        steps: length in optimizer steps, at least 1.

    Raises:
        ValueError: `steps` is not a positive integer.
    """

    def __init__(self, start: float, end: float, steps: int) -> None:
        _positive_steps(steps=steps)
        self.start, self.end, self.steps = start, end, steps

    @property
    def final(self):
        return self.end

    def __call__(self, step):
        done = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return self.start + (self.end - self.start) * done

    def get_config(self):
        return {"start": self.start, "end": self.end, "steps": self.steps}


@register
class Exponential(Schedule):
    """max(`end`, `start` · e^(-`rate` · step)).

    `Exponential(1.0, 0.5, 3e-5)` is the temperature of Jang et al. 2017.

    Args:
        start: value at step 0, at least `end`.
        end: lower bound of the value.
        rate: decrease of the logarithm per step, above 0.

    Raises:
        ValueError: a value that is out of range.
    """

    def __init__(self, start: float, end: float, rate: float) -> None:
        if not rate > 0.0 or not start >= end > 0.0:
            raise ValueError(
                "`start` must be at least `end`, and `end` and `rate` above 0. "
                f"Received: start={start!r}, end={end!r}, rate={rate!r}"
            )
        self.start, self.end, self.rate = start, end, rate

    @property
    def final(self):
        return self.end

    def __call__(self, step):
        value = self.start * ops.exp(-self.rate * ops.cast(step, "float32"))
        return ops.maximum(value, self.end)

    def get_config(self):
        return {"start": self.start, "end": self.end, "rate": self.rate}


@register
class Cyclical(Schedule):
    """Cycles that rise from `start` to `end` and then stay at `end`.

    Fu et al., "Cyclical Annealing Schedule: A Simple Approach to Mitigating
    KL Vanishing", 2019.

    Args:
        start: value at the start of each cycle.
        end: value in the rest of each cycle, and after the last cycle.
        period: length of a cycle in optimizer steps, at least 1.
        cycles: number of cycles, at least 1; afterwards the value is `end`.
        rise: part of a cycle in which the value rises, in (0, 1].

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(
        self, start: float, end: float, period: int, cycles: int = 4, rise: float = 0.5
    ) -> None:
        _positive_steps(period=period, cycles=cycles)
        if not 0.0 < rise <= 1.0:
            raise ValueError(f"`rise` must be in (0, 1]. Received: rise={rise!r}")
        self.start, self.end = start, end
        self.period, self.cycles, self.rise = period, cycles, rise

    @property
    def final(self):
        return self.end

    def __call__(self, step):
        step = ops.cast(step, "int32")
        position = ops.cast(ops.mod(step, self.period), "float32") / self.period
        done = ops.minimum(position / self.rise, 1.0)
        done = ops.where(step >= self.period * self.cycles, 1.0, done)
        return self.start + (self.end - self.start) * done

    def get_config(self):
        return {
            "start": self.start,
            "end": self.end,
            "period": self.period,
            "cycles": self.cycles,
            "rise": self.rise,
        }
