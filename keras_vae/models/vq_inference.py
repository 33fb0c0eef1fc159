"""What a model of integer codes is asked for, where that differs from `Inference`."""

import inspect

import numpy as np

from keras_vae import _checks
from keras_vae.models import sources
from keras_vae.models.run import is_array
from keras_vae.priors.codes import check_choice

# Maps drawn at a time: the noise of one is its positions times the codes.
MAPS = 64
# What leaves the prior as it is.
_WHOLE = {"map_shape": None, "top_k": None, "top_p": None, "guidance": 1.0}


class CodeInference:
    """Methods of `VQVAE` in front of `Inference`.

    A condition steers the prior only, so it may be left out wherever the prior has no
    part; one that is given is checked.
    """

    def encode(self, x, condition=None, batch_size=256):
        """Codes.

        Args:
            x: data `(n, ...)`.
            condition: not needed, as only the prior is conditional.
            batch_size: rows a compiled call.

        Returns:
            `(n, h, w)` int32, from 0 to `num_codes - 1`; with q codes per position these lie
            beside each other, and w is q times the width of the features.

        Raises:
            ValueError: wrong shape, range or condition; NaN; empty.
        """
        x, _ = self._checked(x, condition)
        return self._batched("infer", batch_size, x)[0]

    def decode(self, z, condition=None, batch_size=256):
        """Means of p(x|z) in data space.

        Args:
            z: codes `(n, h, w)`, integers.
            condition: not needed, as only the prior is conditional.
            batch_size: rows a compiled call.

        Returns:
            `(n, ...)` float32.

        Raises:
            TypeError: codes that are no integers.
            ValueError: codes of another shape or out of range.
        """
        z = _checks.code_map(self, z)
        self._check_given(condition, len(z))
        return self._batched("render", batch_size, z)

    def reconstruct(self, x, condition=None, batch_size=256):
        """The codes of x, decoded: `(n, ...)` float32.

        Args and errors: see `encode`.
        """
        x, _ = self._checked(x, condition)
        return self._batched("rebuild", batch_size, x)

    def log_px(self, x, z, condition=None, batch_size=256):
        """log p(x|z) of each example with codes z: `(n,)` float32, nats."""
        x, _ = self._checked(x, condition)
        return self._batched("explain", batch_size, x, _checks.code_map(self, z))

    def sample_codes(
        self,
        n,
        condition=None,
        seed=None,
        temperature=1.0,
        batch_size=MAPS,
        *,
        map_shape=None,
        top_k=None,
        top_p=None,
        guidance=1.0,
    ):
        """New codes from the prior.

        Args:
            n: how many maps.
            condition: labels or attributes, one for all or one for each.
            seed: int; the same codes on every backend for the same weights.
            temperature: below 1 more probable and less varied codes; 0 takes the most
                probable code at every position.
            batch_size: maps a compiled call.
            map_shape: `(h, w)`, for a prior of maps of any size.
            top_k: draws from the k most probable codes of each position; None for all.
            top_p: draws from the most probable codes that together have at least this
                probability; None for all.
            guidance: g in (1 - g) · logits without condition + g · logits with it: above 1
                codes follow the condition more closely than those of the prior.

        Returns:
            `(n, h, w)` int32.

        Raises:
            ValueError: a number that is out of range, a wrong condition, or guidance of a
                prior that was not trained with `condition_dropout`.
        """
        n, rows = _checks.count(n), _checks.count(batch_size, "batch_size")
        check_choice(self.num_codes, temperature, top_k, top_p)
        condition = _checks.condition(self, condition, n)
        rng = np.random.default_rng(_checks.seed(seed))
        choice = {"map_shape": map_shape, "top_k": top_k, "top_p": top_p, "guidance": guidance}
        # A prior of one's own need not know them.
        choice = {name: value for name, value in choice.items() if value != _WHOLE[name]}
        _known(self.prior, choice)
        parts = []
        for start in range(0, n, rows):
            number = min(rows, n - start)
            given = None
            if condition is not None:
                given = self._encoded(condition[start : start + rows])
            parts.append(
                self.prior.sample(number, rng, given, temperature, self._of_prior, **choice)
            )
        return np.concatenate(parts)

    def sample(
        self,
        n,
        condition=None,
        seed=None,
        batch_size=MAPS,
        temperature=1.0,
        noise=False,
        *,
        map_shape=None,
        top_k=None,
        top_p=None,
        guidance=1.0,
    ):
        """New data: codes from the prior, decoded. See `sample_codes`, and `VAE.sample`.

        Returns:
            `(n, ...)` float32.
        """
        seed = _checks.seed(seed)
        choice = {"map_shape": map_shape, "top_k": top_k, "top_p": top_p, "guidance": guidance}
        codes = self.sample_codes(n, condition, seed, temperature, batch_size, **choice)
        # A stream of its own: the prior has used the other one up to an unknown place.
        rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
        return self._decoded_or_drawn(codes, None, 256, rng if noise else None)

    def code_log_prob(self, x, condition=None, batch_size=256):
        """log p(c) of the codes c of x under the prior.

        Args:
            x: data `(n, ...)`, or codes `(n, h, w)` of an integer type.
            condition: labels `(n,)` or attributes `(n, c)` of a conditional model.

        Returns:
            `(n,)` float32, nats. Divided by -ln 2 it is what the codes cost in bits.
        """
        x, condition = sources.arrays(self, x, condition)
        codes = np.asarray(x)
        if codes.dtype.kind in "iu" and codes.ndim == 3:
            codes = _checks.code_map(self, codes)
        else:
            codes = self.encode(x)
        condition = _checks.condition(self, condition, len(codes))
        return self._batched("code_log_prob", batch_size, codes, condition)

    def log_likelihood(self, x, samples=1, condition=None, seed=0, batch_size=256, verbose="auto"):
        """Lower bound on log p(x): log p(x|c) + log p(c) with the codes c of x.

        p(x) sums this over every map of codes; of a posterior that is one code the
        sum's largest terms are all but that one left out. More `samples` change
        nothing.

        Args: as `VAE.log_likelihood`.

        Returns:
            `(n,)` float64, nats.
        """
        x, condition = sources.arrays(self, x, condition)
        x = _checks.data(self, x)
        condition = _checks.condition(self, condition, len(x))
        _checks.count(samples, "samples")
        x = self.likelihood.observe_numpy(x, np.random.default_rng(seed))
        return self._batched("bound", batch_size, x, condition).astype("float64")

    def posterior(self, x, condition=None, batch_size=256):
        """Refused: q(z|x) is one code."""
        raise ValueError(
            "A VQ-VAE's posterior is a single code, not a distribution: use `encode(x)` "
            "for the codes and `code_log_prob(x)` for their log-probability."
        )

    def interpolate(self, *args, **kwargs):
        """Refused: there is nothing between two codes."""
        raise ValueError(
            "Between two maps of integer codes there is no straight line: use "
            "`decode(np.where(mask, encode(x_a), encode(x_b)))` to mix the codes of two "
            "pictures, or a continuous model such as `models.vae` to interpolate."
        )

    def traverse(self, *args, **kwargs):
        """Refused: codes have no dimensions to walk along."""
        raise ValueError(
            "Integer codes have no dimensions to walk along: use `z = encode(x)`, set "
            "codes of your choice and `decode(z)`, or a continuous model such as "
            "`models.vae` to traverse."
        )

    def edit(self, *args, **kwargs):
        """Refused: the decoder sees no condition."""
        raise ValueError(
            "A VQ-VAE's decoder sees no condition, so there is nothing to edit: use "
            "`sample(n, condition=...)` for new pictures with a condition, or `models.cvae`."
        )

    def _clean_input(self, x):
        """Data for `predict`: x, or that of `(x, condition)`."""
        if isinstance(x, (tuple, list)) and self.condition is not None:
            x = x[0]
        return _checks.data(self, x) if is_array(x) else x

    def _checked(self, x, condition, name="x"):
        x, condition = sources.arrays(self, x, condition, name)
        x = _checks.data(self, x, name)
        self._check_given(condition, len(x))
        return x, None

    def _check_given(self, condition, n):
        if condition is not None:
            _checks.condition(self, condition, n)

    def _tensor_function(self, name):
        return _FUNCTIONS.get(name) or super()._tensor_function(name)

    def _of_prior(self, prior, name):
        return self._function(name)


def _known(prior, choice):
    """Raises a ValueError where a prior's `sample` does not know what is asked for."""
    known = inspect.signature(prior.sample).parameters
    unknown = {name: value for name, value in choice.items() if name not in known}
    if unknown:
        raise ValueError(
            f"This prior's `sample` knows no {', '.join(unknown)}: leave "
            f"{'it' if len(unknown) == 1 else 'them'} out, or give the model another prior, such "
            "as `priors.GatedPixelCNN`. "
            f"Received: {unknown}, prior={type(prior).__name__}"
        )


def _told(model, *arrays):
    return model.prior.told(*arrays)


def _next_logits(model, *arrays):
    return model.prior.next_logits(*arrays)


def _masked_logits(model, *arrays):
    return model.prior.masked_logits(*arrays)


def _code_log_prob(model, codes, condition=None):
    return model.prior.log_prob(codes, model._encoded(condition))


def _bound(model, x, condition=None):
    evidence = model.evidence(x, condition)
    return evidence.log_px + evidence.log_pc


_FUNCTIONS = {
    "told": _told,
    "next_logits": _next_logits,
    "masked_logits": _masked_logits,
    "code_log_prob": _code_log_prob,
    "bound": _bound,
}
