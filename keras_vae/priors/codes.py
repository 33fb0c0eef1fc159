"""Priors over maps of integer codes: what all of them share, and how a code is chosen."""

import keras
import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae.priors import guidance as guiding
from keras_vae.training import kernels


class CodePrior(keras.layers.Layer):
    """Base class: log p(c) = Σ_i log p(c_i | c_<i), row by row, from left to right.

    A subclass has `call(codes, condition)`, logits of each position, and `_walk`, the logits
    of one position after the other.

    Args:
        num_codes: codes are integers from 0 to `num_codes - 1`.
        map_shape: `(height, width)` of a map.
        condition_dim: length of encoded conditions, or None.
        condition_dropout: part of the conditions that training drops, so that samples can be
            guided. The network then sees conditions as `priors.guidance.flagged` makes them.
    """

    can_sample = True
    is_mixture = False

    def __init__(self, num_codes, map_shape, condition_dim=None, condition_dropout=0.0, **kwargs):
        super().__init__(**{"dtype": "float32", "name": "prior", **kwargs})
        map_shape = tuple(map_shape)
        if len(map_shape) != 2 or not all(map(_checks.is_integer, map_shape)):
            raise ValueError(
                f"`map_shape` must be (height, width). Received: map_shape={map_shape}"
            )
        self.num_codes = _checks.count(num_codes, "num_codes")
        self.map_shape = map_shape
        self.condition_dim = condition_dim
        self.condition_dropout = guiding.checked_dropout(condition_dropout, condition_dim)

    @property
    def seen_condition_dim(self):
        """Length of conditions as the network sees them, or None."""
        return self.condition_dim if not self.condition_dropout else self.condition_dim + 1

    def seen(self, condition):
        """Conditions `(n, c)`, or those that are flagged already, as the network sees them."""
        if not self.condition_dropout or condition.shape[-1] == self.seen_condition_dim:
            return condition
        return guiding.flagged(condition)

    def log_prob(self, codes, condition=None):
        """log p(c) in nats, summed over the map: `(n,)`, float32.

        Args:
            codes: `(n, h, w)` integers.
            condition: encoded conditions `(n, condition_dim)`, or None.
        """
        each = kernels.cross_entropy(codes, self(codes, condition))
        return -ops.sum(each, axis=(1, 2))

    def attach(self, model):
        """Part of the interface of `priors.Prior`; does nothing here."""

    def sample(
        self,
        n,
        rng,
        condition=None,
        temperature=1.0,
        compiled=getattr,
        *,
        top_k=None,
        top_p=None,
        guidance=1.0,
    ):
        """Draws maps of codes with NumPy's noise: the same on every backend.

        Args:
            n: number of maps.
            rng: a `numpy.random.Generator`.
            condition: encoded conditions `(n, c)` or None.
            temperature: 1 draws from the prior; below 1 logits are divided by it; 0 takes the
                most probable code at each position.
            compiled: function from this layer and the name of a method to
                the compiled method.
            top_k: draws from the k most probable codes of each position only; None for all.
            top_p: draws from the most probable codes that together have at least this
                probability (nucleus sampling, Holtzman et al. 2020); None for all.
            guidance: g in (1 - g) · logits without condition + g · logits with it; 1 is the
                prior itself, more follows the condition more closely.

        Returns:
            NumPy array `(n, h, w)`, int32.

        Raises:
            ValueError: a number that is out of range, or guidance of a prior that was not
                trained to do without its condition.
        """
        check_choice(self.num_codes, temperature, top_k, top_p)
        guiding.check(self, guidance, condition)
        noise = rng.gumbel(size=(n, *self.map_shape, self.num_codes)).astype("float32")
        guided = guidance != 1.0
        if guided:
            # One pass for both: the first half with the condition, the second without.
            both = [guiding.flagged(condition, drop) for drop in (0.0, 1.0)]
            condition = ops.concatenate(both)
        conditions = () if condition is None else (condition,)
        codes = np.zeros((2 * n if guided else n, *self.map_shape), "int32")
        for i, j, logits in self._walk(codes, conditions, compiled):
            if guided:
                logits = logits[n:] + np.float32(guidance) * (logits[:n] - logits[n:])
            drawn = choose(logits, noise[:, i, j], temperature, top_k, top_p)
            codes[:, i, j] = np.concatenate([drawn, drawn]) if guided else drawn
        return codes[:n]

    def _walk(self, codes, conditions, compiled):
        """Yields `(row, column, logits)` of each position: logits NumPy, `(n, num_codes)`.

        Between two positions the caller writes the codes of the first into `codes`.
        """
        raise NotImplementedError

    def compute_output_spec(self, codes, condition=None):
        return keras.KerasTensor((*codes.shape, self.num_codes), dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "map_shape": self.map_shape,
            "condition_dim": self.condition_dim,
            "condition_dropout": self.condition_dropout,
        }


def check_choice(num_codes, temperature=1.0, top_k=None, top_p=None):
    """Raises a `ValueError` for what `choose` does not take."""
    if not 0.0 <= temperature < np.inf:
        raise ValueError(
            "`temperature` must be a finite number of at least 0. "
            f"Received: temperature={temperature!r}"
        )
    if top_k is not None and not _checks.is_integer(top_k, 1, num_codes):
        raise ValueError(
            f"`top_k` must be an integer from 1 to {num_codes}, or None for all codes. "
            f"Received: top_k={top_k!r}"
        )
    if top_p is not None and not 0.0 < top_p <= 1.0:
        raise ValueError(
            "`top_p` must be a probability above 0 and at most 1, or None. "
            f"Received: top_p={top_p!r}"
        )


def choose(logits, noise, temperature=1.0, top_k=None, top_p=None):
    """Codes drawn by their logits, NumPy in and out: `(n,)` int32.

    Logits are divided by the temperature; then the `top_k` most probable codes are kept; of
    these, in order of their probability, those before which less than `top_p` has come.

    Args:
        logits: `(n, num_codes)`.
        noise: `(n, num_codes)`, standard Gumbel numbers.
        temperature, top_k, top_p: see `CodePrior.sample`.
    """
    logits = np.asarray(logits, "float32")
    if temperature > 0 and (top_k is not None or top_p is not None):
        order = np.argsort(-logits, axis=-1, kind="stable")
        ranked = np.take_along_axis(logits, order, -1).astype("float64") / temperature
        if top_k is not None:
            ranked[:, top_k:] = -np.inf
        if top_p is not None:
            shares = np.exp(ranked - ranked[:, :1])
            shares /= shares.sum(-1, keepdims=True)
            before = np.cumsum(shares, axis=-1) - shares
            # The sum of all may be a little below 1.
            ranked[(before >= top_p) & (np.arange(ranked.shape[-1]) > 0)] = -np.inf
        kept = np.empty(logits.shape, bool)
        np.put_along_axis(kept, order, np.isfinite(ranked), -1)
        logits = np.where(kept, logits, -np.inf)
    return np.argmax(logits + np.float32(temperature) * noise, axis=-1).astype("int32")
