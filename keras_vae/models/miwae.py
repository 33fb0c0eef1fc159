"""MIWAE: a model of data with missing values, which it can fill in."""

import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae._registry import register
from keras_vae.models import sources
from keras_vae.models.vae import VAE


def mark_missing(x, missing=None):
    """Data whose missing values are NaN.

    Args:
        x: data `(n, ...)`.
        missing: bool `(n, ...)`, true where a value is missing; None for data that is
            marked already.

    Returns:
        float32 array of the shape of x.

    Raises:
        ValueError: `missing` is of another shape, or not of booleans (0 and 1).
    """
    if missing is None:
        return x
    x, missing = _checks.array(x, "x"), _checks.array(missing, "missing")
    if missing.shape != x.shape or not np.isin(missing, (0, 1)).all():
        raise ValueError(
            f"`missing` must be booleans of the data's shape {x.shape}, true where a value is "
            f"missing. Received: shape {missing.shape}, dtype {missing.dtype}"
        )
    return np.where(missing.astype(bool), np.float32(np.nan), x.astype("float32"))


def pad_series(series, length=None):
    """Series of different lengths as one array, filled up with NaN.

    Under a likelihood `likelihoods.Observed`, as of `models.miwae`, what is filled up counts
    nothing; the encoder of `network="recurrent"` skips it.

    Args:
        series: list of arrays `(t_i, f)`, or `(t_i,)` of one feature.
        length: steps of the result; those of the longest series by default.

    Returns:
        float32 array `(n, length, f)`.

    Raises:
        ValueError: no series, other shapes, or one that is longer than `length`.
    """
    series = [_checks.array(one, "series") for one in series]
    series = [one[:, None] if one.ndim == 1 else one for one in series]
    shapes = sorted({one.shape[1:] for one in series})
    if len(shapes) != 1 or len(shapes[0]) != 1:
        raise ValueError(
            "`series` must be arrays (t, f), with the same number f of features. "
            f"Received: {len(series)} series, of steps of shape {shapes}"
        )
    longest = max(map(len, series))
    length = longest if length is None else _checks.count(length, "length")
    if longest > length:
        raise ValueError(
            f"`length` must be at least that of the longest series, {longest}: cut the others, "
            f"series[i][:{length}]. Received: length={length}"
        )
    padded = np.full((len(series), length, *shapes[0]), np.nan, "float32")
    for row, one in zip(padded, series, strict=True):
        row[: len(one)] = one
    return padded


def takes_missing(encoder):
    """Whether an encoder has a layer that says by `takes_missing` that it sees NaN itself."""
    return any(getattr(layer, "takes_missing", False) for layer in encoder.layers)


@register
class MIWAE(VAE):
    """A VAE whose encoder sees 0 where a value is missing, or NaN if it `takes_missing`.

    Mattei & Frellsen, "MIWAE: Deep Generative Modelling and Imputation of Incomplete
    Data Sets", 2019. Missing values are NaN in all data that it is given. Everything
    else is as in `VAE`, with a likelihood `likelihoods.Observed`.
    """

    def infer(self, x, condition=None, training=False):
        """Parameters of q(z|x_obs), tensors in and out."""
        if not takes_missing(self.encoder):
            x = ops.where(ops.isnan(x), 0.0, x)
        return super().infer(x, condition, training)

    def fit(self, x=None, y=None, *args, missing=None, **kwargs):
        """As `VAE.fit`; `missing` may mark missing values in place of NaN.

        Args:
            missing: see `mark_missing`.
        """
        return super().fit(mark_missing(x, missing), y, *args, **kwargs)

    def impute(
        self,
        x,
        missing=None,
        samples=1000,
        condition=None,
        seed=0,
        batch_size=None,
        verbose="auto",
    ):
        """Data with its missing values filled in by their mean given the others.

        Σ_k w̃_k E[x_mis|z_k], z_k from q(z|x_obs), w̃_k their normalised weights
        p(x_obs|z) p(z) / q(z|x_obs): the more samples, the nearer to E[x_mis|x_obs] of
        the model.

        Args:
            x: data `(n, ...)`.
            missing: see `mark_missing`.
            samples, condition, seed, batch_size, verbose: as `log_likelihood`.

        Returns:
            `(n, ...)` float32: x where it is known; a table where x is one.

        Raises:
            ValueError: bad data.
        """
        given = x
        x, condition = self._checked(mark_missing(x, missing), condition)
        filled = np.zeros(x.shape, "float64")
        total = np.full((len(x),) + (1,) * (x.ndim - 1), -np.inf)
        for rows, (part, means) in self._scored(
            "impute", x, samples, condition, seed, batch_size, verbose
        ):
            part = part.reshape(-1, *total.shape[1:]).astype("float64")
            new = np.logaddexp(total[rows], part)
            filled[rows] *= np.exp(total[rows] - new)
            filled[rows] += np.exp(part - new) * means
            total[rows] = new
        filled = np.where(np.isnan(x), filled, x).astype("float32")
        return sources.as_given(self, given, filled, keep=True)

    def _tensor_function(self, name):
        return _impute if name == "impute" else super()._tensor_function(name)


def _impute(model, noise, x, condition=None):
    """log Σ_k w_k `(n,)` and Σ_k w̃_k E[x|z_k] `(n, ...)` of K samples."""
    evidence = model.evidence(x, condition, noise=noise)
    log_weights = evidence.log_weights
    means = model.likelihood.mean(model._outputs(evidence.z, condition))
    weights = ops.softmax(log_weights, axis=0)
    weights = ops.reshape(weights, (weights.shape[0], -1) + (1,) * (len(x.shape) - 1))
    return ops.logsumexp(log_weights, axis=0), ops.sum(weights * means, axis=0)
