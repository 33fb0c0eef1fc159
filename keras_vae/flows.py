"""Normalizing flows: invertible maps of codes and their log-determinants.

A flow is a function from z `(..., d)` to z' `(..., d)` and the log-determinant
log|det ∂z'/∂z| `(...)`, in nats.
"""

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _budget, initializers, layers
from keras_vae._registry import register
from keras_vae._types import Tensor

KINDS = ("planar", "radial")
# Beside ‖w‖² of a planar flow.
_EPSILON = 1e-12


def _dot(a, b):
    return ops.sum(a * b, axis=-1, keepdims=True)


class Planar:
    """z' = z + û tanh(wᵀz + b), Rezende & Mohamed 2015.

    û = u + (softplus(wᵀu) - 1 - wᵀu) w/‖w‖² keeps wᵀû above -1, which makes the map
    invertible. As w may be 0, the division is by ‖w‖² + ε.

    Args:
        u, w: arrays `(n, d)`.
        b: array `(n, 1)`.
    """

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        along, positive = _dot(w, u), ops.softplus(_dot(w, u))
        squared = _dot(w, w) + _EPSILON
        self.u = u + (positive - 1.0 - along) * w / squared
        # 1 + wᵀû as a sum that loses no digits: without ε it is the softplus, which is positive,
        # and ε counts for a w near 0 only.
        share = _dot(w, w) / squared
        self.slope = share * positive + (1.0 - share) * (1.0 + along)
        self.w, self.b = w, b

    def __call__(self, z):
        h = ops.tanh(_dot(self.w, z) + self.b)
        # 1 + (1 - h²) wᵀû as a sum of positive terms; softplus(wᵀu) underflows below -100.
        det = ops.square(h) + (1.0 - ops.square(h)) * self.slope
        return z + self.u * h, ops.squeeze(ops.log(ops.maximum(det, 1e-30)), -1)

    @staticmethod
    def size(d):
        """Number of parameters in d dimensions."""
        return 2 * d + 1

    @classmethod
    def of(cls, values, d):
        """The flow of parameters `(n, size(d))`."""
        return cls(values[..., :d], values[..., d : 2 * d], values[..., 2 * d :])


class Radial:
    """z' = z + β̂ h (z - c), h = 1 / (α + ‖z - c‖), Rezende & Mohamed 2015.

    α = softplus(a), and β̂ = softplus(b) - α is above -α, which makes the map
    invertible.

    Args:
        center: c, array `(n, d)`.
        a, b: arrays `(n, 1)`.
    """

    def __init__(self, center: Tensor, a: Tensor, b: Tensor) -> None:
        self.center = center
        self.alpha = ops.softplus(a) + 1e-6
        self.stretch = ops.softplus(b)

    def __call__(self, z):
        apart = z - self.center
        # The norm has no gradient at 0.
        r = ops.sqrt(_dot(apart, apart) + 1e-12)
        beta = self.stretch - self.alpha
        h = 1.0 / (self.alpha + r)
        across = (r + self.stretch) * h
        outwards = 1.0 + beta * self.alpha * ops.square(h)
        log_det = (z.shape[-1] - 1) * ops.log(across) + ops.log(outwards)
        return z + beta * h * apart, ops.squeeze(log_det, -1)

    @staticmethod
    def size(d):
        """Number of parameters in d dimensions."""
        return d + 2

    @classmethod
    def of(cls, values, d):
        """The flow of parameters `(n, size(d))`."""
        return cls(values[..., :d], values[..., d : d + 1], values[..., d + 1 :])


@register
class MADE(keras.layers.Layer):
    """Masked autoencoder: output i depends only on the inputs before i.

    Germain et al., "MADE: Masked Autoencoder for Distribution Estimation", 2015, with
    one hidden layer and a context, on which all outputs depend.

    Args:
        dim: number of inputs d.
        context_dim: length of the context; 0 for none.
        units: width of the hidden layer.
        outputs: outputs for each input.
        seed: int for the initial weights, or None.

    Call arguments: z `(..., d)` and context `(n, context_dim)` or None. Returns a tuple of
    `outputs` tensors `(..., d)`.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        units: int = 64,
        outputs: int = 2,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.dim, self.context_dim = dim, context_dim
        self.units, self.outputs, self.seed = units, outputs, seed
        _budget.ask(dim * units * (1 + outputs), "masks")
        order = np.arange(1, dim + 1)
        hidden = np.arange(units) % max(dim - 1, 1) + min(1, dim - 1)
        self._masks = (
            (hidden[None, :] >= order[:, None]).astype("float32"),
            np.tile(order[None, :] > hidden[:, None], (1, outputs)).astype("float32"),
        )
        shapes = {"kernel_in": (dim, units), "kernel_out": (units, outputs * dim)}
        if context_dim:
            shapes["context_in"] = (context_dim, units)
            shapes["context_out"] = (context_dim, outputs * dim)
        for (name, shape), own in zip(shapes.items(), initializers.seeds(seed), strict=False):
            initializer = initializers.GlorotUniform(own)
            setattr(self, name, self.add_weight(shape, initializer, name=name))
        self.bias_in = self.add_weight((units,), "zeros", name="bias_in")
        self.bias_out = self.add_weight((outputs * dim,), "zeros", name="bias_out")
        self.built = True

    def call(self, z, context=None):
        inwards, outwards = self._masks
        shift, shift_out = self.bias_in, self.bias_out
        if self.context_dim:
            shift = ops.matmul(context, self.context_in) + shift
            shift_out = ops.matmul(context, self.context_out) + shift_out
        hidden = ops.tanh(ops.matmul(z, self.kernel_in * inwards) + shift)
        out = ops.matmul(hidden, self.kernel_out * outwards) + shift_out
        return tuple(ops.split(out, self.outputs, axis=-1))

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "context_dim": self.context_dim,
            "units": self.units,
            "outputs": self.outputs,
            "seed": self.seed,
        }


class Autoregressive:
    """z' = σz + (1 - σ)m with (m, σ) = MADE(z, context), then a reversal of the order.

    Kingma et al. 2016. The log-determinant is Σ log σ; that of the reversal is 0.

    Args:
        made: a `MADE` of two outputs.
        context: array `(n, context_dim)`.
    """

    def __init__(self, made: MADE, context: Tensor) -> None:
        self.made, self.context = made, context

    def _parameters(self, z):
        m, s = self.made(z, self.context)
        # As in the paper, gates start nearly open: the flow starts near the identity.
        return m, s + 2.0

    def __call__(self, z):
        m, s = self._parameters(z)
        gate = ops.sigmoid(s)
        log_det = -ops.sum(ops.softplus(-s), axis=-1)
        return ops.flip(gate * z + (1.0 - gate) * m, axis=-1), log_det

    def inverse(self, z):
        """The inverse, one dimension at a time, and log|det| of the forward map."""
        moved = ops.flip(z, axis=-1)
        z = ops.zeros_like(moved)
        for _ in range(moved.shape[-1]):
            m, s = self._parameters(z)
            gate = ops.sigmoid(s)
            z = (moved - (1.0 - gate) * m) / gate
        return z, -ops.sum(ops.softplus(-self._parameters(z)[1]), axis=-1)


class MaskedAffine:
    """z = m + e^s u with (m, s) = MADE(z, context), then a reversal of the order.

    Papamakarios, Pavlakou & Murray, "Masked Autoregressive Flow for Density Estimation", 2017:
    the inverse of an `Autoregressive` flow. Densities take one call of the network, and samples
    one for each dimension. log|det| = Σ s, and s is bounded to ±`MAX_LOG_SCALE`.

    Args:
        made: a `MADE` of two outputs.
        context: array `(n, context_dim)` or None.
    """

    MAX_LOG_SCALE = 5.0

    def __init__(self, made: MADE, context: Tensor | None = None) -> None:
        self.made, self.context = made, context

    def _parameters(self, z):
        m, s = self.made(z, self.context)
        return m, layers.bounded(s, self.MAX_LOG_SCALE)

    def __call__(self, u):
        z = ops.zeros_like(u)
        for _ in range(u.shape[-1]):
            m, s = self._parameters(z)
            z = m + ops.exp(s) * u
        # The parameters of a dimension depend on those before it, which were final then.
        return ops.flip(z, axis=-1), ops.sum(s, axis=-1)

    def inverse(self, z):
        """The inverse, and log|det| of the forward map."""
        z = ops.flip(z, axis=-1)
        m, s = self._parameters(z)
        return (z - m) * ops.exp(-s), ops.sum(s, axis=-1)


@register
class Coupling(keras.layers.Layer):
    """z' = b z + (1 - b) (z e^s + t), (s, t) = network(b z): an affine coupling layer.

    Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017. b keeps
    every second dimension; a network of these with two hidden ReLU layers gives scale and
    shift of the others. log|det| = Σ (1 - b) s, and s is bounded to ±`MAX_LOG_SCALE`. It
    starts as the identity.

    Args:
        dim: number of dimensions d.
        parity: 0 or 1, the index of the first dimension that b keeps.
        units: width of the hidden layers.
        seed: int for the initial weights, or None.

    Call arguments: z `(..., d)`.
    """

    MAX_LOG_SCALE = 3.0

    def __init__(
        self, dim: int, parity: int = 0, units: int = 64, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.dim, self.parity, self.units, self.seed = dim, parity, units, seed
        self._kept = (np.arange(dim) % 2 == parity).astype("float32")
        first, second = itertools.islice(initializers.seeds(seed), 2)
        self._layer("in", dim, units, initializers.GlorotUniform(first))
        self._layer("middle", units, units, initializers.GlorotUniform(second))
        self._layer("out", units, 2 * dim, "zeros")
        self.built = True

    def _layer(self, name, inputs, outputs, initializer):
        kernel = self.add_weight((inputs, outputs), initializer, name=f"kernel_{name}")
        setattr(self, f"kernel_{name}", kernel)
        setattr(self, f"bias_{name}", self.add_weight((outputs,), "zeros", name=f"bias_{name}"))

    def _scale_and_shift(self, z):
        kept = ops.convert_to_tensor(self._kept)
        hidden = ops.relu(ops.matmul(kept * z, self.kernel_in) + self.bias_in)
        hidden = ops.relu(ops.matmul(hidden, self.kernel_middle) + self.bias_middle)
        raw, shift = ops.split(ops.matmul(hidden, self.kernel_out) + self.bias_out, 2, axis=-1)
        moved = 1.0 - kept
        return moved * layers.bounded(raw, self.MAX_LOG_SCALE), moved * shift

    def call(self, z):
        log_scale, shift = self._scale_and_shift(z)
        return z * ops.exp(log_scale) + shift, ops.sum(log_scale, axis=-1)

    def inverse(self, z):
        """The inverse, and log|det| of the forward map."""
        log_scale, shift = self._scale_and_shift(z)
        return (z - shift) * ops.exp(-log_scale), ops.sum(log_scale, axis=-1)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "parity": self.parity,
            "units": self.units,
            "seed": self.seed,
        }
