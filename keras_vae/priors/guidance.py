"""Conditions that a network learns to do without, so that samples can be guided by them.

Ho & Salimans, "Classifier-Free Diffusion Guidance", 2022. In training a part of the conditions
is dropped. The network sees a condition `(n, c)` as `(n, c + 1)`, whose last number is 1 where
the condition is dropped: zeros alone may be a condition like any other.
"""

import numpy as np
from keras import ops

from keras_vae.training import noise


def flagged(condition, dropped=0.0):
    """Conditions `(n, c)` as the network sees them: `(n, c + 1)`.

    Args:
        condition: encoded conditions `(n, c)`.
        dropped: 1 for conditions to do without and 0 for others: a number or `(n, 1)`.
    """
    condition = ops.cast(condition, "float32")
    flag = ops.zeros_like(condition[:, :1]) + dropped
    return ops.concatenate([condition * (1.0 - flag), flag], axis=-1)


def dropped(condition, share, seed):
    """Conditions `(n, c + 1)` of a training step, a random part of them dropped.

    Args:
        condition: encoded conditions `(n, c)`.
        share: the part to drop, from 0 to 1.
        seed: a `keras.random.SeedGenerator`.
    """
    drawn = noise.uniform((ops.shape(condition)[0], 1), seed, rows=0)
    return flagged(condition, ops.cast(drawn < share, "float32"))


def of_training(prior, condition, seed):
    """What a prior is given in a training step: of one with `condition_dropout`, a part dropped."""
    share = getattr(prior, "condition_dropout", 0.0)
    return dropped(condition, share, seed) if share and condition is not None else condition


def training_log_prob(prior, codes, condition, seed):
    """log p(c) of a prior of codes in a training step, with its dropout and its own draws."""
    condition = of_training(prior, condition, seed)
    if hasattr(prior, "training_log_prob"):
        return prior.training_log_prob(codes, condition, seed)
    return prior.log_prob(codes, condition)


def checked_dropout(share, condition_dim):
    """`condition_dropout` as a float, or a `ValueError`."""
    if not 0.0 <= share < 1.0:
        raise ValueError(
            "`condition_dropout` is a part of the conditions: at least 0 and below 1. "
            f"Received: condition_dropout={share!r}"
        )
    if share and condition_dim is None:
        raise ValueError(
            "A prior without condition has none to drop: give `condition_dim` too. "
            f"Received: condition_dropout={share!r}, condition_dim=None"
        )
    return float(share)


def check(prior, guidance, condition, other=None):
    """Raises a `ValueError` where a prior cannot be guided.

    Args:
        prior: with `condition_dim` and `condition_dropout`.
        guidance: factor of what the condition changes, or one for each example.
        condition: what it is guided to, or None.
        other: a condition that it is guided away from, or None for no condition.
    """
    if not np.all((np.asarray(guidance) >= 0.0) & np.isfinite(guidance)):
        raise ValueError(
            f"`guidance` must be at least 0 and finite. Received: guidance={guidance!r}"
        )
    if np.all(guidance == 1.0):
        return
    if condition is None:
        raise ValueError(
            "Guidance scales what the condition changes: give `condition=` of a conditional "
            f"model. Received: guidance={guidance!r}, condition=None"
        )
    if other is None and not getattr(prior, "condition_dropout", 0.0):
        raise ValueError(
            "This prior was not trained to do without its condition, which guidance compares "
            "with: build it with `condition_dropout=0.1` and train it. "
            f"Received: guidance={guidance!r}, prior={type(prior).__name__}"
        )
