"""Numbers that change while a model trains, as functions of its step.

A schedule maps the model's own `step` (an integer tensor, counted in optimizer
steps) to a float tensor, inside the compiled training step. A Python number
changed by a callback would be a constant of the compiled program and therefore
ignored. Outside training a schedule stands at its `final` value, so that
validation losses of different epochs can be compared.
"""

import keras
from keras import ops

from keras_vae import _checks
from keras_vae._registry import register


def evaluate(value, step, training):
    """A number or the value of a schedule: at `step`, or final when not training."""
    if not isinstance(value, Schedule):
        return value
    return value(step) if training else value.final


def serialize(value):
    """A number stays a number; a schedule becomes its Keras configuration."""
    if isinstance(value, Schedule):
        return keras.saving.serialize_keras_object(value)
    return value


def deserialize(value):
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
        """The value outside training and after the schedule has ended."""
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
        end: value that it does not fall below.
        rate: fall of the logarithm in one step, above 0.

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
    """A saw-tooth: rises from `start` to `end`, holds, and starts again.

    Fu et al., "Cyclical Annealing Schedule: A Simple Approach to Mitigating
    KL Vanishing", 2019.

    Args:
        start: value at the start of each cycle.
        end: value held in the rest of each cycle, and after the last one.
        period: length of a cycle in optimizer steps, at least 1.
        cycles: number of cycles, at least 1; afterwards the value is `end`.
        rise: part of a cycle spent rising, in (0, 1].

    Raises:
        ValueError: a length, number or part is out of its range.
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
