"""Inference methods of models: NumPy in, NumPy out, compiled, in batches."""

import time

import keras
import numpy as np
from keras import ops

from keras_vae import _checks
from keras_vae._types import Array, Condition, Floats
from keras_vae.distributions.as_numpy import Arrays
from keras_vae.models import sources
from keras_vae.models.batches import Batches, taken
from keras_vae.models.checks import bound_exists
from keras_vae.models.editing import Editing
from keras_vae.training import kernels

# Rows per decoder call when many samples of z are scored: large enough to hide the
# dispatch, small enough for the cache.
ROWS = 1000


class Inference(Editing, Batches):
    """Methods of `VAE` that use a model without changing it.

    Data is an array, a table of pandas, or a source as `fit` takes one, all of whose examples are
    read; a source of `(x, y)` brings the conditions. Nothing is written to the model, so that
    threads may call these methods together, and while another thread trains the model; but for
    JAX, which gives them an error then.
    """

    def encode(self, x: Array, condition: Condition = None, batch_size: int = 256) -> Array:
        """Codes: the means of the posterior.

        Posteriors without a mean in closed form give their `center`: with flows the image
        of the mean of the normal, for categorical variables the most probable classes,
        one-hot.

        Args:
            x: data `(n, ...)`.
            condition: labels `(n,)` or attributes `(n, c)` of a conditional
                model.
            batch_size: rows per compiled call.

        Returns:
            `(n, d)` float32, the same at every call.

        Raises:
            ValueError: wrong shape, range or condition; NaN; empty.
        """
        x, condition = self._checked(x, condition)
        return self._batched("center", batch_size, x, condition)

    def posterior(self, x: Array, condition: Condition = None, batch_size: int = 256) -> Arrays:
        """The distribution q(z|x).

        Returns:
            A distribution with `.mean`, `.log_var`, `.log_prob(z)`, `.sample(k, seed)`,
            `.kl(model.prior)`, ..., as far as the posterior has them. They return NumPy
            arrays: `sample` `(k, n, d)`, the others `(n, ...)`.

        Args and errors: see `encode`.
        """
        x, condition = self._checked(x, condition)
        parameters = self._batched("infer", batch_size, x, condition)
        return Arrays(self.posterior_layer.distribution(*map(ops.convert_to_tensor, parameters)))

    def decode(self, z: Array, condition: Condition = None, batch_size: int = 256) -> Array:
        """Means of p(x|z) in data space.

        Of tables the matrix that `model.likelihood.decode` makes a table of.

        Args:
            z: codes `(n, d)`.
            condition: see `encode`.
            batch_size: rows per compiled call.

        Returns:
            `(n, ...)` float32.
        """
        z = _checks.codes(self, z)
        condition = _checks.condition(self, condition, len(z))
        return self._batched("render", batch_size, z, condition)

    def reconstruct(self, x: Array, condition: Condition = None, batch_size: int = 256) -> Array:
        """The code of x, decoded: `(n, ...)` float32, deterministic; a table where x is one.

        Args and errors: see `encode`.
        """
        data, condition = self._checked(x, condition)
        rebuilt = self._batched("rebuild", batch_size, data, condition)
        return sources.as_given(self, x, rebuilt)

    def sample(
        self,
        n: int,
        condition: Condition = None,
        seed: int | None = None,
        batch_size: int = 256,
        noise: bool = False,
        *,
        steps: int | None = None,
        guidance: float = 1.0,
    ) -> Array:
        """New data: codes from the prior, decoded to means.

        Args:
            n: number of examples.
            condition: labels or attributes, one for all or one for each.
            seed: int; the same samples on every backend for the same weights. Without one,
                samples follow `keras.utils.set_random_seed`.
            batch_size: rows per compiled call.
            noise: False for means of p(x|z), which look better as pictures; True for
                draws from p(x|z), which have the spread of data.
            steps, guidance: of a prior that is a `priors.FlowMatching`: steps of its
                integration, and how closely codes follow the condition.

        Returns:
            `(n, ...)` float32; a table where the model was trained on one, see
            `likelihoods.Columns`.

        Raises:
            ValueError: a wrong condition, `noise` with a likelihood that has no draws, or
                `steps` or `guidance` of another prior.
        """
        n = _checks.count(n)
        condition = _checks.condition(self, condition, n)
        encoded = None if condition is None else self.condition.encode(condition)
        rng = np.random.default_rng(_checks.seed(seed))
        z = self._drawn_codes(n, rng, encoded, steps, guidance, batch_size)
        return self._decoded_or_drawn(z, condition, batch_size, rng if noise else None)

    def _decoded_or_drawn(self, z, condition, batch_size, rng=None):
        """Data of codes: means, or draws from p(x|z) with NumPy's generator."""
        if rng is not None and self.likelihood.needs_outputs:
            outputs = self._batched("outputs", batch_size, z, condition)
            options = (self._function("likelihood_row"),) if self.likelihood.in_order else ()
            return self.likelihood.sample_outputs(outputs, rng, *options)
        x = self.decode(z, condition, batch_size)
        return self.likelihood.decode(x if rng is None else self.likelihood.sample(x, rng))

    def interpolate(
        self,
        x_a: Array,
        x_b: Array,
        steps: int = 8,
        condition: Condition = None,
        batch_size: int = 256,
    ) -> Array:
        """Data on the straight line between the codes of two examples.

        Args:
            x_a, x_b: data `(n, ...)`, the ends.
            steps: number of pictures from end to end, at least 2.
            condition: see `encode`; held fixed along the way.

        Returns:
            `(n, steps, ...)` float32.
        """
        if _checks.count(steps, "steps") < 2:
            raise ValueError(f"`steps` must be at least 2. Received: steps={steps}")
        x_a, condition = self._checked(x_a, condition, "x_a")
        x_b = _checks.data(self, sources.arrays(self, x_b, None, "x_b")[0], "x_b")
        if len(x_a) != len(x_b):
            raise ValueError(
                "`x_a` and `x_b` must hold as many examples as each other. "
                f"Received: {len(x_a)} and {len(x_b)}"
            )
        a, b = (self.encode(x, condition, batch_size=batch_size) for x in (x_a, x_b))
        t = np.linspace(0.0, 1.0, steps, dtype="float32").reshape(1, -1, *(1,) * (a.ndim - 1))
        return self._decode_grid(a[:, None] * (1 - t) + b[:, None] * t, condition, batch_size)

    def traverse(
        self,
        x: Array,
        dim: int,
        values: Array | None = None,
        condition: Condition = None,
        batch_size: int = 256,
    ) -> Array:
        """Data whose code differs from x's in one dimension only.

        Args:
            x: data `(n, ...)`.
            dim: latent dimension, from 0.
            values: what that dimension is set to; -3 to 3 in 9 steps by
                default.
            condition: see `encode`.

        Returns:
            `(n, len(values), ...)` float32.
        """
        if not _checks.is_integer(dim, 0, self.latent_dim - 1):
            raise ValueError(
                f"`dim` must be from 0 to {self.latent_dim - 1}. Received: dim={dim!r}"
            )
        values = np.linspace(-3, 3, 9) if values is None else np.asarray(values)
        if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
            raise ValueError(
                f"`values` must be a list of finite numbers. Received: shape {values.shape}"
            )
        x, condition = self._checked(x, condition)
        z = self.encode(x, condition, batch_size)
        z = np.repeat(z[:, None], len(values), axis=1)
        z[..., dim] = values.reshape(-1, *(1,) * (z.ndim - 3))
        return self._decode_grid(z, condition, batch_size)

    def log_likelihood(
        self,
        x: Array,
        samples: int = 5000,
        condition: Condition = None,
        seed: int = 0,
        batch_size: int | None = None,
        verbose: bool | str = "auto",
    ) -> Floats:
        """Importance-weighted lower bound on log p(x), Burda et al. 2016.

        log 1/K Σ p(x|z) p(z) / q(z|x) with z from q; it increases with K to log p(x).
        Samples are streamed: memory does not grow with K. Models with dynamic
        binarisation binarise the data first, with `seed`.

        Args:
            x: data `(n, ...)`.
            samples: K, samples of z per example.
            condition: see `encode`.
            seed: int; the same noise on every backend.
            batch_size: decoder rows per compiled call; 1000 by default, and 2000 on JAX, with
                the same noise.
            verbose: a progress bar: True, False, or "auto" (after 2 seconds).

        Returns:
            `(n,)` float64, nats.

        Raises:
            ValueError: the model has no bound, because its codes have no noise or its
                loss is not a likelihood; or invalid data.
        """
        bound_exists(self)
        x, condition = self._checked(x, condition)
        total = np.full(len(x), -np.inf)
        for rows, (part,) in self._scored(
            "score", x, samples, condition, seed, batch_size, verbose
        ):
            total[rows] = np.logaddexp(total[rows], part)
        return total - np.log(samples)

    def _scored(self, name, x, samples, condition, seed, batch_size, verbose):
        """Runs a compiled function over chunks of checked examples and their samples.

        Yields the slice of the examples and a tuple of the function's results for them.
        """
        samples = _checks.count(samples, "samples")
        rows = ROWS if batch_size is None else _checks.count(batch_size, "batch_size")
        rng = np.random.default_rng(seed)
        x = self.likelihood.observe_numpy(x, rng)
        chunk = min(samples, rows, 100)
        images = max(1, min(rows // chunk, len(x)))
        if batch_size is None:
            # More samples per image; the noise is the same as in separate calls.
            chunk = min(samples, chunk * kernels.CALLS_IN_ONE)
        progress, running = _Progress(len(x), verbose), None
        for start in range(0, len(x), images):
            batch = x[start : start + images]
            y = None if condition is None else condition[start : start + images]
            for done in range(0, samples, chunk):
                k = min(chunk, samples - done)
                noise = rng.standard_normal((k, images, *self._noise_shape(x)), "float32")
                new = self._begun(name, images, (batch, y), noise), start, len(batch)
                # One call behind: JAX computes while NumPy draws the next noise.
                if running is not None:
                    yield _scores(*running)
                running = new
            progress.update(min(start + images, len(x)))
        yield _scores(*running)

    def log_px(
        self, x: Array, z: Array, condition: Condition = None, batch_size: int = 256
    ) -> Array:
        """log p(x|z) of each example with its own code: `(n,)` float32, nats.

        Args:
            x: data `(n, ...)`.
            z: codes `(n, d)`.
            condition: see `encode`.
        """
        x, condition = self._checked(x, condition)
        z = _checks.codes(self, z)
        return self._batched("explain", batch_size, x, z, condition)

    def _checked(self, x, condition, name="x"):
        x, condition = sources.arrays(self, x, condition, name)
        x = _checks.data(self, x, name)
        return x, _checks.condition(self, condition, len(x))

    def _decode_grid(self, z, condition, batch_size):
        n, steps = z.shape[:2]
        if condition is not None:
            condition = np.repeat(condition, steps, axis=0)
        decoded = self.decode(z.reshape(-1, *z.shape[2:]), condition, batch_size=batch_size)
        return decoded.reshape(n, steps, *decoded.shape[1:])

    def _noise_shape(self, x):
        """Shape of the standard normal numbers of one sample of everything latent of x."""
        return (self.noise_dim,)


def _scores(results, start, n):
    """Which examples, and what was found for them."""
    return slice(start, start + n), taken(results, n)


class _Progress:
    """A progress bar that keeps quiet for the first two seconds."""

    def __init__(self, total, verbose):
        self.bar = keras.utils.Progbar(total) if verbose else None
        self.wait = 2.0 if verbose == "auto" else 0.0
        self.start = time.monotonic()

    def update(self, done):
        if self.bar is None:
            return
        # A bar that appeared stays until it is full.
        if time.monotonic() - self.start > self.wait:
            self.wait = 0.0
            self.bar.update(done)
