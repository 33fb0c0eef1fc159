"""A budget that code asks before it takes memory which no weight announces.

Nothing is limited until the loader of strangers' files sets one for its thread.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

_OF = threading.local()


class Exhausted(ValueError):
    """A configuration that asks for more than its budget."""


def ask(numbers: int, what: str) -> None:
    """Asks for room for an array that is no weight, before it is made.

    Args:
        numbers: how many numbers it holds.
        what: the array in words, for the error.

    Raises:
        Exhausted: they are more than this thread's budget has left.
    """
    budget = current()
    if budget is not None:
        budget.spend(numbers, what)


def current() -> Any:
    """The budget of this thread, or None."""
    return getattr(_OF, "budget", None)


@contextlib.contextmanager
def held(budget: Any) -> Iterator[None]:
    """Makes a budget that of this thread within the block."""
    before = current()
    _OF.budget = budget
    try:
        yield
    finally:
        _OF.budget = before
