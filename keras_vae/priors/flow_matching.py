"""A prior learned by flow matching: normal noise is carried to codes along a velocity field."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_vae import _checks, initializers
from keras_vae._registry import register
from keras_vae.priors import guidance as guiding
from keras_vae.priors.fitted_alone import FittedAlone
from keras_vae.priors.transported import Transported
from keras_vae.priors.velocity import VelocityField
from keras_vae.training import TrainStep

METHODS = ("heun", "midpoint", "euler")


@register
class FlowMatching(FittedAlone):
    """p(z) or p(z|y): normal noise carried along a learned velocity field, dz/dt = v(z, t, y).

    Lipman et al., "Flow Matching for Generative Modeling", 2023, with the straight paths of
    optimal transport, x_t = (1 - t) · noise + t · code, whose velocity is code - noise (rectified
    flow, Liu, Gong & Liu 2023). Codes are vectors or maps, standardised by fitted moments.

    It is trained after the model, on its codes: `model.fit_prior(x, y)`, or in one go
    `model.fit_sampler(x, "flow", y)`. While the model itself is trained, its prior is N(0, I), as
    in latent diffusion: `fit` and `evaluate` do not see this prior, and `log_likelihood` does.
    Before `fit_prior` it is N(0, I).

    Args:
        code_shape: number of latent dimensions d, or the shape `(d,)`, or `(h, w, c)` of maps.
        condition_dim: length of encoded conditions, or None.
        width: features of the network, of each position of a map; a multiple of `heads`.
        depth: number of residual blocks.
        heads: of the attention between the positions of a map.
        steps: of the integration from noise to codes, where none are given.
        method: "heun" or "midpoint", two evaluations a step; or "euler", one.
        condition_dropout: part of the conditions that training drops, so that samples can be
            guided; see `priors.guidance`.
        transport_guidance: how far `transport` and `edit` go from one condition to another where
            they are not told; see there.
        transport_start: time from 0, the noise, to 1 before which they go no further than to the
            other condition itself. What is decided early is light and colour of all of a picture:
            to go beyond the condition there changes more than was asked for (Kynkäänniemi et
            al., "Applying Guidance in a Limited Interval", 2024).
        probes: random vectors by which the divergence of `log_prob` is estimated, always the
            same; None for the exact one, at the cost of as many gradients as a code has numbers.
            "auto" is exact up to 32 numbers, and 8 vectors for more.
        seed: int for the initial weights, the same on every backend; or None.
        dtype: of the network's layers; "mixed_bfloat16" is quicker to train where the processor
            knows it. Codes, times and velocities are float32.

    Raises:
        ValueError: a number that is out of range, or an unknown method.
    """

    def __init__(
        self,
        code_shape: int | Sequence[int],
        condition_dim: int | None = None,
        width: int = 256,
        depth: int = 4,
        heads: int = 4,
        steps: int = 16,
        method: str = "heun",
        condition_dropout: float = 0.0,
        transport_guidance: float = 1.0,
        transport_start: float = 0.0,
        probes: int | str | None = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        given: Any = code_shape
        shape = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        if len(shape) not in (1, 3) or not all(map(_checks.is_integer, shape)):
            raise ValueError(
                "`code_shape` must be a number of dimensions, or (height, width, channels). "
                f"Received: code_shape={code_shape!r}"
            )
        super().__init__(shape, **kwargs)
        width, depth = _checks.count(width, "width"), _checks.count(depth, "depth")
        if width % _checks.count(heads, "heads"):
            raise ValueError(
                f"`width` must be a multiple of `heads`. Received: width={width}, heads={heads}"
            )
        if method not in METHODS:
            raise ValueError(f"`method` must be one of {METHODS}. Received: method={method!r}")
        if probes not in ("auto", None):
            _checks.count(probes, "probes")
        self.condition_dim, self.width, self.depth, self.heads = condition_dim, width, depth, heads
        self.steps, self.method = _checks.count(steps, "steps"), method
        self.condition_dropout = guiding.checked_dropout(condition_dropout, condition_dim)
        self.transport_guidance = _checks.at_least_0("transport_guidance", transport_guidance)
        self.transport_start = _checks.at_least_0("transport_start", transport_start)
        if transport_start >= 1.0:
            raise ValueError(
                "`transport_start` must be below 1, the time at which the codes are reached. "
                f"Received: transport_start={transport_start!r}"
            )
        self.probes, self.seed = probes, seed

        seen = condition_dim
        if seen is not None and self.condition_dropout:
            seen = seen + 1
        self.field = VelocityField(
            self.code_shape,
            seen,
            width,
            depth,
            heads,
            initializers.seeds(seed),
            dtype=self.dtype_policy,
            name="field",
        )
        # `fit_prior` trains it, and `fit` does not.
        self.trainable = False

    @property
    def transports(self):
        """Whether `transported` leads from one condition to another."""
        return self.condition_dim is not None

    @property
    def noise_shape(self):
        """Shape of the noise of one code."""
        return self.code_shape

    def velocity(self, u, times, condition=None, guidance=None, other=None):
        """v of standardised codes `(n, *code_shape)` at times `(n,)`.

        Args:
            u: standardised codes.
            times: 0 at the noise, 1 at the codes.
            condition: encoded conditions `(n, condition_dim)`, or such with a flag; see
                `priors.guidance`.
            guidance: `(n,)`, g in (1 - g) · v of the other condition + g · v of this one; None
                for 1.
            other: encoded conditions `(n, condition_dim)`, beyond which g is at most 1 before
                `transport_start`; None for no condition.
        """
        if self.condition_dim is None:
            return self.field(u, times)
        if condition is None:
            raise ValueError(
                "This prior is conditional: give the encoded conditions "
                f"(n, {self.condition_dim}). Received: condition=None"
            )
        known = self._seen(condition)
        if guidance is None:
            return self.field(u, times, known)
        guidance = ops.cast(guidance, "float32")
        if other is None:
            other = guiding.flagged(condition, 1.0)
        else:
            early = times < self.transport_start
            guidance = ops.where(early, ops.minimum(guidance, 1.0), guidance)
            other = self._seen(other)
        both = ops.concatenate([known, other])
        found = self.field(ops.concatenate([u, u]), ops.concatenate([times, times]), both)
        with_it, without = ops.split(found, 2)
        guidance = ops.reshape(guidance, (-1,) + (1,) * (len(u.shape) - 1))
        return without + guidance * (with_it - without)

    def _seen(self, condition):
        """Conditions as the network sees them; with a flag already they stay as they are."""
        condition = ops.cast(condition, "float32")
        plain = condition.shape[-1] == self.condition_dim
        return guiding.flagged(condition) if self.condition_dropout and plain else condition

    def matching_loss(self, codes, condition, noise, times):
        """‖v(x_t, t, y) - (u - noise)‖² of each example, `(n,)`, u the standardised codes."""
        u = self.to_standard(codes)
        t = ops.reshape(times, (-1,) + (1,) * (len(u.shape) - 1))
        moved = self.velocity((1.0 - t) * noise + t * u, times, condition)
        return ops.sum(ops.square(moved - (u - noise)), axis=tuple(range(1, len(u.shape))))

    def training_loss(self, codes, condition, noise, times):
        """What `fit_prior` minimises: `matching_loss`."""
        return self.matching_loss(codes, condition, noise, times)

    def step(self, u, start, stop, condition=None, guidance=None, other=None):
        """One step of the integration, from times `start` `(n,)` to `stop`: `(n, *code_shape)`."""
        return self._stepped((u,), start, stop, self._motion(condition, guidance, other))[0]

    def integrate(
        self,
        u,
        start,
        stop,
        condition=None,
        steps=None,
        guidance=1.0,
        density=False,
        other=None,
    ):
        """Standardised codes carried from one time to another, all steps in one program.

        Returns:
            `(u,)`, or with `density` `(u, ∫ div v dt)`, the integral `(n,)` along the way.
        """
        guided = not isinstance(guidance, float) or guidance != 1.0
        zeros = ops.zeros_like(ops.reshape(u, (-1, math.prod(self.code_shape)))[:, 0])
        motion = self._motion(condition, zeros + guidance if guided else None, other, density)
        state = (u, zeros) if density else (u,)
        times = ops.convert_to_tensor(_times(start, stop, self._number(steps)))

        def stepped(i, state):
            return self._stepped(state, zeros + times[i], zeros + times[i + 1], motion)

        # A loop of the backend: the program is as large as one step.
        return ops.fori_loop(0, self._number(steps), stepped, state)

    def transported(self, z, condition, new_condition, guidance):
        """Codes of one condition as codes of another, in one program; tensors in and out.

        Args:
            z: codes `(n, *code_shape)`.
            condition, new_condition: encoded conditions `(n, condition_dim)`, y and y'.
            guidance: `(n,)`, g of the way forward, v(y) + g · (v(y') - v(y)).
        """
        (u,) = self.integrate(self.to_standard(z), 1.0, 0.0, condition)
        (u,) = self.integrate(u, 0.0, 1.0, new_condition, guidance=guidance, other=condition)
        return self.from_standard(u)

    def _motion(self, condition, guidance, other=None, density=False):
        """Function from a state and times to its derivative by time."""

        def motion(state, times):
            def velocity(u, times, condition=condition, guidance=guidance):
                return self.velocity(u, times, condition, guidance, other)

            found = velocity(state[0], times)
            if not density:
                return (found,)
            return found, self._divergence(state[0], times, condition, guidance)

        return motion

    def _stepped(self, state, start, stop, motion):
        width = stop - start

        def moved(by, slopes):
            return tuple(
                s + ops.reshape(by, (-1,) + (1,) * (len(s.shape) - 1)) * k
                for s, k in zip(state, slopes, strict=True)
            )

        first = motion(state, start)
        if self.method == "euler":
            return moved(width, first)
        if self.method == "midpoint":
            half = 0.5 * width
            return moved(width, motion(moved(half, first), start + half))
        second = motion(moved(width, first), stop)
        return moved(0.5 * width, [a + b for a, b in zip(first, second, strict=True)])

    def _divergence(self, u, times, condition, guidance):
        """Σ_j ∂v_j/∂u_j `(n,)`, by one product with the Jacobian per probe."""
        size = math.prod(self.code_shape)
        probes = (None if size <= 32 else 8) if self.probes == "auto" else self.probes
        if probes is None:
            vectors, factor = np.eye(size, dtype="float32"), 1.0
        else:
            # Signs that are always the same: the density is a function of the code.
            rng = np.random.default_rng(0)
            vectors = (2 * rng.integers(0, 2, (probes, size)) - 1).astype("float32")
            factor = 1.0 / probes
        count = len(vectors)
        flat = ops.reshape(u, (-1, size))
        vectors = ops.zeros_like(flat)[:, None, :] + ops.convert_to_tensor(vectors)
        vectors = ops.reshape(vectors, (-1, *self.code_shape))
        repeated = [a if a is None else ops.repeat(a, count, axis=0) for a in (condition, guidance)]
        late = ops.repeat(times, count, axis=0)

        def velocity(x):
            return self.velocity(x, late, *repeated)

        # No method of a model here: of an adapter that needs none.
        product = TrainStep.vector_jacobian(None, velocity, ops.repeat(u, count, axis=0), vectors)
        each = ops.reshape(product * vectors, (-1, count * size))
        return factor * ops.sum(each, axis=-1)

    def distribution(self, condition=None, steps=None, guidance=1.0):
        """p(z) or p(z|y); see `sample` for `steps` and `guidance`."""
        condition = None if self.condition_dim is None else condition
        guiding.check(self, guidance, condition)
        return Transported(self, condition, steps, guidance)

    def sample(self, n, rng, condition=None, steps=None, guidance=1.0, run=None):
        """Draws codes with NumPy's generator: the same on every backend but for rounding.

        Args:
            n: number of codes.
            rng: a `numpy.random.Generator`.
            condition: encoded conditions `(n, c)` or None.
            steps: of the integration; those of the constructor by default.
            guidance: g in (1 - g) · v without condition + g · v with it: 1 is the prior, more
                follows the condition more closely.
            run: function `(name, *arrays)` that runs a method of this layer on NumPy arrays;
                in one eager call by default.

        Returns:
            NumPy array `(n, *code_shape)`, float32.
        """
        noise = rng.standard_normal((n, *self.code_shape), dtype="float32")
        u = self._walk(noise, 0.0, 1.0, condition, steps, guidance, run)
        mean, deviation = map(ops.convert_to_numpy, (self.mean, self.deviation))
        return (u * deviation + mean).astype("float32")

    def invert(self, z, condition=None, steps=None, guidance=1.0, run=None):
        """The noise that codes are made of: `sample` backwards.

        Args:
            z: codes `(n, *code_shape)`, NumPy.
            condition, steps, guidance, run: as `sample`.

        Returns:
            NumPy array `(n, *code_shape)`, float32, standard normal for codes of the prior.
        """
        mean, deviation = map(ops.convert_to_numpy, (self.mean, self.deviation))
        u = ((z - mean) / deviation).astype("float32")
        return self._walk(u, 1.0, 0.0, condition, steps, guidance, run)

    def carry(self, noise, condition=None, steps=None, guidance=1.0, run=None, other=None):
        """Codes of given noise: `sample` without the draw, and the inverse of `invert`.

        Args:
            noise: `(n, *code_shape)`.
            condition, steps, guidance, run: as `sample`.
            other: encoded conditions `(n, c)` that guidance leads away from; None for no
                condition.
        """
        u = self._walk(np.float32(noise), 0.0, 1.0, condition, steps, guidance, run, other)
        mean, deviation = map(ops.convert_to_numpy, (self.mean, self.deviation))
        return (u * deviation + mean).astype("float32")

    def _walk(self, u, start, stop, condition, steps, guidance, run, other=None):
        condition = None if self.condition_dim is None else condition
        guiding.check(self, guidance, condition, other)
        run = run or self._run
        given = []
        if condition is not None:
            given = [ops.convert_to_numpy(condition)]
            if np.any(guidance != 1.0):
                given.append(np.zeros(len(u), "float32") + np.float32(guidance))
                if other is not None:
                    given.append(ops.convert_to_numpy(other))
        times = _times(start, stop, self._number(steps))
        for a, b in zip(times[:-1], times[1:], strict=True):
            u = run("step", u, *(np.full(len(u), t, "float32") for t in (a, b)), *given)
        return u

    def _run(self, name, *arrays):
        return ops.convert_to_numpy(getattr(self, name)(*map(ops.convert_to_tensor, arrays)))

    def _number(self, steps):
        return self.steps if steps is None else _checks.count(steps, "steps")

    def get_config(self):
        own = ("condition_dim", "width", "depth", "heads", "steps", "method", "condition_dropout")
        own += ("transport_guidance", "transport_start")
        config = {**super().get_config(), "code_shape": list(self.code_shape)}
        config.update({name: getattr(self, name) for name in (*own, "probes", "seed")})
        del config["latent_dim"]
        return config


def _times(start, stop, steps):
    """The times of an integration, one more than it has steps."""
    return np.linspace(start, stop, 1 + steps).astype("float32")
