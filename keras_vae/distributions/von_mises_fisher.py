"""Distributions on the unit sphere: that of von Mises and Fisher, and the uniform one.

Everything about them is an integral over the angle θ to the mean direction, whose density is
∝ exp(κ cos θ) sin^(d-2) θ. The modified Bessel functions are such integrals too,

    I_(d/2-1)(κ) e^-κ = (κ/2)^(d/2-1) / (√π Γ((d-1)/2)) ∫ e^(κ(cos θ - 1)) sin^(d-2) θ dθ,

so that one quadrature of positive terms, which loses no digits, stands for the functions, their
ratios and their derivatives, whatever d and κ.
"""

import functools
import math

import numpy as np
from keras import ops

from keras_vae._types import Tensor
from keras_vae.distributions.base import Distribution, distribution_of

# Gauss and Legendre's rule on [-1, 1].
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)
# The density is integrated from so many standard deviations below the mode, and √2 times as many
# above: far above it falls as e^(-κ θ² / 2), at half the curvature of the mode.
_WIDTHS = 10.0
# Newton's steps of the sampler.
_STEPS = 7


def log_area(d: int) -> float:
    """log of the area of the unit sphere in d dimensions: 2 π^(d/2) / Γ(d/2)."""
    return math.log(2.0) + 0.5 * d * math.log(math.pi) - math.lgamma(0.5 * d)


class Angle:
    """The angle between a vector on the sphere and its mean direction, in radians.

    Args:
        concentration: κ, at least 0, of any shape.
        d: dimensions of the space, at least 2.
    """

    def __init__(self, concentration: Tensor, d: int) -> None:
        self.concentration, self.power = concentration, float(d - 2)
        kappa = ops.stop_gradient(concentration)
        root = self.power + ops.sqrt(self.power**2 + 4.0 * ops.square(kappa)) + 1e-20
        cosine = 2.0 * kappa / root
        mode = ops.arctan2(ops.sqrt(2.0 * self.power / root), cosine)
        width = _WIDTHS / ops.sqrt(ops.maximum(kappa * cosine + 0.5 * root, 0.25))
        self.low = ops.maximum(mode - width, 0.0)
        self.high = ops.minimum(mode + math.sqrt(2.0) * width, math.pi)
        # E[1 - cos θ], without the rounding error of a cosine near 1.
        self.log_integral, self.fall = self.integrate(self.low, self.high)

    def _terms(self, low, high):
        """1 - cos θ at the nodes between two angles, and the logarithms of what they count."""
        half = ops.expand_dims(0.5 * (high - low), -1)
        angle = ops.expand_dims(low, -1) + half * ops.convert_to_tensor(1.0 + _NODES, "float32")
        fall = 2.0 * ops.square(ops.sin(0.5 * angle))
        heights = self.power * ops.log(ops.maximum(ops.sin(angle), 1e-20))
        heights = heights - ops.expand_dims(self.concentration, -1) * fall
        return fall, heights + ops.log(half * ops.convert_to_tensor(_WEIGHTS, "float32"))

    def integrate(self, low, high):
        """log ∫ e^(κ(cos θ - 1)) sin^(d-2) θ dθ, and the mean of 1 - cos θ, between two angles."""
        fall, terms = self._terms(low, high)
        return ops.logsumexp(terms, axis=-1), ops.sum(ops.softmax(terms) * fall, axis=-1)

    def log_density(self, angle):
        """Log-density of an angle in nats."""
        fall = 2.0 * ops.square(ops.sin(0.5 * angle))
        sine = ops.log(ops.maximum(ops.sin(angle), 1e-20))
        return self.power * sine - self.concentration * fall - self.log_integral

    def variances(self):
        """The variances of cos θ, and of a coordinate orthogonal to the mean direction."""
        fall, terms = self._terms(self.low, self.high)
        share = ops.softmax(terms)
        along = ops.sum(share * ops.square(fall - ops.expand_dims(self.fall, -1)), axis=-1)
        across = ops.sum(share * fall * (2.0 - fall), axis=-1) / (self.power + 1.0)
        return along, across

    def moved(self, angle):
        """Where the quantile of an angle of the uniform distribution lies in this one.

        F_κ(θ) = F_0(θ_0) is solved by Newton's method, of the logarithm of the smaller tail. The
        gradient by κ is that of the solution of the equation: dθ/dκ = -∂F/∂κ / p.

        Args:
            angle: θ_0, `(..., shape of κ)`.
        """
        angle = ops.stop_gradient(angle)
        fixed = Angle(ops.stop_gradient(self.concentration), int(self.power) + 2)
        found, log_tail, fall = fixed._solved(angle)
        # ∂F/∂κ = ∫ (E[1 - cos θ] - (1 - cos θ)) p dθ; of the upper tail it is the negative one.
        sign = ops.where(angle < 0.5 * math.pi, -1.0, 1.0)
        slope = sign * (fixed.fall - fall) * ops.exp(log_tail - fixed.log_density(found))
        change = self.concentration - fixed.concentration
        return ops.stop_gradient(found) + ops.stop_gradient(slope) * change

    def _solved(self, angle):
        """The angle of that quantile; log of its smaller tail, and the mean of 1 - cos θ there."""
        uniform = _uniform(angle, self.power)
        lower = angle < 0.5 * math.pi
        nearest = ops.minimum(angle, math.pi - angle)
        goal = uniform.integrate(uniform.low, ops.maximum(nearest, uniform.low))[0]
        goal = ops.maximum(goal - uniform.log_integral, -80.0)
        low, high = self.low + 0.0 * angle, self.high + 0.0 * angle
        end, sign = ops.where(lower, low, high), ops.where(lower, 1.0, -1.0)
        # A Möbius map of the sphere: exact to first order for small angles.
        scale = ops.sqrt(self.fall / (2.0 - self.fall))
        found = 2.0 * ops.arctan2(scale * ops.sin(0.5 * angle), ops.cos(0.5 * angle))
        found = ops.clip(found, low, high)
        for _ in range(_STEPS):
            log_tail, fall = self._tail(end, found)
            log_density = self.log_density(found)
            above = ops.where(lower, log_tail > goal, log_tail < goal)
            low, high = ops.where(above, low, found), ops.where(above, found, high)
            step = (log_tail - goal) * ops.exp(log_tail - log_density)
            found = found - sign * step
            inside = ops.logical_and(found >= low, found <= high)
            found = ops.where(inside, found, 0.5 * (low + high))
        return found, *self._tail(end, found)

    def _tail(self, end, angle):
        log_tail, fall = self.integrate(ops.minimum(end, angle), ops.maximum(end, angle))
        return log_tail - self.log_integral, fall


def _without(vectors, direction):
    """What of vectors is orthogonal to a unit vector."""
    return vectors - ops.sum(vectors * direction, axis=-1, keepdims=True) * direction


def _uniform(like, power):
    return Angle(ops.zeros_like(like), int(power) + 2)


class VonMisesFisher(Distribution):
    """Von Mises and Fisher's distribution on the unit sphere: p(z) ∝ exp(κ μᵀz).

    Davidson et al., "Hyperspherical Variational Auto-Encoders", 2018, who draw from it by
    rejection. Here noise is normal, as that of every other distribution: its direction is
    uniform on the sphere, and `transform` moves it on its great circle through μ, to the angle
    at which the same quantile lies. Nothing is rejected, so that samples are a continuous
    function of the noise and of κ, and gradients have no term left out: by κ that of the
    quantile, by μ that of a sample which turns as μ does.

    Args:
        direction: μ, unit vectors `(..., d)`, d at least 2.
        concentration: κ, at least 0, `(..., 1)`.
    """

    def __init__(self, direction: Tensor, concentration: Tensor) -> None:
        super().__init__(event_ndim=1)
        self.direction, self.concentration = direction, concentration
        self.dim = int(direction.shape[-1])

    @functools.cached_property
    def angle(self):
        """The `Angle` to μ."""
        return Angle(ops.squeeze(self.concentration, -1), self.dim)

    @property
    def center(self):
        """The mean direction, which is on the sphere; the mean is inside it."""
        return self.direction

    @property
    def mean(self):
        """A(κ) μ, A(κ) = I_(d/2)(κ) / I_(d/2-1)(κ)."""
        return ops.expand_dims(1.0 - self.angle.fall, -1) * self.direction

    @property
    def variance(self):
        """Variance of each coordinate, `(..., d)`."""
        along, across = (ops.expand_dims(v, -1) for v in self.angle.variances())
        return across + (along - across) * ops.square(self.direction)

    def mean_covariance(self):
        along, across = (ops.expand_dims(v, -1) for v in self.angle.variances())
        n = ops.cast(ops.shape(self.direction)[0], "float32")
        weighted = ops.transpose((along - across) * self.direction)
        return ops.mean(across) * ops.eye(self.dim) + ops.matmul(weighted, self.direction) / n

    def transform(self, noise):
        """Turns standard normal `noise` into samples: unit vectors."""
        return self._drawn(noise)[0]

    def transform_and_log_prob(self, noise):
        # From the angle: 1 - μᵀz loses digits where κ is large.
        samples, angle = self._drawn(noise)
        return samples, self.angle.log_density(angle) - self._log_ring(angle)

    def _log_ring(self, angle):
        """log of the area of the vectors at an angle to μ."""
        sine = ops.log(ops.maximum(ops.sin(angle), 1e-20))
        return log_area(self.dim - 1) + (self.dim - 2) * sine

    def _drawn(self, noise):
        noise = ops.cast(noise, "float32")
        fixed = ops.stop_gradient(self.direction)
        along = ops.sum(noise * fixed, axis=-1)
        across = _without(noise, fixed)
        length = ops.sqrt(ops.sum(ops.square(across), axis=-1))
        # No noise is no deviation from the mean direction.
        none = ops.max(ops.abs(noise), axis=-1) == 0.0
        angle = self.angle.moved(ops.arctan2(length, ops.where(none, 1.0, along)))
        angle = ops.where(none, 0.0, angle)
        # The gradient by μ is that of this vector, which turns as μ does.
        across = _without(across / ops.expand_dims(length + 1e-30, -1), self.direction)
        across = across / ops.sqrt(ops.sum(ops.square(across), axis=-1, keepdims=True) + 1e-30)
        cosine, sine = (ops.expand_dims(f(angle), -1) for f in (ops.cos, ops.sin))
        return cosine * self.direction + sine * across, angle

    def log_prob(self, x):
        """Log-density of unit vectors `(..., d)` in nats, by the area of the sphere."""
        # ‖x - μ‖² / 2 is 1 - μᵀx, and keeps its digits where both are close to each other.
        fall = 0.5 * ops.sum(ops.square(ops.cast(x, "float32") - self.direction), axis=-1)
        return -ops.squeeze(self.concentration, -1) * fall - self._log_normaliser()

    def _log_normaliser(self):
        return self.angle.log_integral + log_area(self.dim - 1)

    def entropy(self):
        """Differential entropy in nats, by the area of the sphere, `(...)`."""
        return ops.squeeze(self.concentration, -1) * self.angle.fall + self._log_normaliser()

    def kl(self, other):
        other = distribution_of(other)
        if isinstance(other, UniformSphere) and other.dim == self.dim:
            return log_area(self.dim) - self.entropy()
        if not isinstance(other, VonMisesFisher) or other.dim != self.dim:
            return self._unknown_kl(other)
        apart = 0.5 * ops.sum(ops.square(self.direction - other.direction), axis=-1)
        # E[1 - μ_pᵀz] = 1 - A(κ) μ_pᵀμ.
        fall = self.angle.fall + (1.0 - self.angle.fall) * apart
        crossed = ops.squeeze(other.concentration, -1) * fall + other._log_normaliser()
        return crossed - self.entropy()


class UniformSphere(Distribution):
    """The uniform distribution on the unit sphere: directions of normal noise.

    Args:
        dim: d, dimensions of the space, at least 2.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(event_ndim=1)
        self.dim = dim

    @property
    def mean(self):
        """The origin, which is not on the sphere."""
        return ops.zeros((self.dim,), "float32")

    @property
    def variance(self):
        return ops.full((self.dim,), 1.0 / self.dim, "float32")

    def transform(self, noise):
        """Turns standard normal `noise` into samples: unit vectors."""
        noise = ops.cast(noise, "float32")
        squared = ops.sum(ops.square(noise), axis=-1, keepdims=True)
        return noise / ops.sqrt(squared + 1e-30)

    def log_prob(self, x):
        """Log-density of unit vectors `(..., d)` in nats, by the area of the sphere."""
        return ops.zeros_like(ops.cast(x, "float32")[..., 0]) - log_area(self.dim)

    def entropy(self):
        """Differential entropy in nats, by the area of the sphere: a scalar."""
        return ops.convert_to_tensor(np.float32(log_area(self.dim)))

    def kl(self, other):
        return self._unknown_kl(other)
