"""Inert files of an attacker, one function for each: they change a tiny preset, and run nothing.

`CASES` has them by kind, as in the table of `.github/SECURITY.md`. Each takes the folder of a
fresh preset, with `model.keras` beside it, and returns what is to be loaded.
"""

from tests.support.hostile import archives, configurations, texts, weights
from tests.support.hostile.frame import CASES, attempt

__all__ = ["CASES", "archives", "attempt", "configurations", "texts", "weights"]
